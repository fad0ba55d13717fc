/**
 * Lookup tables as `hushlb table --json` prints them, and what a change of configuration does to their slots, counted
 * slot by slot. The lab's prediction of what breaks without a connection table comes from here, and from nothing that a
 * running balancer says. lab/change-plot.ts calls it.
 */
import { LabError } from './errors.ts';
import { HUSHLB, startProcess } from './processes.ts';
import type { Stage } from './stage.ts';

export interface LookupTable {
  readonly backends: readonly string[];
  /** For each slot a place in `backends`; -1 for none. */
  readonly entries: readonly number[];
}

/** Of one backend: its slots before and after, and how many of the former it has no more. */
export interface SlotChange {
  readonly before: number;
  readonly after: number;
  readonly lost: number;
}

/** The table of the first service of a configuration file. Rejects with a LabError. */
export async function readLookupTable(stage: Stage, host: string, file: string): Promise<LookupTable> {
  let text = '';
  const table = startProcess({
    name: 'hushlb table',
    namespace: stage.network.namespace(host),
    command: [process.execPath, HUSHLB, 'table', '-c', file, '--json'],
    onLine: (line) => {
      text += line;
    },
    onUnexpectedEnd: stage.onUnexpectedEnd,
  });
  table.release();
  stage.started(table);
  const code = await table.ended;
  stage.signal.throwIfAborted();
  if (code !== 0) throw new LabError('LAB_PROCESS', `hushlb table ended (${code}): ${text}`);
  const { services } = JSON.parse(text) as { services: LookupTable[] };
  return services[0];
}

/** By backend of either table. Throws TypeError where the tables' sizes differ: then no slot tells anything. */
export function compareTables(before: LookupTable, after: LookupTable): Record<string, SlotChange> {
  if (before.entries.length !== after.entries.length) throw new TypeError('lookup tables of different sizes');
  const counts: Record<string, { before: number; after: number; lost: number }> = {};
  for (const name of [...before.backends, ...after.backends]) counts[name] = { before: 0, after: 0, lost: 0 };
  for (const [slot, entry] of before.entries.entries()) {
    const was = before.backends[entry];
    const is = after.backends[after.entries[slot]];
    if (was !== undefined) counts[was].before++;
    if (is !== undefined) counts[is].after++;
    if (was !== undefined && was !== is) counts[was].lost++;
  }
  return counts;
}
