/**
 * Questions about connection tables on their way to a worker and back: plain numbers, because a worker knows no names. Names
 * become indexes here, and indexes names, on the main thread (lb/ask.ts); lb/entry-scan.ts answers in the worker.
 */
import { xxh32Word } from '../hashing/flow-hash.ts';
import { addressDigest, addressWord } from '../hashing/flow-hash-ipv6.ts';
import { parseAddress } from '../wire/address.ts';
import { serviceIndex } from './edit.ts';
import { HushlbError } from './errors.ts';
import { isSinglePort, type PortRange } from './ports.ts';
import type { Prepared } from './prepare.ts';
import { tableNames } from './table-names.ts';
import type { EntryFilter, WorkerRequest } from './worker-requests.ts';

/** One service's table. */
export interface QueryTarget {
  readonly name: string;
  /** The number of its connection table. */
  readonly connections: number;
  /** Entries of this backend only; -1: of all. */
  readonly backend: number;
  readonly ports: PortRange;
}

/** What the table knows a client by. */
export interface ClientKey {
  /** The address of IPv4 or what stands for one of IPv6, as a signed packet word: the key's first. */
  readonly word: number;
  /** The connection's hash before its last link: of the address alone. */
  readonly digest: number;
}

export interface EntryQuery {
  readonly id: number;
  readonly kind: WorkerRequest['kind'];
  readonly targets: readonly QueryTarget[];
  /** Null: all. */
  readonly client: ClientKey | null;
  /** -1: all. */
  readonly port: number;
  readonly divergentOnly: boolean;
  /** Entries that are told; all are counted. */
  readonly limit: number;
}

export interface EntryReport {
  readonly id: number;
  readonly matched: number;
  /** Of `list` and `lookup`: ENTRY_ROW words each; of `count`: COUNT_ROW; of `flush` none. */
  readonly rows: Uint32Array<ArrayBuffer>;
}

/** Words of an entry's row: place among the targets, both key words, backend, two times in ms, flags. */
export const ENTRY_ROW = 7;
export const FLAG_PROVEN = 1;
export const FLAG_CLOSING = 2;
export const FLAG_DIVERGENT = 4;
/** The hash could be asked. */
export const FLAG_JUDGED = 8;
/** Place among the targets, backend, entries, those of them that diverge. */
export const COUNT_ROW = 4;

/** Throws HushlbError UNKNOWN_SERVICE, UNKNOWN_BACKEND or CLIENT_INVALID for names and addresses that mean nothing. */
export function queryOf(id: number, request: WorkerRequest, { config, places }: Prepared): EntryQuery {
  const filter = filterOf(request);
  const client = filter.client === undefined ? null : clientBytes(filter.client);
  // Says which there are, where there is none of that name.
  if (filter.service !== undefined) serviceIndex(config, filter.service);
  const named = config.services.flatMap(({ name, vip, ports, backends, conntrack }, i) => {
    if (filter.service !== undefined && filter.service !== name) return [];
    const place = places.services[i];
    const known = [...place.backends, ...place.retired];
    const backend = known.find((candidate) => candidate.name === filter.backend)?.index ?? -1;
    const isIpv6 = vip.includes(':');
    return [{ name, connections: place.connections, backend, ports, backends, isIpv6, hasTable: conntrack.enabled }];
  });
  const targets = named.filter(({ backend }) => filter.backend === undefined || backend >= 0);
  if (targets.length === 0) {
    const known = [...new Set(named.flatMap(({ backends }) => backends.map(({ name }) => name)))].join(', ');
    throw new HushlbError('UNKNOWN_BACKEND', `no service has a backend ${filter.backend}: they have ${known}`);
  }
  return {
    id,
    kind: request.kind,
    targets: targets
      .filter(({ isIpv6, hasTable }) => hasTable && (client === null || isIpv6 === (client.length === 16)))
      .map(({ name, connections, backend, ports }) => ({ name, connections, backend, ports })),
    client: client === null ? null : clientKey(client, config.hashSeed),
    port: filter.port ?? -1,
    divergentOnly: filter.divergent === true,
    limit: request.kind === 'list' ? request.limit : 1,
  };
}

function filterOf(request: WorkerRequest): EntryFilter {
  if (request.kind !== 'lookup') return request.filter ?? {};
  const { service, client, port } = request;
  return { service, client, port };
}

function clientBytes(text: string): Uint8Array {
  const bytes = parseAddress(text);
  if (bytes === undefined) throw new HushlbError('CLIENT_INVALID', `client "${text}": expected an IP address`);
  return bytes;
}

function clientKey(bytes: Uint8Array, seed: number): ClientKey {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length === 16) return { word: addressWord(view, 0, seed), digest: addressDigest(view, 0, seed) };
  const word = view.getInt32(0, true);
  return { word, digest: xxh32Word(word, seed) };
}

/** Names of what a report's rows say. */
export interface Names {
  target(row: number): QueryTarget;
  backend(target: QueryTarget, index: number): string;
  /** Whether its clients' addresses stand in the table. */
  isIpv6(target: QueryTarget): boolean;
}

/** By the configuration that is in force when the answer comes. */
export function namesOf({ targets }: EntryQuery, prepared: Prepared): Names {
  const names = tableNames(prepared);
  return {
    target: (row) => targets[row],
    isIpv6: ({ connections }) => names.service(connections)?.isIpv6 === true,
    backend: ({ connections }, index) => names.backend(connections, index) ?? `removed (${index})`,
  };
}

/** A service with one port: an entry's own says nothing then. */
export function hasOnePort({ ports }: QueryTarget): boolean {
  return isSinglePort(ports);
}
