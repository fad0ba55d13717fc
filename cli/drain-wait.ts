/**
 * `hushlb drain --wait`: until a draining backend has lost its last connection. Used by change.ts.
 */
import { setTimeout as pause } from 'node:timers/promises';
import type { AdminClient } from '../admin/client.ts';
import type { Status } from '../admin/status-schema.ts';
import { HushlbError } from '../lb/errors.ts';
import { statusLine } from './terminal.ts';

const LOOK_EVERY_MS = 500;

export interface DrainWait {
  readonly service: string;
  readonly backend: string;
  /** Null: as long as it takes. */
  readonly timeoutMs: number | null;
}

/** Rejects with a HushlbError NO_TABLE, DRAIN_ENDED where somebody took the backend back, or DRAIN_TIMEOUT. */
export async function waitForDrain(daemon: AdminClient, { service, backend, timeoutMs }: DrainWait): Promise<void> {
  const line = statusLine();
  const deadline = timeoutMs === null ? Number.POSITIVE_INFINITY : performance.now() + timeoutMs;
  const query = new URLSearchParams({ service, backend });
  try {
    for (;;) {
      refuseVainWait(
        (await daemon.request('GET', `/v1/status?${new URLSearchParams({ service })}`)) as Status,
        backend,
      );
      const { counts } = (await daemon.request('GET', `/v1/conntrack-counts?${query}`)) as {
        counts: readonly { readonly entries: number }[];
      };
      const left = counts.reduce((sum, { entries }) => sum + entries, 0);
      if (left === 0) return;
      const connections = left === 1 ? '1 connection' : `${left} connections`;
      if (performance.now() >= deadline) {
        throw new HushlbError(
          'DRAIN_TIMEOUT',
          `${connections} of ${service}/${backend} still there: it drains on; hushlb conntrack list -b ${backend} lists them`,
        );
      }
      line.show(`${connections} left`);
      await pause(Math.min(LOOK_EVERY_MS, Math.max(0, deadline - performance.now())));
    }
  } finally {
    line.clear();
  }
}

function refuseVainWait({ services: [{ name, conntrack, backends }] }: Status, backend: string): void {
  if (conntrack === null) {
    throw new HushlbError(
      'NO_TABLE',
      `service ${name} has no connection table: nobody knows when its connections have ended`,
    );
  }
  if (backends.find((one) => one.name === backend)?.state === 'draining') return;
  throw new HushlbError('DRAIN_ENDED', `${name}/${backend} drains no more: somebody took it back, or away`);
}
