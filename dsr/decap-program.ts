/**
 * The XDP program that takes the balancer's headers off on a backend: the counterpart of dsr/tunnel.ts, for hosts whose
 * kernel lacks the tunnel device, or whose owner wants none.
 *
 * It touches whole, well-formed packets of one encapsulation: IPv4 without fragmentation or IPv6 without extension headers
 * outside, then what the encapsulation puts between, an IPv4 or IPv6 header inside, and, if wanted, an outer destination that
 * is one of the host's own. The Ethernet header moves forward over all that, with the EtherType of the inner packet, the
 * packet's start follows, and the kernel receives what the client sent. Everything else passes untouched.
 *
 * What routers on the way wrote into the outer header's ECN is handed on to the inner one (RFC 6040, section 4.2).
 */
import { XDP_ADJUST_HEAD, XDP_DROP, XDP_MD_DATA, XDP_MD_DATA_END, XDP_PASS } from '../io/bpf.ts';
import {
  alu,
  type Code,
  call,
  exit,
  jump,
  jumpIf,
  label,
  load,
  networkOrder16,
  store,
  toBigEndian,
} from '../io/bpf-assembler.ts';
import { ETHERNET_HEADER_LENGTH, ETHERTYPE_IPV4, ETHERTYPE_IPV6 } from '../wire/ethernet.ts';
import { GRE_HEADER_LENGTH, PROTOCOL_GRE } from '../wire/gre.ts';
import { GUE_HEADER_LENGTH } from '../wire/gue.ts';
import { IPV4_HEADER_LENGTH, PROTOCOL_IPIP } from '../wire/ipv4.ts';
import { IPV6_HEADER_LENGTH, PROTOCOL_IPV6 } from '../wire/ipv6.ts';
import { PROTOCOL_UDP, UDP_HEADER_LENGTH } from '../wire/udp.ts';
import {
  DESTINATION_AT,
  ETHERTYPE_AT,
  IPV6_DESTINATION_AT,
  IPV6_NEXT_HEADER_AT,
  ipv4HeaderLength,
  jumpIfOneOf,
  PROTOCOL_AT,
  passFragments,
  passUnlessLong,
  passUnlessVersion,
} from './frame-instructions.ts';

export type TunnelEncap = 'ipip' | 'gue' | 'gre';

export interface DecapProgramOptions {
  readonly encap: TunnelEncap;
  /** UDP destination port of GUE. */
  readonly port: number;
  /** Outer destinations to strip, 4 or 16 bytes each, at least one; `undefined` strips whatever the address. */
  readonly addresses: readonly Uint8Array[] | undefined;
  /** Instructions that count a packet; they may change r1 and r2. */
  readonly countStripped: Code;
  readonly countDropped: Code;
}

const TOS_AT = 15;
const IPV4_CHECKSUM_AT = 24;
/** Codepoints of ECN (RFC 3168): congestion experienced is both bits. */
const NOT_ECT = 0;
const ECT_1 = 1;
const ECT_0 = 2;
const CE = 3;
/** The traffic class of IPv6 stands four bits to the left. */
const TRAFFIC_CLASS_SHIFT = 4;

/**
 * Registers: r6 the context, r7 the frame's start, r8 its end. From `outer` on r9 the bytes to strip, which grow header by
 * header, r0 the protocol behind the outer header, r4 its ECN; from `inner…` on r5 where the Ethernet header will start.
 */
export function decapProgram(options: DecapProgramOptions): Code {
  const { encap, port, addresses, countStripped, countDropped } = options;
  const behindOuter = { ipip: ipipHeaders, gre: greHeader, gue: () => gueHeaders(port) }[encap];
  return [
    alu('r6', '=', 'r1'),
    load('u32', 'r7', 'r6', XDP_MD_DATA),
    load('u32', 'r8', 'r6', XDP_MD_DATA_END),
    passUnlessLong('r7', IPV4_HEADER_LENGTH),
    load('u16', 'r1', 'r7', ETHERTYPE_AT),
    jumpIf('r1', '==', networkOrder16(ETHERTYPE_IPV6), 'outer IPv6'),
    outerIpv4(addresses?.filter(({ length }) => length === 4)),
    label('outer IPv6'),
    outerIpv6(addresses?.filter(({ length }) => length === 16)),

    label('outer'),
    behindOuter(),
    label('inner IPv4'),
    innerHeader(4, IPV4_HEADER_LENGTH),
    congestionOfIpv4(),
    label('unmarked IPv4'),
    alu('r3', '=', networkOrder16(ETHERTYPE_IPV4)),
    jump('strip'),
    label('inner IPv6'),
    innerHeader(6, IPV6_HEADER_LENGTH),
    congestionOfIpv6(),
    label('unmarked IPv6'),
    alu('r3', '=', networkOrder16(ETHERTYPE_IPV6)),

    label('strip'),
    load('u64', 'r1', 'r7', 0),
    load('u32', 'r2', 'r7', 8),
    store('u64', 'r5', 0, 'r1'),
    store('u32', 'r5', 8, 'r2'),
    store('u16', 'r5', ETHERTYPE_AT, 'r3'),
    alu('r1', '=', 'r6'),
    alu('r2', '=', 'r9'),
    call(XDP_ADJUST_HEAD),
    jumpIf('r0', '!=', 0, 'pass'),
    countStripped,

    label('pass'),
    alu('r0', '=', XDP_PASS),
    exit(),
    label('drop'),
    countDropped,
    alu('r0', '=', XDP_DROP),
    exit(),
  ];
}

function outerIpv4(addresses: readonly Uint8Array[] | undefined): Code {
  if (addresses?.length === 0) return [jump('pass')];
  return [
    ipv4HeaderLength(),
    passFragments(),
    passUnlessOwn(addresses, DESTINATION_AT),
    load('u8', 'r4', 'r7', TOS_AT),
    alu('r4', '&=', CE),
    load('u8', 'r0', 'r7', PROTOCOL_AT),
    jump('outer'),
  ];
}

function outerIpv6(addresses: readonly Uint8Array[] | undefined): Code {
  if (addresses?.length === 0) return [jump('pass')];
  return [
    passUnlessLong('r7', IPV6_HEADER_LENGTH),
    passUnlessVersion('r7', 6),
    passUnlessOwn(addresses, IPV6_DESTINATION_AT),
    alu('r9', '=', IPV6_HEADER_LENGTH),
    load('u8', 'r4', 'r7', TOS_AT),
    alu('r4', '>>=', TRAFFIC_CLASS_SHIFT),
    alu('r4', '&=', CE),
    load('u8', 'r0', 'r7', IPV6_NEXT_HEADER_AT),
  ];
}

function passUnlessOwn(addresses: readonly Uint8Array[] | undefined, at: number): Code {
  if (addresses === undefined) return [];
  const own = `own ${at}`;
  return [jumpIfOneOf(addresses, at, own), jump('pass'), label(own)];
}

/** RFC 2003, RFC 2473, RFC 4213: the protocol says what is inside. */
function ipipHeaders(): Code {
  return [
    jumpIf('r0', '==', PROTOCOL_IPV6, 'inner IPv6'),
    jumpIf('r0', '!=', PROTOCOL_IPIP, 'pass'),
    jump('inner IPv4'),
  ];
}

/** RFC 2784 without checksum, and without the key and sequence number of RFC 2890. */
function greHeader(): Code {
  return [
    jumpIf('r0', '!=', PROTOCOL_GRE, 'pass'),
    alu('r5', '=', 'r7'),
    alu('r5', '+=', 'r9'),
    passUnlessLong('r5', GRE_HEADER_LENGTH),
    load('u16', 'r1', 'r5', ETHERNET_HEADER_LENGTH),
    jumpIf('r1', '!=', 0, 'pass'),
    load('u16', 'r1', 'r5', ETHERNET_HEADER_LENGTH + 2),
    alu('r9', '+=', GRE_HEADER_LENGTH),
    jumpIf('r1', '==', networkOrder16(ETHERTYPE_IPV6), 'inner IPv6'),
    jumpIf('r1', '!=', networkOrder16(ETHERTYPE_IPV4), 'pass'),
    jump('inner IPv4'),
  ];
}

/**
 * Both variants (wire/gue.ts). The first byte tells: 0 is variant 0 without options and control, a version is variant 1. A
 * UDP checksum, which the balancer doesn't send, is not looked at.
 */
function gueHeaders(port: number): Code {
  const first = ETHERNET_HEADER_LENGTH + UDP_HEADER_LENGTH;
  return [
    jumpIf('r0', '!=', PROTOCOL_UDP, 'pass'),
    alu('r5', '=', 'r7'),
    alu('r5', '+=', 'r9'),
    passUnlessLong('r5', UDP_HEADER_LENGTH + GUE_HEADER_LENGTH),
    load('u16', 'r1', 'r5', ETHERNET_HEADER_LENGTH + 2),
    jumpIf('r1', '!=', networkOrder16(port), 'pass'),
    alu('r9', '+=', UDP_HEADER_LENGTH),
    load('u8', 'r1', 'r5', first),
    alu('r1', '>>=', 4),
    jumpIf('r1', '==', 4, 'inner IPv4'),
    jumpIf('r1', '==', 6, 'inner IPv6'),
    alu('r9', '+=', GUE_HEADER_LENGTH),
    load('u16', 'r1', 'r5', first + 2),
    jumpIf('r1', '!=', 0, 'pass'),
    load('u16', 'r1', 'r5', first),
    jumpIf('r1', '==', networkOrder16(PROTOCOL_IPV6), 'inner IPv6'),
    jumpIf('r1', '!=', networkOrder16(PROTOCOL_IPIP), 'pass'),
    jump('inner IPv4'),
  ];
}

function innerHeader(version: 4 | 6, length: number): Code {
  return [alu('r5', '=', 'r7'), alu('r5', '+=', 'r9'), passUnlessLong('r5', length), passUnlessVersion('r5', version)];
}

/**
 * What the outer header's ECN changes in the inner one's (RFC 6040, figure 4): CE comes in, and the packet is lost where its
 * sender doesn't understand marks, as without a tunnel; ECT(1) replaces ECT(0). The checksum follows (RFC 1624, equation 3).
 */
function congestionOfIpv4(): Code {
  return [
    newEcn('IPv4', 0),
    // r3 = ~HC + ~m + m', where m' - m is the new ECN less the old one.
    load('u16', 'r1', 'r5', IPV4_CHECKSUM_AT),
    toBigEndian('r1', 16),
    alu('r3', '=', 2 * 0xffff),
    alu('r3', '-=', 'r1'),
    alu('r3', '+=', 'r4'),
    alu('r3', '-=', 'r2'),
    [1, 2].map(() => [alu('r1', '=', 'r3'), alu('r1', '>>=', 16), alu('r3', '&=', 0xffff), alu('r3', '+=', 'r1')]),
    alu('r1', '=', 0xffff),
    alu('r1', '-=', 'r3'),
    toBigEndian('r1', 16),
    store('u16', 'r5', IPV4_CHECKSUM_AT, 'r1'),
  ];
}

function congestionOfIpv6(): Code {
  return newEcn('IPv6', TRAFFIC_CLASS_SHIFT);
}

/** Writes r4 as the inner ECN, which stands `shift` bits to the left, and goes on with the old one in r2; or leaves it alone. */
function newEcn(family: 'IPv4' | 'IPv6', shift: number): Code {
  return [
    load('u8', 'r0', 'r5', TOS_AT),
    alu('r2', '=', 'r0'),
    alu('r2', '>>=', shift),
    alu('r2', '&=', CE),
    jumpIf('r4', '==', CE, `ECN of ${family}`),
    jumpIf('r4', '!=', ECT_1, `unmarked ${family}`),
    jumpIf('r2', '!=', ECT_0, `unmarked ${family}`),
    label(`ECN of ${family}`),
    jumpIf('r2', '==', NOT_ECT, 'drop'),
    alu('r1', '=', 'r4'),
    alu('r1', '<<=', shift),
    alu('r0', '&=', 0xff ^ (CE << shift)),
    alu('r0', '|=', 'r1'),
    store('u8', 'r5', TOS_AT, 'r0'),
  ];
}
