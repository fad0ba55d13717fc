/** Captures against what was really sent: both directions, cut frames, a full ring. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type Capture, type CapturedPacket, openCapture } from '../../io/capture.ts';
import { bindSocket, closeDescriptor, openSocket, sendto } from '../../io/ffi.ts';
import { readLink } from '../../io/links.ts';
import { inNamespace } from '../../io/namespace.ts';
import { ipJson, macBytes, makeTwoHosts, needsRoot, openDescriptors, type TwoHosts, until } from './two-hosts.ts';

/** IEEE 802 local experimental: nobody else on the link speaks it. */
const ETHERTYPE = [0x88, 0xb5];

/** A frame of this test: IPv6 speaks up as well when a link is new. */
const isOurs = ({ bytes }: CapturedPacket) => bytes[12] === ETHERTYPE[0] && bytes[13] === ETHERTYPE[1];

const unexpected = (packet: CapturedPacket) =>
  assert.ok(!isOurs(packet), `nothing was expected, got ${packet.originalLength} bytes`);

describe('capture', { skip: needsRoot }, () => {
  let hosts: TwoHosts;
  let macs: Record<string, Uint8Array>;
  before(() => {
    hosts = makeTwoHosts();
    macs = {
      left: macBytes(ipJson(hosts.left, 'link', 'show', 'left')[0].address),
      right: macBytes(ipJson(hosts.right, 'link', 'show', 'right')[0].address),
    };
  });
  after(() => hosts.remove());

  const open = (side: 'left' | 'right', options: { snapLength?: number; frameCount?: number } = {}): Capture =>
    inNamespace(hosts[side], () => openCapture({ interface: readLink(side)!.index, ...options }));

  /** `length` bytes of frame from one side to the other, with a number in it. */
  function frame(from: 'left' | 'right', number: number, length = 64): Uint8Array {
    const to = from === 'left' ? 'right' : 'left';
    const payload = Array.from({ length: length - 14 }, (_, i) => (number + i) & 255);
    return Uint8Array.from([...macs[to], ...macs[from], ...ETHERTYPE, ...payload]);
  }

  function send(from: 'left' | 'right', frames: Uint8Array[]): void {
    const fd = inNamespace(hosts[from], () => {
      const socket = openSocket(17, 3, 0);
      const address = Buffer.alloc(20);
      address.writeUInt16LE(17, 0);
      address.writeInt32LE(readLink(from)!.index, 4);
      bindSocket(socket, address);
      return socket;
    });
    for (const bytes of frames) assert.equal(sendto(fd, bytes, bytes.length, 0, null, 0), bytes.length);
    closeDescriptor(fd);
  }

  /** `count` packets at least: where the machine is busy, the kernel hands over what arrives a little later. */
  async function read(capture: Capture, count: number): Promise<CapturedPacket[]> {
    const packets: CapturedPacket[] = [];
    await until(`${count} packets`, () => {
      capture.read((packet) => {
        if (isOurs(packet)) packets.push(packet);
      });
      return packets.length >= count;
    });
    return packets;
  }

  test('both ends see what was sent, each in its direction, cut at the snap length', async () => {
    const left = open('left', { snapLength: 100 });
    const right = open('right', { snapLength: 2000 });
    const ping = frame('left', 1, 300);
    const pong = frame('right', 2, 60);
    send('left', [ping]);
    const atRight = await read(right, 1);
    send('right', [pong]);
    atRight.push(...(await read(right, 1)));
    const view = ({ bytes, outgoing, originalLength }: CapturedPacket) => ({ bytes, outgoing, originalLength });
    assert.deepEqual((await read(left, 2)).map(view), [
      { bytes: ping.slice(0, 100), outgoing: true, originalLength: 300 },
      { bytes: pong, outgoing: false, originalLength: 60 },
    ]);
    assert.deepEqual(atRight.map(view), [
      { bytes: ping, outgoing: false, originalLength: 300 },
      { bytes: pong, outgoing: true, originalLength: 60 },
    ]);
    left.read(unexpected);
    assert.deepEqual([left.dropped(), right.dropped()], [0, 0]);
    left.close();
    right.close();
  });

  test('times are wall-clock, monotone, and comparable between hosts', async () => {
    const left = open('left');
    const right = open('right');
    const before = BigInt(Date.now()) * 1_000_000n;
    let last = before;
    for (let i = 0; i < 50; i++) {
      const from = i % 2 ? 'left' : 'right';
      send(from, [frame(from, i)]);
      for (const capture of i % 2 ? [left, right] : [right, left]) {
        const [{ timestampNs }, ...more] = await read(capture, 1);
        assert.equal(more.length, 0);
        assert.ok(timestampNs >= last, `packet ${i}: ${timestampNs} after ${last}`);
        last = timestampNs;
      }
    }
    assert.ok(last <= BigInt(Date.now() + 1) * 1_000_000n);
    left.close();
    right.close();
  });

  test('the ring is walked round and round, and each packet comes once', async () => {
    const capture = open('right', { frameCount: 1 });
    const sent: Uint8Array[] = [];
    const seen: Uint8Array[] = [];
    for (let round = 0; round < 10; round++) {
      const frames = Array.from({ length: 50 }, (_, i) => frame('left', round * 50 + i));
      send('left', frames);
      sent.push(...frames);
      seen.push(...(await read(capture, frames.length)).map(({ bytes }) => bytes));
    }
    assert.deepEqual(seen, sent, 'copies: the ring was overwritten several times');
    assert.equal(capture.dropped(), 0);
    capture.close();
  });

  test('what finds the ring full is counted', async () => {
    const capture = open('right', { frameCount: 1 });
    const slots = 65536 / 512; // one block of 64 KiB, slots of 512 bytes
    send(
      'left',
      Array.from({ length: slots + 72 }, (_, i) => frame('left', i)),
    );
    await until('the rest is dropped', () => capture.dropped() >= 72);
    const noise = slots - (await read(capture, slots - 9)).length;
    assert.ok(noise >= 0 && noise < 10);
    const dropped = capture.dropped();
    assert.ok(dropped >= 72 + noise && dropped < 72 + noise + 10, `${dropped} dropped`);
    assert.equal(capture.dropped(), dropped, 'the count stays');
    send('left', [frame('left', 9)]);
    assert.equal((await read(capture, 1)).length, 1, 'it goes on');
    capture.close();
  });

  test('a closed capture reads nothing and leaves no descriptor, nor does one that failed', () => {
    const count = openDescriptors();
    const capture = open('left');
    send('left', [frame('left', 1)]);
    capture.close();
    capture.close();
    assert.equal(capture.read(unexpected), 0);
    assert.equal(capture.dropped(), 0);
    assert.throws(() => inNamespace(hosts.left, () => openCapture({ interface: 4711 })), { code: 'ENODEV' });
    assert.equal(openDescriptors(), count);
  });
});
