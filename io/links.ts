/**
 * Interfaces and their addresses, asked from the kernel over rtnetlink in the network namespace of the calling thread.
 * For the daemon's start-up checks, for its next hops (source MAC, MTU) and for the lab.
 */
import { errno, SystemCallError } from './ffi.ts';
import {
  AF_UNSPEC,
  attribute,
  dump,
  type NetlinkMessage,
  readAddress,
  readAttributes,
  readText,
  readU32,
  request,
} from './netlink.ts';

const RTM_NEWLINK = 16;
const RTM_GETLINK = 18;
const RTM_NEWADDR = 20;
const RTM_GETADDR = 22;
const IFLA_ADDRESS = 1;
const IFLA_IFNAME = 3;
const IFLA_MTU = 4;
const IFLA_LINKINFO = 18;
const IFLA_NUM_TX_QUEUES = 31;
const IFLA_NUM_RX_QUEUES = 32;
const IFLA_INFO_KIND = 1;
const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const IFF_UP = 0x1;
const IFF_LOWER_UP = 0x10000;
const IFNAMSIZ = 16;
/** Bytes of struct ifinfomsg and struct ifaddrmsg. */
const IFINFOMSG = 16;
const IFADDRMSG = 8;

export interface Link {
  readonly index: number;
  readonly name: string;
  /** 6 bytes; undefined where interfaces have none (tunnels). */
  readonly mac: Uint8Array | undefined;
  readonly mtu: number;
  /** The administrator's wish (IFF_UP). */
  readonly up: boolean;
  /** There is a carrier: a cable, or a peer that is up (IFF_LOWER_UP). */
  readonly running: boolean;
  readonly rxQueues: number;
  readonly txQueues: number;
  /** The driver's word for virtual interfaces: veth, bridge, vxlan … */
  readonly kind: string | undefined;
}

/** The interface of that name or index; undefined when there is none. Throws SystemCallError. */
export function readLink(nameOrIndex: string | number): Link | undefined {
  const header = Buffer.alloc(IFINFOMSG);
  let body = header;
  if (typeof nameOrIndex === 'number') {
    if (nameOrIndex <= 0) return undefined;
    header.writeInt32LE(nameOrIndex, 4);
  } else {
    const name = Buffer.from(`${nameOrIndex}\0`);
    if (name.length < 2 || name.length > IFNAMSIZ) return undefined;
    body = Buffer.concat([header, attribute(IFLA_IFNAME, name)]);
  }
  try {
    const [answer] = request('RTM_GETLINK', RTM_GETLINK, 0, body).filter(({ type }) => type === RTM_NEWLINK);
    return answer && parseLink(answer);
  } catch (error) {
    if (error instanceof SystemCallError && error.errno === errno.ENODEV) return undefined;
    throw error;
  }
}

/** All interfaces of the namespace. Throws SystemCallError. */
export function readLinks(): Link[] {
  return dump('RTM_GETLINK', RTM_GETLINK, Buffer.alloc(IFINFOMSG)).flatMap((message) => parseLink(message) ?? []);
}

function parseLink({ body }: NetlinkMessage): Link | undefined {
  if (body.length < IFINFOMSG) return undefined;
  const flags = body.readUInt32LE(8);
  const attributes = readAttributes(body, IFINFOMSG);
  const mac = attributes.get(IFLA_ADDRESS);
  const info = attributes.get(IFLA_LINKINFO);
  return {
    index: body.readInt32LE(4),
    name: readText(attributes, IFLA_IFNAME) ?? '',
    mac: mac?.length === 6 ? Uint8Array.from(mac) : undefined,
    mtu: readU32(attributes, IFLA_MTU) ?? 0,
    up: (flags & IFF_UP) !== 0,
    running: (flags & IFF_LOWER_UP) !== 0,
    rxQueues: readU32(attributes, IFLA_NUM_RX_QUEUES) ?? 1,
    txQueues: readU32(attributes, IFLA_NUM_TX_QUEUES) ?? 1,
    kind: info && readText(readAttributes(info), IFLA_INFO_KIND),
  };
}

export interface InterfaceAddress {
  readonly interfaceIndex: number;
  /** 4 or 16 bytes. */
  readonly address: Uint8Array;
  readonly prefixLength: number;
}

/** The addresses of all interfaces. Throws SystemCallError. */
export function readAllAddresses(): InterfaceAddress[] {
  const header = Buffer.alloc(IFADDRMSG);
  header.writeUInt8(AF_UNSPEC, 0);
  return dump('RTM_GETADDR', RTM_GETADDR, header).flatMap(({ type, body }) => {
    if (type !== RTM_NEWADDR || body.length < IFADDRMSG) return [];
    const attributes = readAttributes(body, IFADDRMSG);
    // On point-to-point links IFA_ADDRESS is the peer's; IPv6 without a peer has no IFA_LOCAL.
    const address = readAddress(attributes, IFA_LOCAL) ?? readAddress(attributes, IFA_ADDRESS);
    if (address === undefined) return [];
    return [{ interfaceIndex: body.readInt32LE(4), address, prefixLength: body.readUInt8(1) }];
  });
}

/** The interface's own addresses, 4 bytes for IPv4 and 16 for IPv6; none when it does not exist. Throws SystemCallError. */
export function readAddresses(index: number): Uint8Array[] {
  return readAllAddresses()
    .filter(({ interfaceIndex }) => interfaceIndex === index)
    .map(({ address }) => address);
}
