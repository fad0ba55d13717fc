/** No tunnel allocates anything for a packet. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createNextHops, ENCAP_L2, encapsulate, openRow, setNextHop } from '../../dsr/encap.ts';
import { COPY_TTL, ENCAP_GRE, ENCAP_GUE, ENCAP_IPIP, type Encapsulation, type Family } from '../../dsr/tunnel.ts';
import { addressBytes } from '../io/two-hosts.ts';
import { tcpFrame } from '../packets.ts';
import { tcp6Frame } from '../packets6.ts';

const ROOM = 64;
const FRAMES = { 4: tcpFrame(), 6: tcp6Frame() };
const MAC = Uint8Array.of(2, 0, 0, 0, 0, 9);
const ADDRESSES: Record<Family, [string, string]> = {
  4: ['198.18.1.10', '198.18.2.1'],
  6: ['2001:db8:1::10', '2001:db8:2::1'],
};

const WAYS = [ENCAP_L2, ENCAP_IPIP, ENCAP_GUE, ENCAP_GRE].flatMap((encap) =>
  ([4, 6] as const).flatMap((family) =>
    ([4, 6] as const).map((outer): [Encapsulation, Family] => [
      { encap, family, ttl: outer === 4 ? 64 : COPY_TTL, varySource: true, gue: { port: 6080, variant: 0 } },
      outer,
    ]),
  ),
);

test('heap growth, every encapsulation by turns', () => {
  const hops = createNextHops(WAYS.length);
  for (const [row, [encapsulation, outer]] of WAYS.entries()) {
    const [source, destination] = ADDRESSES[outer].map(addressBytes);
    openRow(hops, row, 0);
    setNextHop(hops, row, encapsulation, { mac: MAC, ownMac: MAC, source, destination, mtu: 1500 });
  }
  const memory = new Uint8Array(256);
  const view = new DataView(memory.buffer);
  let hash = 1;
  let grown = 0;
  const pass = (packets: number): void => {
    for (const [row, [{ encap, family }]] of WAYS.entries()) {
      const frame = FRAMES[family];
      memory.set(frame, ROOM);
      for (let i = 0; i < packets; i++) {
        hash = Math.imul(hash, 0x9e37_79b1) + 1;
        grown += encapsulate(view, ROOM, frame.length - 14, encap, hops, row, hash | 0);
      }
    }
  };
  for (let i = 0; i < 10; i++) pass(4000);
  // The median of several short rounds: a collection in one of them would hide what the packets left.
  const growths = Array.from({ length: 9 }, () => {
    const before = process.memoryUsage().heapUsed;
    pass(2000);
    return process.memoryUsage().heapUsed - before;
  }).sort((a, b) => a - b);
  assert.ok(grown > 0);
  // A number on the heap costs 16 bytes: half a million in a round.
  assert.ok(growths[4] < 100_000, `${growths[4]} bytes in ${2000 * WAYS.length} packets`);
});
