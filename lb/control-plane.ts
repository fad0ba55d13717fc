/**
 * The hands on a running balancer: changes of its configuration and of what is known of its backends' health, one after the
 * other, each whole or not at all. On the main thread, made by lb/daemon.ts. A signal, the watched file, the admin API
 * (admin/) and health checks (lb/health.ts) ask here; lb/reload.ts does it.
 *
 * ```
 *   SIGHUP, watch ──► reload: the file's text ───────┐
 *   hushlb drain … ─► edit of the text that runs ────┼─► check ─► queue ─► reload(): swapped whole ─► log, event
 *   health checks ──► who is down ───────────────────┘
 * ```
 *
 * What runs is always a text that a file could hold. Changes at run time that no file has are remembered as such: `save`
 * writes them, a reload says which ones it undoes, and the next start says which ones were lost (lb/unsaved.ts).
 */
import { randomBytes } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import type { Logger } from 'pino';
import { type Change, type ChangeReport, changeText } from './change.ts';
import { createChangeQueue } from './change-queue.ts';
import type { TallyKeeper } from './change-tally.ts';
import type { Config } from './config.ts';
import { type CheckedConfig, parseConfig } from './config-file.ts';
import { editText } from './edit.ts';
import type { EventLog } from './events.ts';
import type { HealthView } from './health-view.ts';
import { reload } from './reload.ts';
import type { DeviceFacts, Running } from './running.ts';
import { saveFile } from './save.ts';
import type { Down } from './service-table.ts';
import type { UnsavedChanges } from './unsaved.ts';
import { unsavedChanges } from './unsaved-changes.ts';

export interface ControlPlane {
  readonly parts: Running;
  readonly device: DeviceFacts;
  readonly events: EventLog;
  readonly health: HealthView;
  /** The configuration's file. */
  readonly file: string;
  /** What runs, as a file would say it. */
  text(): string;
  /** What the text says, as YAML's values. */
  data(): unknown;
  /** The file, as it was when it was last read or written. */
  fileText(): string;
  /** The last that was carried out, of configuration; null before the first. */
  lastChange(): LastChange | null;
  /** What runs and is in no file, as the changes that lead there (lb/unsaved-changes.ts). */
  unsaved(): readonly string[];
  /**
   * Carries a change out; `by` says who asked, for the log. Rejects with a ConfigError, ReloadRefused, HushlbError or
   * SystemCallError, and nothing has changed then; or with an AbortError when the balancer is stopping.
   */
  change(change: Change, by: string): Promise<ChangeReport>;
  /** New connections avoid these backends from now on, and no others. Rejects as `change` does. */
  setDown(down: Down): Promise<void>;
  /** Writes what runs to the configuration's file. Rejects with a HushlbError. */
  save(by: string): Promise<SaveReport>;
  /** Calls `listener` with each configuration that comes into force from now on, until what it returns is called. */
  onInForce(listener: (config: Config) => void): () => void;
  close(): Promise<void>;
}

export interface LastChange {
  readonly id: string;
  /** `changeText` of it. */
  readonly change: string;
  /** ISO 8601, by the wall clock. */
  readonly at: string;
}

export interface SaveReport {
  readonly file: string;
  /** What the file has now and had not before. */
  readonly changes: readonly string[];
}

export interface ControlPlaneInput {
  readonly running: Running;
  readonly device: DeviceFacts;
  readonly checked: CheckedConfig;
  readonly file: string;
  /** Reads the file again. Throws ConfigError. */
  readConfig(): CheckedConfig;
  readonly unsaved: UnsavedChanges;
  readonly events: EventLog;
  readonly health: HealthView;
  /** Counts what becomes of changes. */
  readonly tallies: Pick<TallyKeeper, 'applied' | 'refused'>;
  readonly logger: Logger;
  /** A reload begins, or has ended. */
  readonly onReload?: ((isUnderWay: boolean) => void) | undefined;
}

/** A text and what it means. */
type Written = Pick<CheckedConfig, 'text' | 'data' | 'config'>;

export function createControlPlane(input: ControlPlaneInput): ControlPlane {
  const { running, device, events, health, tallies, file, unsaved } = input;
  const queue = createChangeQueue();
  const listeners = new Set<(config: Config) => void>();
  let inForce: Written = input.checked;
  /** The file as it was when it was last read or written. */
  let inFile: Written = input.checked;
  let lastChange: LastChange | null = null;

  function begin(change: Change, by: string): { id: string; what: string; logger: Logger } {
    const id = randomBytes(4).toString('hex');
    return { id, what: changeText(change), logger: input.logger.child({ id, by }) };
  }

  async function carryOut(change: Change, by: string, signal: AbortSignal): Promise<ChangeReport> {
    const { id, what, logger } = begin(change, by);
    const isReload = change.kind === 'reload';
    if (isReload) input.onReload?.(true);
    try {
      const { prepared } = running;
      const checked = isReload
        ? input.readConfig()
        : parseConfig(editText(inForce.text, prepared.config, change), 'the configuration that runs');
      const report = await reload(running, checked.config, { logger, signal });
      const lost = isReload ? unsaved.list() : [];
      for (const listener of listeners) listener(checked.config);
      if (isReload) inFile = checked;
      const isSaved = isDeepStrictEqual(checked.config, inFile.config);
      unsaved.set(unsavedChanges(inFile.config, checked.config));
      inForce = isSaved ? inFile : checked;
      lastChange = { id, change: what, at: new Date().toISOString() };
      tallies.applied(isReload ? 'reload' : 'runtime');
      for (const { path, message } of checked.warnings) logger.warn({ path }, message);
      for (const gone of lost) logger.warn({ lost: gone }, 'the file does not have this change, the reload undid it');
      if (isReload) logger.info({ ...report }, 'reloaded');
      else logger.info({ change: what, ...report }, 'changed');
      events.emit({ kind: 'change', id, reason: `${what} by ${by}, generation ${report.generation}` });
      const warnings = checked.warnings.map(({ path, message }) => `${path}: ${message}`);
      return { id, change: what, ...report, warnings, lost, unsaved: unsaved.list() };
    } catch (error) {
      if (signal.aborted) throw error;
      tallies.refused(isReload ? 'reload' : 'runtime');
      const problems = problemsOf(error);
      const refusal = isReload ? 'reload refused, nothing changed' : 'change refused, nothing changed';
      for (const problem of problems) logger.error(isReload ? { problem } : { change: what, problem }, refusal);
      events.emit({ kind: 'refused', id, reason: `${what} by ${by}: ${problems[0]}` });
      throw error;
    } finally {
      if (isReload) input.onReload?.(false);
    }
  }

  return {
    parts: running,
    device,
    events,
    health,
    file,
    text: () => inForce.text,
    data: () => inForce.data,
    fileText: () => inFile.text,
    lastChange: () => lastChange,
    unsaved: () => unsaved.list(),
    change(change, by) {
      const work = (signal: AbortSignal) => carryOut(change, by, signal);
      return change.kind === 'reload' ? queue.runOnce('reload', work) : queue.run(work);
    },
    setDown: (down) =>
      queue.run(async (signal) => {
        await reload(running, running.prepared.config, { logger: input.logger, signal, down });
      }),
    save: (by) =>
      queue.run(async () => {
        saveFile(file, inForce.text, inFile.text);
        const changes = unsaved.list();
        inFile = inForce;
        unsaved.set([]);
        input.logger.info({ by, file, changes }, 'saved');
        return { file, changes };
      }),
    onInForce(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    close: () => queue.close(),
  };
}

/** One line each; a bug keeps its stack. */
export function problemsOf(error: unknown): readonly string[] {
  if (!(error instanceof Error)) return [String(error)];
  if ('lines' in error && Array.isArray(error.lines)) return error.lines;
  return ['code' in error ? error.message : (error.stack ?? error.message)];
}
