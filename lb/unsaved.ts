/**
 * Changes at run time that no file has. They are noted beside the admin socket as well, so that the next start can say what
 * the last one's end has lost; a machine that starts anew has lost the note with them. Used by lb/control-plane.ts.
 */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';

export interface UnsavedChanges {
  /** Of lb/unsaved-changes.ts. */
  list(): readonly string[];
  set(changes: readonly string[]): void;
}

export interface TakenUnsaved {
  /** What an earlier process noted and never saved. */
  readonly before: readonly string[];
  readonly unsaved: UnsavedChanges;
  /** From here on that has been said. */
  forget(): void;
}

/** `note`: the file; null: nothing is noted. */
export function takeUnsaved(note: string | null): TakenUnsaved {
  const before = note === null ? [] : readNote(note);
  let changes: readonly string[] = [];
  const unsaved: UnsavedChanges = {
    list: () => changes,
    set(next) {
      if (note !== null && (next.length > 0 || changes.length > 0)) writeNote(note, next);
      changes = next;
    },
  };
  return {
    before,
    unsaved,
    forget() {
      if (note !== null && before.length > 0 && changes.length === 0) rmSync(note, { force: true });
    },
  };
}

function readNote(note: string): readonly string[] {
  try {
    const noted: unknown = JSON.parse(readFileSync(note, 'utf8'));
    return Array.isArray(noted) ? noted.filter((line) => typeof line === 'string') : [];
  } catch {
    // None, or one that a kill cut short: nothing is known of the last run then.
    return [];
  }
}

/** A full or read-only disk is no reason to refuse a change: the log has it. */
function writeNote(note: string, changes: readonly string[]): void {
  try {
    if (changes.length === 0) rmSync(note, { force: true });
    else {
      mkdirSync(dirname(note), { recursive: true, mode: 0o755 });
      writeFileSync(note, `${JSON.stringify(changes)}\n`, { mode: 0o600 });
    }
  } catch {}
}
