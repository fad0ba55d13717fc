/**
 * How the BPF programs of a backend look at a frame without tags: where its fields stand, and the instructions that
 * decap-program.ts and syn-ack-clamp-program.ts have in common. Steering looks at more (io/steering-program.ts).
 *
 * In all of it r7 is the frame's start and r8 its end, r1 is free, and what doesn't fit jumps to `pass`.
 */
import { alu, type Code, jumpIf, jumpIf32, label, load, networkOrder16 } from '../io/bpf-assembler.ts';
import { ETHERNET_HEADER_LENGTH, ETHERTYPE_IPV4 } from '../wire/ethernet.ts';
import { IPV4_HEADER_LENGTH } from '../wire/ipv4.ts';

/** From the start of the frame. */
export const ETHERTYPE_AT = 12;
export const VERSION_AT = 14;
const FRAGMENT_AT = 20;
export const PROTOCOL_AT = 23;
export const SOURCE_AT = 26;
export const DESTINATION_AT = 30;
export const IPV6_NEXT_HEADER_AT = 20;
export const IPV6_SOURCE_AT = 22;
export const IPV6_DESTINATION_AT = 38;

/** More fragments, or an offset: not a whole packet. */
const FRAGMENT_BITS = 0x3fff;

/** Goes on where `length` bytes behind the Ethernet header at `start` may be read. */
export function passUnlessLong(start: 'r5' | 'r7', length: number): Code {
  return [alu('r1', '=', start), alu('r1', '+=', ETHERNET_HEADER_LENGTH + length), jumpIf('r1', '>', 'r8', 'pass')];
}

/** With IPV4_HEADER_LENGTH bytes to read, goes on for IPv4 with r9 the bytes of its header. */
export function ipv4HeaderLength(): Code {
  return [
    load('u16', 'r1', 'r7', ETHERTYPE_AT),
    jumpIf('r1', '!=', networkOrder16(ETHERTYPE_IPV4), 'pass'),
    load('u8', 'r9', 'r7', VERSION_AT),
    alu('r1', '=', 'r9'),
    alu('r1', '>>=', 4),
    jumpIf('r1', '!=', 4, 'pass'),
    alu('r9', '&=', 0x0f),
    jumpIf('r9', '<', IPV4_HEADER_LENGTH / 4, 'pass'),
    alu('r9', '<<=', 2),
  ];
}

export function passFragments(): Code {
  return [load('u16', 'r1', 'r7', FRAGMENT_AT), jumpIf('r1', '&', networkOrder16(FRAGMENT_BITS), 'pass')];
}

/** With the header behind the Ethernet header at `start` to read, goes on where it says that it is of this version. */
export function passUnlessVersion(start: 'r5' | 'r7', version: 4 | 6): Code {
  return [load('u8', 'r1', start, VERSION_AT), alu('r1', '>>=', 4), jumpIf('r1', '!=', version, 'pass')];
}

/** Jumps to `target` where the address at `at` is one of these, all of 4 or all of 16 bytes; changes r0 to r3. */
export function jumpIfOneOf(addresses: readonly Uint8Array[], at: number, target: string): Code {
  if (addresses.length === 0) return [];
  const words = (['r0', 'r1', 'r2', 'r3'] as const).slice(0, addresses[0].length / 4);
  return [
    words.map((register, k) => load('u32', register, 'r7', at + 4 * k)),
    addresses.map((address, i) => {
      const other = `at ${at} not ${i}`;
      return [
        words.map((register, k) => {
          const word = Buffer.from(address).readInt32LE(4 * k);
          const last = k === words.length - 1;
          return jumpIf32(register, last ? '==' : '!=', word, last ? target : other);
        }),
        label(other),
      ];
    }),
  ];
}
