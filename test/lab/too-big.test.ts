/**
 * Sizes in captures: SYNs and ICMP errors laid out byte by byte from RFC 9293, RFC 792 with RFC 1191, and RFC 4443; what fits
 * into a tunnel, by the lengths in the RFCs.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { CapturedFrame } from '../../lab/captures.ts';
import { fittingPacket, measureUpload, mssFor } from '../../lab/too-big.ts';
import { ROLES } from './story.ts';

const ETHERNET = '02000000000a 02000000000b 0800';
const ETHERNET6 = '02000000000a 02000000000b 86dd';
const CLIENT = 'c6120002';
const VIP = 'c6120a01';
const CLIENT6 = '20010db8000000000000000000000002';
const VIP6 = '20010db8001000000000000000000001';

const hex = (value: number) => value.toString(16).padStart(4, '0');
const ip = (protocol: string, length: number, addresses: string) =>
  `45 00 ${hex(20 + length)} 0000 4000 40 ${protocol} 0000 ${addresses}`;
const ip6 = (next: string, length: number, addresses: string) => `60000000 ${hex(length)} ${next} 40 ${addresses}`;
/** 40001 to 80, with options of 12 bytes: padding, SACK permitted, MSS, window scale. */
const syn = (mss: number, flags = '02') =>
  `9c41 0050 01020304 00000000 80 ${flags} 0200 0000 0000 01 0402 01 0204 ${hex(mss)} 030307 01`;

function frame(host: string, direction: 'in' | 'out', timeMs: number, ...text: string[]): CapturedFrame {
  const bytes = Uint8Array.from(Buffer.from(text.join('').replaceAll(' ', ''), 'hex'));
  return { host, direction, timeMs, bytes, originalLength: bytes.length };
}

const measure = (...frames: CapturedFrame[]) => measureUpload(frames, ROLES, ['b1'], { bytes: 7, family: 4 });

describe('what captures say of sizes', () => {
  it('reads the MSS that a client wrote, and that a backend got through a tunnel', () => {
    const found = measure(
      frame('client', 'out', 1, ETHERNET, ip('06', 32, CLIENT + VIP), syn(1460)),
      frame('lb', 'out', 1.5, ETHERNET, ip('04', 52, 'c612020a c6120201'), ip('06', 32, CLIENT + VIP), syn(1440)),
      frame('b1', 'in', 2, ETHERNET, ip('04', 52, 'c612020a c6120201'), ip('06', 32, CLIENT + VIP), syn(1440)),
      frame('b1', 'in', 3, ETHERNET6, ip6('06', 32, CLIENT6 + VIP6), syn(1420)),
      frame('b1', 'out', 4, ETHERNET, ip('06', 32, VIP + CLIENT), syn(1400, '12')),
      frame('client', 'in', 5, ETHERNET, ip('06', 32, VIP + CLIENT), syn(1400, '12')),
    );
    assert.deepEqual(found.mssSent, [1460]);
    assert.deepEqual(found.mssArrived, [1440, 1420]);
    assert.deepEqual(found.mssAnswered, [1400]);
    assert.equal(found.largestSent, 20 + 20 + 32);
    assert.equal(found.bytes, 7);
  });

  it('reads what an ICMP error tells, and of which connection', () => {
    const quoted = `${ip('06', 1460, CLIENT + VIP)} 9c41 0050 01020304`;
    const needed = `${ip('01', 36, VIP + CLIENT)} 0304 0000 0000 05c8 ${quoted}`;
    const quoted6 = `${ip6('06', 1460, CLIENT6 + VIP6)} 9c42 0050 01020304`;
    const tooBig = `${ip6('3a', 56, VIP6 + CLIENT6)} 0200 0000 000005b4 ${quoted6}`;
    const found = measure(
      frame('lb', 'out', 1, ETHERNET, needed),
      frame('client', 'in', 2, ETHERNET, needed),
      frame('lb', 'out', 3, ETHERNET6, tooBig),
      // A port that is closed; an echo request; an error that is cut.
      frame('lb', 'out', 4, ETHERNET, needed.replace('0304', '0303')),
      frame('client', 'in', 5, ETHERNET, ip('01', 8, VIP + CLIENT), '0800 0000 0001 0001'),
      frame('client', 'in', 6, ETHERNET, needed.slice(0, -30)),
    );
    const first = { mtu: 1480, clientPort: 40001 };
    assert.deepEqual(found.told, [
      { timeMs: 1, ...first },
      { timeMs: 3, mtu: 1460, clientPort: 40002 },
    ]);
    assert.deepEqual(found.heard, [{ timeMs: 2, ...first }]);
  });

  it('passes over frames that are nothing of that', () => {
    const found = measure(frame('b1', 'in', 1, ETHERNET.replace('0800', '0806'), '0001'), frame('lb', 'out', 2, ''));
    assert.deepEqual([found.mssArrived, found.told, found.largestSent], [[], [], 0]);
  });
});

it('what fits is the link less the headers of the tunnel', () => {
  assert.deepEqual(
    (['ipip', 'gue', 'gre', 'l2'] as const).map((encap) => [fittingPacket(encap, 4), fittingPacket(encap, 6)]),
    [
      [1480, 1460],
      [1468, 1448],
      [1476, 1456],
      [1500, 1500],
    ],
  );
  assert.equal(mssFor(1480, 4), 1440);
  assert.equal(mssFor(1460, 6), 1400);
});
