/**
 * The TCX program that lowers the MSS in a backend's SYN-ACKs as they leave, so that what a client sends has room for the
 * balancer's headers: the backend's half of `mssClamp`, whose other half (lb/mss-clamp.ts) sees only the client's SYNs.
 *
 * It touches SYN-ACKs of TCP, directly behind an IPv4 or IPv6 header, from addresses that are not the interface's own:
 * VIPs stand on the loopback, and what the host serves under its own address comes through no tunnel. The rest passes as
 * it is, and so does a SYN-ACK whose options don't add up, have two MSS, or are signed (TCP-AO, RFC 5925).
 *
 * Packets that wait for their checksum (CHECKSUM_PARTIAL) keep waiting: the kernel's helper changes finished ones only.
 */
import { L4_CSUM_REPLACE, SKB_DATA, SKB_DATA_END, SKB_STORE_BYTES, TCX_NEXT } from '../io/bpf.ts';
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
import { ETHERNET_HEADER_LENGTH, ETHERTYPE_IPV6 } from '../wire/ethernet.ts';
import { IPV4_HEADER_LENGTH, PROTOCOL_TCP } from '../wire/ipv4.ts';
import { IPV6_HEADER_LENGTH } from '../wire/ipv6.ts';
import { ACK, SYN, TCP_HEADER_LENGTH } from '../wire/tcp.ts';
import {
  ETHERTYPE_AT,
  IPV6_NEXT_HEADER_AT,
  IPV6_SOURCE_AT,
  ipv4HeaderLength,
  jumpIfOneOf,
  PROTOCOL_AT,
  passFragments,
  passUnlessLong,
  passUnlessVersion,
  SOURCE_AT,
} from './frame-instructions.ts';

export interface SynAckClampProgramOptions {
  /** The largest MSS that leaves, by family. */
  readonly largest: { readonly 4: number; readonly 6: number };
  /** Sources to leave alone, 4 or 16 bytes each. */
  readonly ownAddresses: readonly Uint8Array[];
  /** Instructions that count a packet; they may change r1 and r2. */
  readonly countClamped: Code;
}

/** From the start of the TCP header. */
const DATA_OFFSET_AT = 12;
const FLAGS_AT = 13;
const CHECKSUM_AT = 16;
/** Headers of IP and TCP are of 60 bytes at most. */
const LONGEST_HEADERS = ETHERNET_HEADER_LENGTH + 60 + 60;

/** Option kinds of RFC 9293, section 3.1, and RFC 5925. */
const END = 0;
const NO_OPERATION = 1;
const MSS = 2;
const MSS_LENGTH = 4;
const AUTHENTICATION = 29;

/** The stack: where the TCP header starts; the MSS to write. */
const TCP_AT = -8;
const NEW_MSS_AT = -16;

/** Registers: r6 the context, r7 the frame's start, r8 its end; from `tcp` on r4 the largest MSS. */
export function synAckClampProgram({ largest, ownAddresses, countClamped }: SynAckClampProgramOptions): Code {
  return [
    alu('r6', '=', 'r1'),
    load('u32', 'r7', 'r6', SKB_DATA),
    load('u32', 'r8', 'r6', SKB_DATA_END),
    passUnlessLong('r7', IPV4_HEADER_LENGTH + TCP_HEADER_LENGTH),
    load('u16', 'r1', 'r7', ETHERTYPE_AT),
    jumpIf('r1', '==', networkOrder16(ETHERTYPE_IPV6), 'IPv6'),
    ipv4HeaderLength(),
    load('u8', 'r1', 'r7', PROTOCOL_AT),
    jumpIf('r1', '!=', PROTOCOL_TCP, 'pass'),
    passFragments(),
    alu('r4', '=', largest[4]),
    jumpIfOneOf(
      ownAddresses.filter(({ length }) => length === 4),
      SOURCE_AT,
      'pass',
    ),
    jump('tcp'),

    label('IPv6'),
    passUnlessLong('r7', IPV6_HEADER_LENGTH + TCP_HEADER_LENGTH),
    passUnlessVersion('r7', 6),
    load('u8', 'r1', 'r7', IPV6_NEXT_HEADER_AT),
    jumpIf('r1', '!=', PROTOCOL_TCP, 'pass'),
    alu('r9', '=', IPV6_HEADER_LENGTH),
    alu('r4', '=', largest[6]),
    jumpIfOneOf(
      ownAddresses.filter(({ length }) => length === 16),
      IPV6_SOURCE_AT,
      'pass',
    ),

    label('tcp'),
    findOptions(),
    findMss(),
    lowerMss(countClamped),
    label('pass'),
    alu('r0', '=', TCX_NEXT),
    exit(),
  ];
}

/** With r9 the length of the IP header, goes on for a SYN-ACK with r9 where its options start in the frame, r0 where they end. */
function findOptions(): Code {
  return [
    alu('r9', '+=', ETHERNET_HEADER_LENGTH),
    alu('r5', '=', 'r7'),
    alu('r5', '+=', 'r9'),
    alu('r1', '=', 'r5'),
    alu('r1', '+=', TCP_HEADER_LENGTH),
    jumpIf('r1', '>', 'r8', 'pass'),
    load('u8', 'r1', 'r5', FLAGS_AT),
    alu('r1', '&=', SYN | ACK),
    jumpIf('r1', '!=', SYN | ACK, 'pass'),
    load('u8', 'r0', 'r5', DATA_OFFSET_AT),
    alu('r0', '>>=', 4),
    alu('r0', '<<=', 2),
    alu('r0', '+=', 'r9'),
    alu('r1', '=', 'r7'),
    alu('r1', '+=', 'r0'),
    jumpIf('r1', '>', 'r8', 'pass'),
    store('u64', 'r10', TCP_AT, 'r9'),
    alu('r9', '+=', TCP_HEADER_LENGTH),
  ];
}

/**
 * Walks all options, and goes on with r3 where the value of the one MSS stands in the frame. That r9 stays below a constant
 * shows the verifier that the walk ends, and the checks against r8 that it stays in the packet, which r0 says already. The
 * longer way through comes first, without a jump: what the verifier has seen of it covers the shorter one.
 */
function findMss(): Code {
  return [
    alu('r3', '=', 0),
    label('option'),
    jumpIf('r9', '>=', 'r0', 'end'),
    alu('r5', '=', 'r7'),
    alu('r5', '+=', 'r9'),
    alu('r1', '=', 'r5'),
    alu('r1', '+=', 1),
    jumpIf('r1', '>', 'r8', 'pass'),
    load('u8', 'r1', 'r5', 0),
    jumpIf('r1', '==', END, 'end'),
    jumpIf('r1', '==', NO_OPERATION, 'no-operation'),
    alu('r2', '=', 'r5'),
    alu('r2', '+=', 2),
    jumpIf('r2', '>', 'r8', 'pass'),
    load('u8', 'r2', 'r5', 1),
    jumpIf('r2', '<', 2, 'pass'),
    jumpIf('r1', '==', AUTHENTICATION, 'pass'),
    jumpIf('r1', '!=', MSS, 'behind'),
    jumpIf('r2', '!=', MSS_LENGTH, 'pass'),
    jumpIf('r3', '!=', 0, 'pass'),
    alu('r3', '=', 'r9'),
    alu('r3', '+=', 2),
    label('behind'),
    alu('r9', '+=', 'r2'),
    // Also where the length itself was beyond the end: an option of two bytes is not there either.
    jumpIf('r9', '>', 'r0', 'pass'),
    jumpIf('r9', '>', LONGEST_HEADERS, 'pass'),
    jump('option'),
    label('no-operation'),
    alu('r2', '=', 1),
    jump('behind'),
    label('end'),
    jumpIf('r3', '==', 0, 'pass'),
  ];
}

/** From here on r7 is where the MSS stands, r8 what it was; the helpers make the packet's bytes this packet's own. */
function lowerMss(countClamped: Code): Code {
  return [
    alu('r5', '=', 'r7'),
    alu('r5', '+=', 'r3'),
    alu('r1', '=', 'r5'),
    alu('r1', '+=', 2),
    jumpIf('r1', '>', 'r8', 'pass'),
    alu('r7', '=', 'r3'),
    load('u16', 'r8', 'r5', 0),
    alu('r1', '=', 'r8'),
    toBigEndian('r1', 16),
    jumpIf('r1', '<=', 'r4', 'pass'),
    toBigEndian('r4', 16),
    store('u16', 'r10', NEW_MSS_AT, 'r4'),
    load('u64', 'r2', 'r10', TCP_AT),
    alu('r3', '=', 'r8'),
    // At an odd place its bytes are halves of two words: the same sum as of one word with its bytes swapped.
    alu('r1', '=', 'r7'),
    alu('r1', '-=', 'r2'),
    alu('r1', '&=', 1),
    jumpIf('r1', '==', 0, 'even'),
    toBigEndian('r3', 16),
    toBigEndian('r4', 16),
    label('even'),
    alu('r1', '=', 'r6'),
    alu('r2', '+=', CHECKSUM_AT),
    alu('r5', '=', 2),
    call(L4_CSUM_REPLACE),
    jumpIf('r0', '!=', 0, 'pass'),
    alu('r1', '=', 'r6'),
    alu('r2', '=', 'r7'),
    alu('r3', '=', 'r10'),
    alu('r3', '+=', NEW_MSS_AT),
    alu('r4', '=', 2),
    alu('r5', '=', 0),
    call(SKB_STORE_BYTES),
    jumpIf('r0', '!=', 0, 'pass'),
    countClamped,
  ];
}
