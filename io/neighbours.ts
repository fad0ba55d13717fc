/**
 * The kernel's neighbour table (ARP and NDP): read it, and ask the kernel to resolve an entry. lb/next-hops.ts takes
 * the backends' MAC addresses from here. Over rtnetlink (linux/neighbour.h), in the network namespace of the calling
 * thread.
 */
import { errno, SystemCallError } from './ffi.ts';
import { addressFamily, attribute, dump, readAddress, readAttributes, request } from './netlink.ts';

const RTM_NEWNEIGH = 28;
const RTM_GETNEIGH = 30;
const NDA_DST = 1;
const NDA_LLADDR = 2;
const NTF_USE = 1;
const NLM_F_CREATE = 0x400;
const NLM_F_EXCL = 0x200;
/** Bytes of struct ndmsg. */
const NDMSG = 12;

/** NUD_… bits and their names; an entry is in one of these states. */
const STATES = {
  0: 'NONE',
  1: 'INCOMPLETE',
  2: 'REACHABLE',
  4: 'STALE',
  8: 'DELAY',
  16: 'PROBE',
  32: 'FAILED',
  64: 'NOARP',
  128: 'PERMANENT',
} as const;
export type NeighbourState = (typeof STATES)[keyof typeof STATES];

export interface Neighbour {
  readonly interfaceIndex: number;
  /** 4 or 16 bytes. */
  readonly address: Uint8Array;
  /** 6 bytes; undefined while it is not known, and when it was and got lost: the kernel shows it in NUD_VALID only. */
  readonly mac: Uint8Array | undefined;
  readonly state: NeighbourState;
  /** Frames may be sent to `mac`: neither NONE nor INCOMPLETE nor FAILED. */
  readonly usable: boolean;
}

/** All entries of IPv4 and IPv6. Throws SystemCallError. */
export function readNeighbours(): Neighbour[] {
  return dump('RTM_GETNEIGH', RTM_GETNEIGH, Buffer.alloc(NDMSG)).flatMap(({ type, body }) =>
    type === RTM_NEWNEIGH ? (parseNeighbour(body) ?? []) : [],
  );
}

function parseNeighbour(body: Buffer): Neighbour | undefined {
  if (body.length < NDMSG) return undefined;
  const attributes = readAttributes(body, NDMSG);
  const address = readAddress(attributes, NDA_DST);
  if (address === undefined) return undefined;
  const lladdr = attributes.get(NDA_LLADDR);
  const mac = lladdr?.length === 6 ? Uint8Array.from(lladdr) : undefined;
  const state = STATES[body.readUInt16LE(8) as keyof typeof STATES] ?? 'NONE';
  return {
    interfaceIndex: body.readInt32LE(4),
    address,
    mac,
    state,
    usable: mac !== undefined,
  };
}

/**
 * Has the kernel behave as if it had a packet for `address`: an unknown or failed entry is resolved at once, a stale one
 * is confirmed some seconds later, at its old MAC: one that moved without a word becomes FAILED, and the next probe finds
 * it. IPv6 asks from the interface's link-local address, and not at all without one. Returns before the answer, which
 * shows in the table. An administrator's entry stays as it is: to tell the kernel that it is used would take its permanence away
 * (NTF_USE in __neigh_update, Linux 6.18), so an entry that is there is looked at first. Throws SystemCallError: EPERM without
 * CAP_NET_ADMIN, ENODEV without such an interface; RangeError for an address that is not of 4 or 16 bytes.
 */
export function probeNeighbour(interfaceIndex: number, address: Uint8Array): void {
  const body = (flags: number): Buffer => {
    const header = Buffer.alloc(NDMSG);
    header.writeUInt8(addressFamily(address), 0);
    header.writeInt32LE(interfaceIndex, 4);
    header.writeUInt8(flags, 10);
    return Buffer.concat([header, attribute(NDA_DST, address)]);
  };
  try {
    request('RTM_NEWNEIGH', RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_EXCL, body(NTF_USE));
  } catch (error) {
    if (!(error instanceof SystemCallError && error.errno === errno.EEXIST)) throw error;
    const isFixed = request('RTM_GETNEIGH', RTM_GETNEIGH, 0, body(0)).some(
      (message) => parseNeighbour(message.body)?.state === 'PERMANENT',
    );
    if (!isFixed) request('RTM_NEWNEIGH', RTM_NEWNEIGH, NLM_F_CREATE, body(NTF_USE));
  }
}
