/**
 * QUIC by connection id: a client that changes its address, or whose NAT does, stays with its backend, because the backend has
 * written who it is into the connection id that it gave the client. The layout is QUIC-LB's, unencrypted
 * (draft-ietf-quic-load-balancers-21, sections 3 to 5):
 *
 * ```
 * connection id   first octet | server id, 1 to 15 bytes | nonce, 4 to 18 | whatever the server adds
 * first octet     config rotation, 3 bits | length of what follows, or random, 5 bits
 * ```
 *
 * lb/forwarder.ts asks `findServer` for datagrams of services with it. A connection id that names nobody is not an error:
 * clients make up the first ones themselves. Such a packet goes by the connection table and the flow hash, as any other.
 */
// Hot path: no allocation, no throw, no closure, no await.
import { chainWords4 } from '../hashing/flow-hash.ts';

/** What `findServer` answers for a connection id that is not routable. */
export const NO_SERVER = -1;

/** The rotation that says "not routable", and so is nobody's (section 3.2 of the draft). */
const UNROUTABLE = 7;
const ROTATIONS = 8;
/** Bytes of QUIC version 1's longest connection id without its first octet. */
const MAX_ID_AND_NONCE = 19;
const MIN_NONCE = 4;

const KEY_BYTES = 16;
const KEY_WORDS = 4;

/** Bits and places of a packet's start that no version of QUIC changes (RFC 8999, section 5). */
const LONG_HEADER = 0x80;
const LONG_ID_LENGTH = 5;
const LONG_ID = 6;
const SHORT_ID = 1;

export interface QuicServer {
  readonly serverId: Uint8Array;
  /** What `findServer` answers for it: a number from 0. */
  readonly backend: number;
}

export interface QuicLbConfig {
  /** 0 to 6; the three bits by which connection ids say that they follow this configuration. */
  readonly rotation: number;
  /** Bytes of each of its server ids, 1 to 15. */
  readonly serverIdLength: number;
  /** Bytes behind them, 4 or more; 19 at most together. */
  readonly nonceLength: number;
  /** All servers write the connection id's length into the first octet: then it is checked, and fewer ids are routable by chance. */
  readonly encodesLength?: boolean;
  readonly servers: readonly QuicServer[];
}

/** Made once when a forwarding state is built. By rotation: bytes of the server id, 0 where there is none. */
export interface QuicRoutes {
  readonly serverIdLength: Uint8Array;
  /** Bytes of the shortest connection id, and whether it says its length. */
  readonly shortest: Uint8Array;
  readonly encodesLength: Uint8Array;
  /** Open addressing, at most half full: 16 bytes a slot, the server id, zeros, and last the rotation plus 1. */
  readonly keys: Int32Array;
  readonly backends: Int32Array;
  readonly mask: number;
  readonly seed: number;
}

/** The key that is looked up: filled and read within one call. */
const keyBytes = new Uint8Array(KEY_BYTES);
const keyWords = new Int32Array(keyBytes.buffer);

/** Cold. `seed` is any word that clients don't know. Throws RangeError for what the draft does not allow. */
export function createQuicRoutes(configs: readonly QuicLbConfig[], seed: number): QuicRoutes {
  const count = configs.reduce((sum, { servers }) => sum + servers.length, 0);
  const slots = 2 ** Math.ceil(Math.log2(Math.max(2, count * 2)));
  const routes: QuicRoutes = {
    serverIdLength: new Uint8Array(ROTATIONS),
    shortest: new Uint8Array(ROTATIONS),
    encodesLength: new Uint8Array(ROTATIONS),
    keys: new Int32Array(slots * KEY_WORDS),
    backends: new Int32Array(slots).fill(NO_SERVER),
    mask: slots - 1,
    seed,
  };
  for (const config of configs) addConfig(routes, config);
  return routes;
}

function addConfig(routes: QuicRoutes, config: QuicLbConfig): void {
  const { rotation, serverIdLength, nonceLength, encodesLength = false, servers } = config;
  expectBetween('rotation', rotation, 0, UNROUTABLE - 1);
  expectBetween('serverIdLength', serverIdLength, 1, MAX_ID_AND_NONCE - MIN_NONCE);
  expectBetween('nonceLength', nonceLength, MIN_NONCE, MAX_ID_AND_NONCE - serverIdLength);
  if (routes.serverIdLength[rotation] !== 0) throw new RangeError(`rotation: ${rotation} stands twice`);
  routes.serverIdLength[rotation] = serverIdLength;
  routes.shortest[rotation] = 1 + serverIdLength + nonceLength;
  routes.encodesLength[rotation] = encodesLength ? 1 : 0;
  for (const { serverId, backend } of servers) {
    expectBetween('serverId, bytes', serverId.length, serverIdLength, serverIdLength);
    expectBetween('backend', backend, 0, 0x7fff_ffff);
    keyBytes.fill(0);
    keyBytes.set(serverId);
    keyBytes[KEY_BYTES - 1] = rotation + 1;
    const slot = locate(routes);
    if (routes.backends[slot] !== NO_SERVER) throw new RangeError(`serverId: ${hex(serverId)} stands twice`);
    routes.keys.set(keyWords, slot * KEY_WORDS);
    routes.backends[slot] = backend;
  }
}

function expectBetween(what: string, value: number, min: number, max: number): void {
  if (value >= min && value <= max && Number.isInteger(value)) return;
  throw new RangeError(`${what}: expected ${min === max ? min : `${min} to ${max}`}, got ${value}`);
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/**
 * The backend that the datagram of `length` bytes at `offset` (behind the UDP header) names by its destination connection
 * id, or NO_SERVER. Reads nothing beyond the datagram, whatever it is.
 */
export function findServer(routes: QuicRoutes, view: DataView, offset: number, length: number): number {
  if (length <= LONG_ID) return NO_SERVER;
  if ((view.getUint8(offset) & LONG_HEADER) === 0) {
    return serverOf(routes, view, offset + SHORT_ID, length - SHORT_ID, false);
  }
  const idLength = view.getUint8(offset + LONG_ID_LENGTH);
  if (LONG_ID + idLength > length) return NO_SERVER;
  return serverOf(routes, view, offset + LONG_ID, idLength, true);
}

/** `length` is the connection id's, or, of a short header, which leaves that to the server, of all that may be it. */
function serverOf(routes: QuicRoutes, view: DataView, id: number, length: number, isExact: boolean): number {
  if (length === 0) return NO_SERVER;
  const first = view.getUint8(id);
  const rotation = first >>> 5;
  const serverIdLength = routes.serverIdLength[rotation];
  const shortest = routes.shortest[rotation];
  if (serverIdLength === 0 || length < shortest) return NO_SERVER;
  if (routes.encodesLength[rotation] !== 0) {
    const encoded = 1 + (first & 31);
    if (encoded < shortest || (isExact ? encoded !== length : encoded > length)) return NO_SERVER;
  }
  for (let i = 0; i < KEY_WORDS; i++) keyWords[i] = 0;
  for (let i = 0; i < serverIdLength; i++) keyBytes[i] = view.getUint8(id + 1 + i);
  keyBytes[KEY_BYTES - 1] = rotation + 1;
  return routes.backends[locate(routes)];
}

/** The slot of the key at hand, or the free one where it would be: there always is one. */
function locate({ keys, backends, mask, seed }: QuicRoutes): number {
  let slot = chainWords4(keyWords[0], keyWords[1], keyWords[2], keyWords[3], seed) & mask;
  while (backends[slot] !== NO_SERVER && !isAt(keys, slot * KEY_WORDS)) slot = (slot + 1) & mask;
  return slot;
}

function isAt(keys: Int32Array, at: number): boolean {
  return (
    keys[at] === keyWords[0] &&
    keys[at + 1] === keyWords[1] &&
    keys[at + 2] === keyWords[2] &&
    keys[at + 3] === keyWords[3]
  );
}
