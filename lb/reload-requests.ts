/**
 * Reloads that were asked for, one after the other: what is asked for while one is under way is one more, however often.
 * Says in the log how each ended. lb/daemon.ts makes it, SIGHUP asks.
 */
import type { Logger } from 'pino';
import type { Config } from './config.ts';
import type { CheckedConfig } from './config-file.ts';
import type { ReloadReport } from './reload.ts';

export interface ReloadRequests {
  request(): void;
  /** What is under way is given up; whoever asks from now on is not heard. */
  close(): Promise<void>;
}

export interface ReloadSteps {
  /** Throws ConfigError. */
  readConfig(): CheckedConfig;
  /** Throws what refuses it, and then nothing has changed; or the signal's reason. */
  apply(config: Config, signal: AbortSignal): Promise<ReloadReport>;
  readonly logger: Logger;
}

export function takeReloadRequests(steps: ReloadSteps): ReloadRequests {
  const stop = new AbortController();
  let wanted = false;
  let underWay: Promise<void> | undefined;

  async function work(): Promise<void> {
    while (wanted && !stop.signal.aborted) {
      wanted = false;
      await reloadOnce(steps, stop.signal);
    }
    underWay = undefined;
  }
  return {
    request() {
      if (stop.signal.aborted) return;
      wanted = true;
      underWay ??= work();
    },
    async close() {
      stop.abort();
      await underWay;
    },
  };
}

async function reloadOnce({ readConfig, apply, logger }: ReloadSteps, signal: AbortSignal): Promise<void> {
  try {
    const { config, warnings } = readConfig();
    const report = await apply(config, signal);
    for (const { path, message } of warnings) logger.warn({ path }, message);
    logger.info({ ...report }, 'reloaded');
  } catch (error) {
    if (signal.aborted) return;
    for (const problem of problemsOf(error)) logger.error({ problem }, 'reload refused, nothing changed');
  }
}

/** One line each; a bug keeps its stack. */
function problemsOf(error: unknown): readonly string[] {
  if (!(error instanceof Error)) return [String(error)];
  if ('lines' in error && Array.isArray(error.lines)) return error.lines;
  return ['code' in error ? error.message : (error.stack ?? error.message)];
}
