/**
 * Which service does a packet belong to: an open-addressing table over (VIP, port, protocol), one probe in the common
 * case. Built with a forwarding state, read by the forwarder.
 *
 * ```
 *   row:  VIP word │ port << 8 | protocol │ service index        a row of its own for the bare VIP,
 *         VIP word │ VIP_KEY              │ VIP_ONLY             so that "a VIP, but another port" has a name
 * ```
 */
// Hot path: no allocation, no throw, no closure, no await.

/** What `findService` returns where no service matches. */
export const NO_SERVICE = -1;
export const VIP_ONLY = -2;

const EMPTY = -3;
const ROW = 3;
/** No protocol has the number 255 (IANA: reserved), so this key is nobody's port. */
const VIP_KEY = 255;

export interface ServiceIndex {
  readonly rows: Int32Array;
  /** Shift that takes a 32-bit hash to a row number; rows are a power of two. */
  readonly shift: number;
}

/** A service's address as packet words: see wire/ipv4.ts `addressWord` and wire/tcp.ts `destinationPortOf`. */
export interface ServiceKey {
  readonly vip: number;
  readonly port: number;
  readonly protocol: number;
}

/** The index of `keys`: a key's place in the list is its service index. At most half of the rows are taken. */
export function buildServiceIndex(keys: readonly ServiceKey[]): ServiceIndex {
  const vips = [...new Set(keys.map((key) => key.vip))];
  const bits = Math.max(2, Math.ceil(Math.log2((keys.length + vips.length) * 2)));
  const index: ServiceIndex = { rows: new Int32Array(ROW << bits), shift: 32 - bits };
  for (let i = 2; i < index.rows.length; i += ROW) index.rows[i] = EMPTY;
  for (let i = 0; i < keys.length; i++) put(index, keys[i].vip, (keys[i].port << 8) | keys[i].protocol, i);
  for (const vip of vips) put(index, vip, VIP_KEY, VIP_ONLY);
  return index;
}

function put(index: ServiceIndex, vip: number, key: number, value: number): void {
  const row = probe(index, vip, key);
  index.rows[row] = vip;
  index.rows[row + 1] = key;
  index.rows[row + 2] = value;
}

/** Start of the row that holds the key, or of the empty one where it would stand. */
function probe(index: ServiceIndex, vip: number, key: number): number {
  const rows = index.rows;
  let row = (Math.imul(Math.imul(vip, 0x9e3779b1) ^ key, 0x85ebca6b) >>> index.shift) * ROW;
  while (rows[row + 2] !== EMPTY && (rows[row] !== vip || rows[row + 1] !== key)) {
    row += ROW;
    if (row === rows.length) row = 0;
  }
  return row;
}

/** The service's index, `VIP_ONLY` for a VIP's other ports and protocols, `NO_SERVICE` for everybody else's packets. */
export function findService(index: ServiceIndex, vip: number, port: number, protocol: number): number {
  const value = index.rows[probe(index, vip, (port << 8) | protocol) + 2];
  return value !== EMPTY ? value : findVip(index, vip);
}

/** `VIP_ONLY` or `NO_SERVICE`: for packets without ports. */
export function findVip(index: ServiceIndex, vip: number): number {
  const value = index.rows[probe(index, vip, VIP_KEY) + 2];
  return value !== EMPTY ? value : NO_SERVICE;
}
