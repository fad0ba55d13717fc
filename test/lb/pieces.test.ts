/**
 * Fragments through the real forwarder: all pieces of a datagram come to one backend, in whatever order they arrive; and what
 * hushlb cuts itself is put together again by a naive host.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { CLIENT_MAC, ethernetFrame, type Ipv4Fields, ipv4Packet, OWN_MAC, tcpPacket } from '../packets.ts';
import { type Tag, tagged } from '../packets-link.ts';
import { ipv6Packet } from '../packets6.ts';
import { BACKENDS, createRig } from './rig.ts';
import { CLIENT, CLIENT_IPV6, ON_IPV6, VIP, VIP_IPV6 } from './rows/row.ts';

const TYPE = { 4: 0x0800, 6: 0x86dd } as const;
const frame = (packet: readonly number[]) =>
  ethernetFrame(OWN_MAC, CLIENT_MAC, TYPE[(packet[0]! >> 4) as 4 | 6], packet);

const SEGMENT_LENGTH = 2000;
/** A TCP segment of 2,000 bytes on ports 40000 to 80; its checksum is of no account here. */
const segment = (sourcePort = 40_000): number[] => [
  sourcePort >> 8,
  sourcePort & 255,
  ...tcpPacket().slice(22, 40),
  ...Array.from({ length: SEGMENT_LENGTH - 20 }, (_, i) => i & 255),
];

/** Pieces of at most `step` bytes of data, a multiple of 8. */
function pieces(id: number, step: number, sourcePort?: number, fields: Ipv4Fields = {}): Uint8Array[] {
  const data = segment(sourcePort);
  return Array.from({ length: Math.ceil(data.length / step) }, (_, k) => {
    const more = (k + 1) * step < data.length ? 0x2000 : 0;
    const part = data.slice(k * step, (k + 1) * step);
    return frame(ipv4Packet(CLIENT, VIP, part, { ...fields, id, fragment: more | ((k * step) >> 3) }));
  });
}

function piecesIpv6(id: number, step: number): Uint8Array[] {
  const data = segment();
  return Array.from({ length: Math.ceil(data.length / step) }, (_, k) => {
    const more = (k + 1) * step < data.length ? 1 : 0;
    const place = (k * step) | more;
    const header = [6, 0, place >> 8, place & 255, 0, 0, id >> 8, id & 255];
    return frame(
      ipv6Packet(CLIENT_IPV6, VIP_IPV6, [...header, ...data.slice(k * step, (k + 1) * step)], { protocol: 44 }),
    );
  });
}

const macOf = (sent: Uint8Array): string => Buffer.from(sent.subarray(0, 6)).toString('hex');

/** IPIP taken off, the datagram's data put together by offset. */
function reassemble(frames: readonly Uint8Array[]): Buffer {
  const parts = frames.map((sent) => {
    const inner = sent.subarray(34);
    const view = new DataView(inner.buffer, inner.byteOffset, inner.byteLength);
    const header = (view.getUint8(0) & 15) * 4;
    return { at: (view.getUint16(6) & 0x1fff) * 8, data: inner.subarray(header, view.getUint16(2)) };
  });
  const whole = Buffer.alloc(Math.max(...parts.map(({ at, data }) => at + data.length)));
  for (const { at, data } of parts) whole.set(data, at);
  return whole;
}

const TAGGINGS: Tag[][] = [[{ control: 5 }], [{ control: 0x0456, type: 0x88a8 }, { control: 0xd123 }]];

/** Frames that must have just these tags. */
function withoutTags(frames: readonly Uint8Array[], tags: readonly Tag[]): Uint8Array[] {
  return frames.map((sent) => {
    const untagged = Uint8Array.from([...sent.subarray(0, 12), ...sent.subarray(12 + 4 * tags.length)]);
    assert.deepEqual(Buffer.from(sent), Buffer.from(tagged(untagged, ...tags)));
    return untagged;
  });
}

describe('pieces of a datagram', () => {
  const FLOWS = 40;
  const orders: [name: string, order: (frames: Uint8Array[]) => Uint8Array[]][] = [
    ['in order', (frames) => frames],
    ['backwards', (frames) => frames.toReversed()],
    ['the first in the middle', ([first, second, ...rest]) => [second!, first!, ...rest]],
  ];
  for (const [name, order] of orders) {
    test(`come to the backend of their first, ${name}`, () => {
      const rig = createRig({ service: 'tableSize: 251' });
      const backends = new Set<string>();
      for (let flow = 0; flow < FLOWS; flow++) {
        const sent = rig.walkAll(order(pieces(flow, 800, 40_000 + flow)), flow);
        assert.equal(sent.length, 3);
        assert.deepEqual(reassemble(sent), Buffer.from(segment(40_000 + flow)));
        const [mac, ...others] = new Set(sent.map(macOf));
        assert.deepEqual(others, []);
        backends.add(mac!);
      }
      assert.equal(backends.size, 3);
      assert.equal(rig.exits('forward'), 3 * FLOWS);
    });
  }

  for (const [name, order] of orders) {
    test(`on their VLAN, ${name}, all in one batch and each in its own`, () => {
      const rig = createRig();
      for (const [id, tags] of TAGGINGS.entries()) {
        const frames = order(pieces(id, 800)).map((piece) => tagged(piece, ...tags));
        const sent = rig.walkAll(frames);
        assert.deepEqual(withoutTags(sent, tags).map(macOf), Array(3).fill(macOf(sent[0]!)));
        assert.deepEqual(reassemble(withoutTags(sent, tags)), Buffer.from(segment()));
        const again = order(pieces(100 + id, 800)).flatMap((piece) => rig.walkAll([tagged(piece, ...tags)]));
        assert.deepEqual(reassemble(withoutTags(again, tags)), Buffer.from(segment()));
      }
    });
  }

  test('of IPv6 too, in any order', () => {
    const rig = createRig({ ...ON_IPV6, service: 'tableSize: 251' });
    for (const [id, order] of [(all: Uint8Array[]) => all, (all: Uint8Array[]) => all.toReversed()].entries()) {
      const sent = rig.walkAll(order(piecesIpv6(id, 800)));
      assert.deepEqual([sent.length, new Set(sent.map(macOf)).size], [3, 1]);
    }
    assert.equal(rig.exits('hold: early-fragment'), 2);
  });

  test('across batches: held until the first comes, and given up when it does not', () => {
    const rig = createRig();
    const [first, second, third] = pieces(1, 800);
    assert.equal(rig.walkAll([third!], 0).length, 0);
    assert.equal(rig.walkAll([second!], 500).length, 0);
    assert.equal(rig.walkAll([first!], 900).length, 3);
    assert.equal(rig.walkAll([pieces(2, 800)[1]!], 1000).length, 0);
    rig.sweep(2100, 1000);
    assert.equal(rig.exits('drop: late-fragment'), 1);
    assert.equal(rig.walkAll([pieces(2, 800)[0]!], 2200).length, 1);
  });

  test('are not stored without bound: what has no room is dropped and counted', () => {
    const rig = createRig({ frameCount: 512 });
    for (let id = 0; id < 200; id++) rig.walkAll([pieces(id, 800)[1]!], 0);
    assert.equal(rig.exits('hold: early-fragment'), 64);
    assert.equal(rig.exits('drop: fragment'), 136);
  });

  test('need no store where the hash is over the source alone', () => {
    const rig = createRig({ service: 'hash: source-ip' });
    const sent = rig.walkAll(pieces(1, 800).toReversed());
    assert.deepEqual([sent.length, new Set(sent.map(macOf)).size], [3, 1]);
    assert.equal(rig.exits('hold: early-fragment'), 0);
  });

  test('follow their first, not the table of the next state', () => {
    const rig = createRig();
    const [first, second] = pieces(1, 800);
    rig.walkAll([first!]);
    rig.takeOver({ service: 'hash: five-tuple' });
    assert.equal(rig.walkAll([second!]).length, 0);
    assert.equal(rig.exits('hold: early-fragment'), 1);
  });
});

describe('tooBig: fragment', () => {
  const whole = (id: number): Uint8Array => frame(ipv4Packet(CLIENT, VIP, segment(), { id, fragment: 0 }));
  const hopOf = () => ({ mtu: 1000 });

  test('cuts what may be cut; the backend puts it together', () => {
    const rig = createRig({ service: 'tooBig: fragment', hopOf });
    const sent = rig.walkAll([whole(9)]);
    assert.equal(sent.length, 3);
    assert.ok(sent.every(({ length }) => length <= 1014));
    assert.deepEqual(reassemble(sent), Buffer.from(segment()));
    assert.ok(Object.values(BACKENDS).some(({ mac }) => mac.replaceAll(':', '') === macOf(sent[0]!)));
  });

  test('a packet that finds its batch full waits for one of its own', () => {
    const rig = createRig({ service: 'tooBig: fragment', hopOf, batchSize: 4 });
    const sent = rig.walkAll([1, 2, 3, 4].map(whole));
    assert.equal(rig.exits('hold: too-big'), 4);
    assert.equal(sent.length, 12);
    for (let k = 0; k < 4; k++) assert.deepEqual(reassemble(sent.slice(3 * k, 3 * k + 3)), Buffer.from(segment()));
  });

  test('all of it leaves on the VLAN that it came from, from a full batch too', () => {
    for (const tags of TAGGINGS) {
      const rig = createRig({ service: 'tooBig: fragment', hopOf, batchSize: 4 });
      const sent = [1, 2].flatMap((id) => rig.walkAll([tagged(whole(id), ...tags)]));
      sent.push(...rig.walkAll([3, 4].map((id) => tagged(whole(id), ...tags))));
      assert.equal(sent.length, 12);
      assert.ok(rig.exits('hold: too-big') > 0);
      const frames = withoutTags(sent, tags);
      for (let k = 0; k < 4; k++) assert.deepEqual(reassemble(frames.slice(3 * k, 3 * k + 3)), Buffer.from(segment()));
    }
  });

  test('drops it by default', () => {
    const rig = createRig({ hopOf });
    assert.equal(rig.walk(whole(1)).exit, 'drop: too-big');
  });
});
