/**
 * What captures say of packets' sizes: the MSS that SYNs announced, and the ICMP errors that told somebody how much fits.
 * lab/findings.ts asks for it where a scenario uploads, lab/upload-scenarios.ts promises.
 */
import { ETHERNET_HEADER_LENGTH } from '../wire/ethernet.ts';
import { ACK, SYN } from '../wire/tcp.ts';
import type { Family } from './addresses.ts';
import type { Encap } from './balancer.ts';
import type { CapturedFrame } from './captures.ts';
import type { Roles } from './connections.ts';
import { type IpHeader, openTunnel, PROTOCOL_TCP, readIp } from './ip-headers.ts';

/** An ICMP error that says a packet was too big. */
export interface Telling {
  readonly timeMs: number;
  readonly mtu: number;
  /** Of the packet that it is about. */
  readonly clientPort: number;
}

export interface UploadFindings {
  /** Of each connection. */
  readonly bytes: number;
  readonly family: Family;
  /** Each value once: of SYNs as they left the client, and as they reached a backend; of SYN-ACKs, at the client. */
  readonly mssSent: readonly number[];
  readonly mssArrived: readonly number[];
  readonly mssAnswered: readonly number[];
  /** As they left the balancer, and as they reached the client. */
  readonly told: readonly Telling[];
  readonly heard: readonly Telling[];
  /** Bytes of the largest IP packet that left the balancer, with its tunnel. */
  readonly largestSent: number;
}

/** Of a cable of the lab: veth's own. */
export const LINK_MTU = 1500;
const IP_LENGTH: Readonly<Record<Family, number>> = { 4: 20, 6: 40 };
const TCP_LENGTH = 20;
/** Of what stands between the outer and the inner IP header: UDP and GUE, or GRE. */
const BETWEEN: Readonly<Record<Exclude<Encap, 'l2'>, number>> = { ipip: 0, gue: 8 + 4, gre: 4 };

/** Bytes of the largest IP packet that fits into a tunnel to a backend. */
export function fittingPacket(encap: Encap, family: Family): number {
  return encap === 'l2' ? LINK_MTU : LINK_MTU - IP_LENGTH[family] - BETWEEN[encap];
}

/** The MSS that makes packets of that length: without options, as RFC 6691 has it. */
export function mssFor(packetLength: number, family: Family): number {
  return packetLength - IP_LENGTH[family] - TCP_LENGTH;
}

export function measureUpload(
  frames: readonly CapturedFrame[],
  { client, balancer }: Roles,
  backends: readonly string[],
  upload: { readonly bytes: number; readonly family: Family },
): UploadFindings {
  const mssSent = new Set<number>();
  const mssArrived = new Set<number>();
  const mssAnswered = new Set<number>();
  const told: Telling[] = [];
  const heard: Telling[] = [];
  let largestSent = 0;
  for (const { host, direction, timeMs, bytes } of frames) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const outer = readIp(view, ETHERNET_HEADER_LENGTH);
    if (outer === undefined) continue;
    const isAtBackend = backends.includes(host) && direction === 'in';
    const leavesBalancer = host === balancer && direction === 'out';
    if (leavesBalancer) largestSent = Math.max(largestSent, outer.end - ETHERNET_HEADER_LENGTH);
    const inner = openTunnel(view, outer)?.inner ?? outer;
    const mss = mssOf(view, inner, SYN);
    if (mss !== undefined && isAtBackend) mssArrived.add(mss);
    if (mss !== undefined && host === client && direction === 'out') mssSent.add(mss);
    const answered = host === client && direction === 'in' ? mssOf(view, inner, SYN | ACK) : undefined;
    if (answered !== undefined) mssAnswered.add(answered);
    const telling = tellingOf(view, outer);
    if (telling === undefined) continue;
    if (leavesBalancer) told.push({ timeMs, ...telling });
    if (host === client && direction === 'in') heard.push({ timeMs, ...telling });
  }
  const announced = { mssSent: [...mssSent], mssArrived: [...mssArrived], mssAnswered: [...mssAnswered] };
  return { ...upload, ...announced, told, heard, largestSent };
}

const [OPTION_END, OPTION_PADDING, OPTION_MSS] = [0, 1, 2];

/** Of a segment with just these flags: the option of RFC 9293, 3.7.1. */
function mssOf(view: DataView, { protocol, payload }: IpHeader, flags: number): number | undefined {
  if (protocol !== PROTOCOL_TCP || payload + TCP_LENGTH > view.byteLength) return undefined;
  if (view.getUint8(payload + 13) !== flags) return undefined;
  const end = Math.min(view.byteLength, payload + (view.getUint8(payload + 12) >> 4) * 4);
  for (let at = payload + TCP_LENGTH; at + 4 <= end; ) {
    const kind = view.getUint8(at);
    if (kind === OPTION_END) return undefined;
    if (kind === OPTION_MSS) return view.getUint16(at + 2);
    at += kind === OPTION_PADDING ? 1 : Math.max(2, view.getUint8(at + 1));
  }
  return undefined;
}

const [ICMP, ICMPV6] = [1, 58];
/** Type and code as one number: RFC 792 and RFC 1191, RFC 4443. */
const FRAGMENTATION_NEEDED = 0x0304;
const PACKET_TOO_BIG = 0x0200;
const ICMP_LENGTH = 8;

function tellingOf(view: DataView, { protocol, payload }: IpHeader): Omit<Telling, 'timeMs'> | undefined {
  if (payload + ICMP_LENGTH > view.byteLength) return undefined;
  const what = view.getUint16(payload);
  const isTelling =
    (protocol === ICMP && what === FRAGMENTATION_NEEDED) || (protocol === ICMPV6 && what === PACKET_TOO_BIG);
  const quoted = isTelling ? readIp(view, payload + ICMP_LENGTH) : undefined;
  if (quoted === undefined || quoted.payload + 2 > view.byteLength) return undefined;
  const mtu = protocol === ICMP ? view.getUint16(payload + 6) : view.getUint32(payload + 4);
  return { mtu, clientPort: view.getUint16(quoted.payload) };
}
