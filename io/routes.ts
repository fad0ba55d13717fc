/**
 * Where the kernel would send a packet: `ip route get`, over rtnetlink, in the network namespace of the calling thread.
 * lb/next-hops.ts asks it for each backend.
 */
import { errno, SystemCallError } from './ffi.ts';
import { addressFamily, attribute, readAddress, readAttributes, readU32, request } from './netlink.ts';

const RTM_NEWROUTE = 24;
const RTM_GETROUTE = 26;
const RTA_DST = 1;
const RTA_OIF = 4;
const RTA_GATEWAY = 5;
const RTA_PREFSRC = 7;
const RTA_METRICS = 8;
const RTA_VIA = 18;
const RTAX_MTU = 2;
const RTAX_ADVMSS = 8;
const RTN_LOCAL = 2;
/** The kernel's answer where a blackhole, unreachable or prohibit route matches (fib_props, net/ipv4/fib_semantics.c). */
const REFUSING_ERRORS = [errno.EINVAL, errno.EHOSTUNREACH, errno.EACCES];
/** Bytes of struct rtmsg, and of the family in front of the address in struct rtvia. */
const RTMSG = 12;
const RTVIA_FAMILY = 2;

export interface Route {
  /** The interface to send from; 0 when `unreachable`. */
  readonly interfaceIndex: number;
  /** The next hop, possibly IPv6 for an IPv4 destination; undefined when the destination is on the link itself. */
  readonly gateway?: Uint8Array;
  /** The address that the kernel would send from. */
  readonly source?: Uint8Array;
  /** The route's or the path's own MTU, where one is known; the interface's counts otherwise. */
  readonly mtu?: number;
  /** The MSS that connections over it announce, where the route says one. */
  readonly advmss?: number;
  /** The destination is this host. */
  readonly local: boolean;
  /** The route says to refuse: blackhole, unreachable or prohibit. */
  readonly unreachable: boolean;
}

const REFUSED: Route = { interfaceIndex: 0, local: false, unreachable: true };

/** The route for a 4 or 16 byte address; undefined when there is none. Throws SystemCallError, RangeError. */
export function lookupRoute(destination: Uint8Array): Route | undefined {
  const header = Buffer.alloc(RTMSG);
  header.writeUInt8(addressFamily(destination), 0);
  header.writeUInt8(destination.length * 8, 1);
  const body = Buffer.concat([header, attribute(RTA_DST, destination)]);
  try {
    const [answer] = request('RTM_GETROUTE', RTM_GETROUTE, 0, body).filter(({ type }) => type === RTM_NEWROUTE);
    return answer && parseRoute(answer.body);
  } catch (error) {
    if (!(error instanceof SystemCallError)) throw error;
    if (error.errno === errno.ENETUNREACH) return undefined;
    if (REFUSING_ERRORS.includes(error.errno)) return REFUSED;
    throw error;
  }
}

function parseRoute(body: Buffer): Route | undefined {
  if (body.length < RTMSG) return undefined;
  const attributes = readAttributes(body, RTMSG);
  const via = attributes.get(RTA_VIA)?.subarray(RTVIA_FAMILY);
  const gateway = readAddress(attributes, RTA_GATEWAY) ?? (via && Uint8Array.from(via));
  const source = readAddress(attributes, RTA_PREFSRC);
  const metrics = attributes.get(RTA_METRICS);
  const mtu = metrics && readU32(readAttributes(metrics), RTAX_MTU);
  const advmss = metrics && readU32(readAttributes(metrics), RTAX_ADVMSS);
  return {
    interfaceIndex: readU32(attributes, RTA_OIF) ?? 0,
    ...(gateway && { gateway }),
    ...(source && { source }),
    ...(mtu && { mtu }),
    ...(advmss && { advmss }),
    local: body.readUInt8(7) === RTN_LOCAL,
    unreachable: false,
  };
}
