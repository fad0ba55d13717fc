/**
 * `watch: true`: takes the configuration's file over when it has changed. Its directory is watched, not the file, so that
 * editors that write beside it and rename are seen; and so are the directories of symbolic links on the way, because one of them
 * may lead elsewhere now: Kubernetes swaps what a ConfigMap holds that way. Used by cli/run.ts. Node.js keeps its inotify
 * descriptor once it has had one, empty where nothing is watched any more.
 */
import { type FSWatcher, readFileSync, readlinkSync, realpathSync, watch } from 'node:fs';
import { basename, dirname, resolve } from 'node:path';
import type { Logger } from 'pino';
import type { Config } from './config.ts';
import type { ControlPlane } from './control-plane.ts';

/** An editor writes, renames and sets rights: one look serves them all. */
const SETTLE_MS = 200;

export interface FileWatch {
  close(): void;
}

/**
 * Asks for a reload when the file's text is another than it was read or written with. Watches nothing unless the configuration
 * that runs says `watch: true`. A text that is refused is refused once.
 */
export function followFile(control: ControlPlane, logger: Logger): FileWatch {
  let refused: string | null = null;
  let watched: FileWatch | undefined;

  function look(): void {
    const text = textOf(control.file);
    // A file that is away for a moment is about to be another one.
    if (text === null || text === refused) return;
    refused = null;
    if (text === control.fileText()) return;
    // The log has the reason.
    control.change({ kind: 'reload' }, 'watch').catch(() => {
      refused = text;
    });
  }
  function follow(config: Pick<Config, 'watch'>): void {
    if (config.watch) {
      watched ??= watchPath(control.file, logger, look);
      return;
    }
    watched?.close();
    watched = undefined;
  }
  follow(control.parts.prepared.config);
  const leave = control.onInForce(follow);
  return {
    close() {
      leave();
      watched?.close();
    },
  };
}

function textOf(file: string): string | null {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return null;
  }
}

/** Names that matter by their directory. */
type Names = ReadonlyMap<string, ReadonlySet<string>>;

/** Calls `onSettled` soon after the start, and when one of the names that lead to the file has changed and settled. */
export function watchPath(file: string, logger: Pick<Logger, 'warn'>, onSettled: () => void): FileWatch {
  let settling: NodeJS.Timeout | undefined;
  let names: Names = new Map();
  let watchers: FSWatcher[] = [];

  function follow(): void {
    const next = namesOnTheWay(file);
    if (textOfNames(next) === textOfNames(names)) return;
    closeWatchers();
    names = next;
    watchers = [...next].flatMap(([directory, known]) => {
      try {
        const listener = (_: string, name: string | null): void => {
          if (name === null || known.has(name)) settle();
        };
        const watcher = watch(directory, { persistent: false }, listener);
        // The directory has gone: the next look says where the file is now.
        return [watcher.on('error', settle)];
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        logger.warn({ directory, reason: code }, 'watch: this directory cannot be watched, SIGHUP still reloads');
        return [];
      }
    });
  }
  function settle(): void {
    clearTimeout(settling);
    settling = setTimeout(() => {
      follow();
      onSettled();
    }, SETTLE_MS);
  }
  function closeWatchers(): void {
    for (const watcher of watchers.splice(0)) watcher.close();
  }
  follow();
  // What has changed between the first read and now.
  settle();
  return {
    close() {
      clearTimeout(settling);
      closeWatchers();
    },
  };
}

/** The file's own name, those of symbolic links that lead to it, and the one that it has at their end. */
export function namesOnTheWay(file: string): Names {
  const names = new Map<string, Set<string>>();
  const note = (path: string): void => {
    const known = names.get(dirname(path)) ?? new Set();
    names.set(dirname(path), known.add(basename(path)));
  };
  const seen = new Set<string>();
  const visit = (path: string): void => {
    if (seen.has(path)) return;
    seen.add(path);
    const parent = dirname(path);
    if (parent !== path) visit(parent);
    const target = linkOf(path);
    if (target === null) return;
    note(path);
    visit(resolve(parent, target));
  };
  note(resolve(file));
  visit(resolve(file));
  try {
    note(realpathSync(file));
  } catch {
    // It is away for the moment.
  }
  return names;
}

function linkOf(path: string): string | null {
  try {
    return readlinkSync(path);
  } catch {
    return null;
  }
}

function textOfNames(names: Names): string {
  return [...names].map(([directory, known]) => `${directory}: ${[...known].join(' ')}`).join('\n');
}
