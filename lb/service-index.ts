/**
 * Which service does a packet belong to: an open-addressing table over (VIP, port, protocol), one probe in the common
 * case. Built with a forwarding state, read by the forwarder.
 *
 * ```
 *   row:  VIP, four words │ family | port << 8 | protocol │ service index
 *                         │ family | VIP_KEY              │ VIP_ONLY, or where its wide services begin │ first │ sole
 * ```
 *
 * An IPv4 VIP is its packet word and three zeros. Every VIP has a row of its own, so that "a VIP, but another port" has a name. Services on port ranges, or on all ports, are
 * found from there, by a walk over the VIP's own; a service on the very port comes before them, a narrow range before a wide
 * one.
 */
// Hot path: no allocation, no throw, no closure, no await.
import { PROTOCOL_TCP } from '../wire/ipv4.ts';
import { swapPort } from '../wire/tcp.ts';
import { PROTOCOL_UDP } from '../wire/udp.ts';

/** What `findService` returns where no service matches. */
export const NO_SERVICE = -1;
export const VIP_ONLY = -2;

const EMPTY = -3;
/** In the row of a VIP: its first wide service stands in `wide` at WIDE minus this. */
const WIDE = -4;
const ROW_SHIFT = 3;
const ROW = 1 << ROW_SHIFT;
const KEY = 4;
const VALUE = 5;
/** Of a VIP: its first service, and in each half, TCP's and UDP's, the number of its only one, from 1 on; 0 for several. */
const FIRST = 6;
const SOLE = 7;
/** No protocol has the number 255 (IANA: reserved), so this key is nobody's port. */
const VIP_KEY = 255;
/** In the keys of IPv6, above port and protocol. */
const IPV6 = 1 << 24;

/** A wide service: first port, last port, protocol, service index. A VIP's own end with one whose first port is END. */
const WIDE_ROW = 4;
const END = -1;

export interface ServiceIndex {
  readonly rows: Int32Array;
  /** Shift that takes a 32-bit hash to a row number; rows are a power of two. */
  readonly shift: number;
  readonly wide: Int32Array;
}

/** A service's address as packet words (wire/ipv4.ts `addressWord`, wire/ipv6.ts), one or four, and its ports as numbers. */
export interface ServiceKey {
  readonly vip: readonly number[];
  readonly firstPort: number;
  readonly lastPort: number;
  readonly protocol: number;
}

/** The index of `keys`: a key's place in the list is its service index. At most half of the rows are taken. */
export function buildServiceIndex(keys: readonly ServiceKey[]): ServiceIndex {
  const vips = new Map<string, (readonly [number, ServiceKey])[]>();
  for (const [service, key] of keys.entries()) {
    const name = key.vip.join();
    const own = vips.get(name);
    if (own === undefined) vips.set(name, [[service, key]]);
    else own.push([service, key]);
  }
  const bits = Math.max(2, Math.ceil(Math.log2((keys.length + vips.size) * 2)));
  const rows = new Int32Array(ROW << bits);
  const wide: number[] = [];
  const shift = 32 - bits;
  const put = (vip: readonly number[], port: number, value: number, first = 0, sole = 0): void => {
    const [word0, word1 = 0, word2 = 0, word3 = 0] = vip;
    const key = vip.length === 4 ? port | IPV6 : port;
    const at = probe(rows, shift, word0, word1, word2, word3, key);
    rows.set([word0, word1, word2, word3, key, value, first, sole], at);
  };
  for (let at = VALUE; at < rows.length; at += ROW) rows[at] = EMPTY;
  for (const [service, { vip, firstPort, lastPort, protocol }] of keys.entries()) {
    if (firstPort === lastPort) put(vip, (swapPort(firstPort) << 8) | protocol, service);
  }
  for (const own of vips.values()) {
    const { vip } = own[0][1];
    const ranges = own
      .filter(([, key]) => key.firstPort !== key.lastPort)
      .sort(([, a], [, b]) => a.lastPort - a.firstPort - (b.lastPort - b.firstPort));
    const sole = soleOf(own, PROTOCOL_TCP) | (soleOf(own, PROTOCOL_UDP) << 16);
    put(vip, VIP_KEY, ranges.length === 0 ? VIP_ONLY : WIDE - wide.length, own[0][0], sole);
    for (const [service, { firstPort, lastPort, protocol }] of ranges) {
      wide.push(firstPort, lastPort, protocol, service);
    }
    if (ranges.length > 0) wide.push(END, 0, 0, 0);
  }
  return { rows, shift, wide: Int32Array.from(wide) };
}

function soleOf(own: readonly (readonly [number, ServiceKey])[], protocol: number): number {
  const those = own.filter(([, key]) => key.protocol === protocol);
  return those.length === 1 ? those[0][0] + 1 : 0;
}

/** Start of the row that holds the key, or of the empty one where it would stand. */
function probe(
  rows: Int32Array,
  shift: number,
  word0: number,
  word1: number,
  word2: number,
  word3: number,
  key: number,
): number {
  const folded = word0 ^ Math.imul(word1 ^ Math.imul(word2 ^ Math.imul(word3, PRIME), PRIME), PRIME);
  let at = (Math.imul(Math.imul(folded, 0x9e3779b1) ^ key, 0x85ebca6b) >>> shift) << ROW_SHIFT;
  while (
    rows[at | VALUE] !== EMPTY &&
    (rows[at] !== word0 ||
      rows[at | KEY] !== key ||
      rows[at | 1] !== word1 ||
      rows[at | 2] !== word2 ||
      rows[at | 3] !== word3)
  ) {
    at += ROW;
    if (at === rows.length) at = 0;
  }
  return at;
}

/** The same for IPv4: its keys are of no IPv6 row, so three words need no look. */
function probeIpv4(rows: Int32Array, shift: number, vip: number, key: number): number {
  let at = (Math.imul(Math.imul(vip, 0x9e3779b1) ^ key, 0x85ebca6b) >>> shift) << ROW_SHIFT;
  while (rows[at | VALUE] !== EMPTY && (rows[at] !== vip || rows[at | KEY] !== key)) {
    at += ROW;
    if (at === rows.length) at = 0;
  }
  return at;
}

/** Odd, so that no two words share a product. */
const PRIME = 0xc2b2ae35;

/**
 * The service's index, `VIP_ONLY` for a VIP's other ports and protocols, `NO_SERVICE` for everybody else's packets. `port`
 * is the packet's two bytes loaded little-endian (wire/tcp.ts, `destinationPortOf`).
 */
export function findService(index: ServiceIndex, vip: number, port: number, protocol: number): number {
  const { rows, shift } = index;
  const value = rows[probeIpv4(rows, shift, vip, (port << 8) | protocol) | VALUE];
  return value !== EMPTY ? value : findWide(index, rows[probeIpv4(rows, shift, vip, VIP_KEY) | VALUE], port, protocol);
}

/** The same for an IPv6 address, as its four words. */
export function findService6(
  index: ServiceIndex,
  word0: number,
  word1: number,
  word2: number,
  word3: number,
  port: number,
  protocol: number,
): number {
  const { rows, shift } = index;
  const value = rows[probe(rows, shift, word0, word1, word2, word3, IPV6 | (port << 8) | protocol) | VALUE];
  if (value !== EMPTY) return value;
  return findWide(index, rows[probe(rows, shift, word0, word1, word2, word3, IPV6 | VIP_KEY) | VALUE], port, protocol);
}

/** Place of an IPv6 VIP's row, or NO_SERVICE: for packets without ports. */
export function vipRow6(index: ServiceIndex, word0: number, word1: number, word2: number, word3: number): number {
  const at = probe(index.rows, index.shift, word0, word1, word2, word3, IPV6 | VIP_KEY);
  return index.rows[at | VALUE] === EMPTY ? NO_SERVICE : at;
}

/** The same for an IPv4 VIP. */
export function vipRow(index: ServiceIndex, vip: number): number {
  const at = probeIpv4(index.rows, index.shift, vip, VIP_KEY);
  return index.rows[at | VALUE] === EMPTY ? NO_SERVICE : at;
}

/** A service of the VIP whose row that is: the first in the configuration. */
export function firstService(index: ServiceIndex, row: number): number {
  return index.rows[row | FIRST];
}

/** The VIP's only service of a protocol, TCP or UDP; NO_SERVICE where there is none, or several. */
export function soleService(index: ServiceIndex, row: number, protocol: number): number {
  const sole = index.rows[row | SOLE];
  return (protocol === PROTOCOL_UDP ? sole >>> 16 : sole & 0xffff) - 1;
}

function vipOnly(value: number): number {
  return value === EMPTY ? NO_SERVICE : VIP_ONLY;
}

/** Among the wide services of a VIP, whose row says `value`. */
function findWide({ wide }: ServiceIndex, value: number, port: number, protocol: number): number {
  if (value > WIDE) return vipOnly(value);
  const number = swapPort(port);
  for (let at = WIDE - value; wide[at] !== END; at += WIDE_ROW) {
    if (number >= wide[at] && number <= wide[at + 1] && protocol === wide[at + 2]) return wide[at + 3];
  }
  return VIP_ONLY;
}
