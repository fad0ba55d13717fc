/**
 * What workers saw of connections (lb/observer.ts), as events: the numbers of their rows become names, addresses and sentences,
 * on the main thread. lb/daemon.ts has it listen for as long as the balancer runs; workers look only while somebody follows.
 */
import { formatAddress } from '../wire/address.ts';
import { swapPort } from '../wire/tcp.ts';
import { clientText } from './client-text.ts';
import type { BalancerEvent, EventKind, EventLog } from './events.ts';
import { EXITS } from './exits.ts';
import {
  DROPPED,
  EVENTS_A_SECOND,
  EVICTION,
  LOOKS_A_SECOND,
  MISMATCH,
  OBSERVED_ROW,
  type Observations,
  PICKUP,
  RESET,
  ROW_ADDRESS,
  ROW_BACKEND,
  ROW_CONNECTIONS,
  ROW_EXIT,
  ROW_KIND,
  ROW_OTHER,
  ROW_PORTS,
} from './observed-rows.ts';
import type { Prepared } from './prepare.ts';
import { type TableNames, tableNames } from './table-names.ts';
import type { Workers } from './workers.ts';

type Said = Omit<BalancerEvent, 'seq' | 'at'>;

/** By the number of the row's kind. */
const KIND_NAMES: Readonly<Record<number, EventKind>> = {
  [PICKUP]: 'pickup',
  [RESET]: 'reset',
  [DROPPED]: 'dropped',
  [EVICTION]: 'eviction',
  [MISMATCH]: 'mismatch',
};

/** Why a packet left by one of these exits, in words. */
const WHY: Readonly<Record<string, string>> = {
  'reset: unknown-connection':
    'answered with RST, as onMiss: reset says, because the table does not know the connection',
  'reset: expired-connection': 'answered with RST, as onExpiry: reset says, because the connection had idled out',
  'drop: unknown-connection': 'dropped, as onMiss: drop says, because the table does not know the connection',
  'drop: unknown-reset': 'an RST of a connection that the table does not know, dropped',
  'drop: no-backend': 'dropped, because no backend serves',
  'drop: no-neighbour': 'dropped, because the backend has no neighbour entry: it does not answer ARP or ND',
  'drop: too-big': 'dropped, because it does not fit the path to the backend',
};

export function tellObservations(
  workers: Pick<Workers, 'follow' | 'onObserved'>,
  events: EventLog,
  prepared: () => Prepared,
): void {
  workers.onObserved((worker, observed) => {
    for (const said of saidOf(observed, worker, prepared())) events.emit(said);
  });
  events.onFollowers((followers) => workers.follow(followers > 0));
}

/** A worker's observations as events, oldest first. */
export function saidOf({ rows, leftOut, unseen }: Observations, worker: number, prepared: Prepared): Said[] {
  const names = tableNames(prepared);
  const said: Said[] = [];
  for (let at = 0; at < rows.length; at += OBSERVED_ROW) {
    const event = eventOf(rows.subarray(at, at + OBSERVED_ROW), names);
    if (event !== undefined) said.push({ ...event, worker });
  }
  for (const [kind, count] of (leftOut ?? []).entries()) {
    if (count === 0) continue;
    const reason = `${count} of kind ${KIND_NAMES[kind]} were not told: more than ${EVENTS_A_SECOND} a second, or too fast to tell apart`;
    said.push({ kind: 'left-out', reason, count, worker });
  }
  if (unseen > 0) {
    const reason = `${unseen} packets were not compared with the hash: more than ${LOOKS_A_SECOND} a second`;
    said.push({ kind: 'left-out', reason, count: unseen, worker });
  }
  return said;
}

/** Undefined where the service has gone meanwhile. */
function eventOf(row: Int32Array, names: TableNames): Said | undefined {
  const connections = row[ROW_CONNECTIONS];
  const service = names.service(connections);
  if (service === undefined) return undefined;
  const client = row[ROW_PORTS] === 0 ? undefined : clientOf(row, service.isIpv6);
  const backend = names.backend(connections, row[ROW_BACKEND]);
  const other = names.backend(connections, row[ROW_OTHER]) ?? 'nobody';
  const kind = KIND_NAMES[row[ROW_KIND]];
  return {
    kind,
    service: service.name,
    backend,
    client,
    reason: reasonOf(row, backend ?? 'a removed backend', other, client),
  };
}

function reasonOf(row: Int32Array, backend: string, other: string, client: string | undefined): string {
  switch (row[ROW_KIND]) {
    case PICKUP: {
      const after = row[ROW_OTHER] === 1 ? 'and not noted' : 'and noted again';
      return `the table did not know the connection: sent to ${backend} by hash ${after}`;
    }
    case EVICTION:
      return client === undefined ? 'an entry made room for a new connection' : `an entry made room for ${client}`;
    case MISMATCH:
      return `the table says ${backend}, the hash alone ${other}: it would break if the table were lost`;
    default: {
      const { verdict, reason } = EXITS[row[ROW_EXIT]];
      return WHY[`${verdict}: ${reason}`] ?? `${verdict}: ${reason}`;
    }
  }
}

function clientOf(row: Int32Array, isIpv6: boolean): string {
  const bytes = new Uint8Array(isIpv6 ? 16 : 4);
  const view = new DataView(bytes.buffer);
  for (let k = 0; 4 * k < bytes.length; k++) view.setInt32(4 * k, row[ROW_ADDRESS + k], true);
  return clientText(formatAddress(bytes), swapPort(row[ROW_PORTS] & 0xffff));
}
