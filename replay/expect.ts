/**
 * Holds what a replay sends against another capture, packet by packet and byte by byte, times aside: `hushlb replay
 * --expect FILE`. Reads that file as the replay goes on, so neither is ever whole in memory.
 */
import type { ReadPacket } from '../io/pcapng-reader.ts';

export interface Difference {
  /** Counted from 1, among the packets that were sent. */
  readonly packet: number;
  /** One line. */
  readonly text: string;
  /** What was decided of the packet that was sent; null where none was. */
  readonly decision: string | null;
}

export interface Expectation {
  /** A packet was sent, for the reason that its comment says. */
  compare(sent: Uint8Array, comment: string): void;
  /** No more come. The first difference, or undefined, and how many packets were expected. */
  finish(): { readonly packets: number; readonly difference: Difference | undefined };
}

/** `expected` without those that the file marks as received: a capture with both directions, or one of our own with --all. */
export function createExpectation(expected: Iterator<ReadPacket, void>): Expectation {
  let packets = 0;
  let sent = 0;
  let difference: Difference | undefined;

  function next(): ReadPacket | undefined {
    for (;;) {
      const { value } = expected.next();
      if (value?.direction === 'in') continue;
      if (value !== undefined) packets++;
      return value ?? undefined;
    }
  }

  function differs(packet: number, text: string, decision: string | null): void {
    difference ??= { packet, text: `sent packet ${packet}: ${text}`, decision };
  }

  return {
    compare(bytes, comment) {
      sent++;
      const wanted = next();
      if (difference !== undefined) return;
      if (wanted === undefined) differs(sent, `none expected, found one of ${bytes.length} bytes`, comment);
      else {
        const text = differenceOf(wanted, bytes);
        if (text !== undefined) differs(sent, text, comment);
      }
    },
    finish() {
      for (let left = next(); left !== undefined; left = next()) {
        differs(sent + 1, `expected one of ${left.originalLength} bytes, found none`, null);
      }
      return { packets, difference };
    },
  };
}

/** Of a packet that its capture cut, only what is there can be compared; the length is known all the same. */
function differenceOf(wanted: ReadPacket, found: Uint8Array): string | undefined {
  const end = Math.min(wanted.bytes.length, found.length);
  for (let i = 0; i < end; i++) {
    if (wanted.bytes[i] !== found[i]) {
      return `expected 0x${hex(wanted.bytes[i])} at byte ${i}${placeOf(i, wanted.bytes)}, found 0x${hex(found[i])}`;
    }
  }
  if (wanted.originalLength === found.length) return undefined;
  return `expected ${wanted.originalLength} bytes, found ${found.length}, alike in the first ${end}`;
}

type Places = readonly (readonly [end: number, name: string])[];

/** What stands in front of the byte `end`, and the option that sets it. */
const ETHERNET: Places = [
  [6, 'destination MAC: --next-hop'],
  [12, 'source MAC: --mac'],
  [14, 'EtherType'],
];
const BEHIND: Readonly<Record<string, Places>> = {
  '0800': [
    [26, 'IPv4 header'],
    [30, 'source address; of a tunnel: --source'],
    [34, 'destination address'],
  ],
  '86dd': [
    [22, 'IPv6 header'],
    [38, 'source address; of a tunnel: --source-ipv6'],
    [54, 'destination address'],
  ],
};

function placeOf(offset: number, frame: Uint8Array): string {
  const type = Array.from(frame.subarray(12, 14), hex).join('');
  const place = [...ETHERNET, ...(BEHIND[type] ?? [])].find(([end]) => offset < end);
  return place === undefined ? '' : ` (${place[1]})`;
}

function hex(byte: number): string {
  return byte.toString(16).padStart(2, '0');
}
