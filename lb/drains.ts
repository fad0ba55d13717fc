/**
 * Says when a draining backend has lost its last connection, so that it can be taken away: asks the workers once a second how
 * many entries draining backends have, and only while there are some. Put up by lb/daemon.ts, on the main thread.
 */
import type { Logger } from 'pino';
import type { EventLog } from './events.ts';
import type { Prepared } from './prepare.ts';
import { backendKey } from './service-table.ts';
import type { Workers } from './workers.ts';

export interface Drains {
  close(): void;
}

export interface DrainsInput {
  prepared(): Prepared;
  readonly workers: Pick<Workers, 'ask'>;
  readonly events: EventLog;
  readonly logger: Logger;
  /** Between two looks. */
  readonly intervalMs?: number;
}

const INTERVAL_MS = 1000;

export function watchDrains({ prepared, workers, events, logger, intervalMs = INTERVAL_MS }: DrainsInput): Drains {
  /** Draining backends whose end was told. */
  const told = new Set<string>();
  let isAsking = false;

  async function look(): Promise<void> {
    const draining = drainingOf(prepared());
    const keys = new Set(draining.map(({ service, backend }) => backendKey(service, backend)));
    // One that is taken back and drained again is told of again.
    for (const key of told) if (!keys.has(key)) told.delete(key);
    const waiting = draining.filter(({ service, backend }) => !told.has(backendKey(service, backend)));
    for (const service of new Set(waiting.map((one) => one.service))) {
      const { counts } = await workers.ask({ kind: 'count', filter: { service } });
      const busy = new Set(counts.map(({ backend }) => backend));
      const stillDraining = new Set(
        drainingOf(prepared()).map(({ service: name, backend }) => backendKey(name, backend)),
      );
      for (const { backend } of waiting.filter((one) => one.service === service)) {
        const key = backendKey(service, backend);
        if (busy.has(backend) || !stillDraining.has(key)) continue;
        told.add(key);
        const reason = `backend ${backend} of ${service} has lost its last connection: it can be removed`;
        logger.info({ service, backend }, 'drained');
        events.emit({ kind: 'drained', service, backend, reason });
      }
    }
  }

  const timer = setInterval(() => {
    if (isAsking) return;
    isAsking = true;
    look()
      // Workers that have ended say so themselves; a service that has gone meanwhile is no drain any more.
      .catch((error: Error) => logger.debug({ reason: error.message }, 'drains could not be counted'))
      .finally(() => {
        isAsking = false;
      });
  }, intervalMs);
  timer.unref();
  return { close: () => clearInterval(timer) };
}

/** Of services with a connection table: without one nothing is known of connections. */
function drainingOf({ config }: Prepared): { service: string; backend: string }[] {
  return config.services
    .filter(({ conntrack }) => conntrack.enabled)
    .flatMap(({ name, backends }) =>
      backends.filter(({ state }) => state === 'draining').map((backend) => ({ service: name, backend: backend.name })),
    );
}
