/**
 * The XDP program that takes the outer header off on a backend, for hosts whose kernel has no ipip device.
 *
 * It touches IPv4-in-IPv4 packets only (RFC 2003): protocol 4, not a fragment, an IPv4 header inside, and, if wanted,
 * an outer destination that is one of the host's own. The Ethernet header moves forward over the outer header, the
 * packet's start follows, and the kernel receives what the client sent. Everything else passes untouched.
 */
import { XDP_ADJUST_HEAD, XDP_PASS } from '../io/bpf.ts';
import {
  alu,
  type Code,
  call,
  exit,
  jump,
  jumpIf,
  jumpIf32,
  label,
  load,
  networkOrder16,
  store,
} from '../io/bpf-assembler.ts';
import {
  DESTINATION_AT,
  ETHERNET_LENGTH,
  FRAGMENT_AT,
  IPV4_MIN_LENGTH,
  ipv4Prologue,
  PROTOCOL_AT,
  VERSION_AT,
} from '../io/xdp-ipv4.ts';

const PROTOCOL_IPIP = 4;
/** More fragments, or an offset: not a whole packet. */
const FRAGMENT_BITS = 0x3fff;

export interface DecapProgramOptions {
  /** Outer destinations to strip, 4 bytes each, at least one; `undefined` strips whatever the address. */
  readonly addresses: readonly Uint8Array[] | undefined;
  /** Instructions that count a stripped packet; they may change r1 to r5. */
  readonly countStripped: Code;
}

/** Goes on at `local` for one of the addresses in r0, to `pass` for others. */
function passUnlessLocal(addresses: readonly Uint8Array[]): Code {
  const word = (bytes: Uint8Array) => Buffer.from(bytes).readInt32LE();
  return [addresses.map((address) => jumpIf32('r0', '==', word(address), 'local')), jump('pass'), label('local')];
}

/** The registers are the prologue's: r9 the bytes of the outer header. */
export function decapProgram({ addresses, countStripped }: DecapProgramOptions): Code {
  return [
    ipv4Prologue('pass'),
    load('u8', 'r1', 'r7', PROTOCOL_AT),
    jumpIf('r1', '!=', PROTOCOL_IPIP, 'pass'),
    load('u16', 'r1', 'r7', FRAGMENT_AT),
    jumpIf('r1', '&', networkOrder16(FRAGMENT_BITS), 'pass'),
    load('u32', 'r0', 'r7', DESTINATION_AT),
    addresses === undefined ? [] : passUnlessLocal(addresses),

    // r5: where the Ethernet header goes, so that the inner header follows it.
    alu('r5', '=', 'r7'),
    alu('r5', '+=', 'r9'),
    alu('r1', '=', 'r5'),
    alu('r1', '+=', ETHERNET_LENGTH + IPV4_MIN_LENGTH),
    jumpIf('r1', '>', 'r8', 'pass'),
    load('u8', 'r1', 'r5', VERSION_AT),
    alu('r1', '>>=', 4),
    jumpIf('r1', '!=', 4, 'pass'),

    load('u64', 'r1', 'r7', 0),
    load('u32', 'r2', 'r7', 8),
    load('u16', 'r3', 'r7', 12),
    store('u64', 'r5', 0, 'r1'),
    store('u32', 'r5', 8, 'r2'),
    store('u16', 'r5', 12, 'r3'),
    alu('r1', '=', 'r6'),
    alu('r2', '=', 'r9'),
    call(XDP_ADJUST_HEAD),
    jumpIf('r0', '!=', 0, 'pass'),
    countStripped,

    label('pass'),
    alu('r0', '=', XDP_PASS),
    exit(),
  ];
}
