/** The portable device on a veth pair: frames go in at the right host, out of the device, and back. */
import assert from 'node:assert/strict';
import { after, suite, test } from 'node:test';
import { openCapture } from '../../io/capture.ts';
import { PASS, RELEASE, TRANSMIT } from '../../io/device.ts';
import { inNamespace } from '../../io/namespace.ts';
import { createPortableDevice, type PortableDevice } from '../../io/portable-device.ts';
import { requireLink } from '../../io/xdp.ts';
import { CLIENT_MAC, ethernetFrame, OWN_MAC, tcpFrame } from '../packets.ts';
import { openPacketSocket, type PacketSocket } from './packet-socket.ts';
import { needsPortable } from './portable-packages.ts';
import { addressBytes, ip, ipJson, macBytes, makeTwoHosts, needsRoot, openDescriptors, until } from './two-hosts.ts';

const VIP = '198.18.10.1';
const OTHER_VIP = '198.18.10.2';
const VIP6 = '2001:db8:10::1';
const of = (...vips: string[]) => vips.map((vip) => ({ address: addressBytes(vip) }));

interface Bench {
  readonly device: PortableDevice;
  readonly peer: PacketSocket;
  readonly left: string;
  readonly right: string;
  /** Instead of releasing every frame: called with a batch that is received and not sent yet. */
  onBatch(work: () => void): void;
}

async function withDevice(work: (bench: Bench) => Promise<void>): Promise<void> {
  const hosts = makeTwoHosts();
  ip('-n', hosts.left, 'link', 'set', 'left', 'address', OWN_MAC);
  const peer = openPacketSocket(hosts.right, 'right');
  let decide = () => {};
  const onFrames = () => {
    device.receive(0);
    decide();
    device.send();
  };
  const interfaceIndex = inNamespace(hosts.left, () => requireLink('left').index);
  const device: PortableDevice = inNamespace(hosts.left, () => createPortableDevice({ interfaceIndex, onFrames }));
  inNamespace(hosts.left, () => device.setServices(of(VIP, VIP6)));
  try {
    await work({ ...hosts, device, peer, onBatch: (wanted) => (decide = wanted) });
  } finally {
    device.close();
    peer.close();
    hosts.remove();
  }
}

const forAll = (device: PortableDevice, action: number) => device.batch.action.fill(action, 0, device.batch.count);

/** The frame's bytes with its two MACs exchanged. */
function turnBack({ view, batch }: PortableDevice): void {
  for (let i = 0; i < batch.count; i++) {
    const frame = new Uint8Array(view.buffer, view.byteOffset + batch.offset[i]!, batch.length[i]);
    const destination = frame.slice(0, 6);
    frame.copyWithin(0, 6, 12);
    frame.set(destination, 6);
    batch.action[i] = TRANSMIT;
  }
}

/** IPv6 without extension headers, next header 253 (RFC 3692: for experiments), with a payload. */
function ipv6Frame(source: string, destination: string): Buffer {
  const payload = [1, 2, 3, 4, 5, 6, 7, 8];
  const packet = [0x60, 0, 0, 0, 0, payload.length, 253, 64];
  packet.push(...addressBytes(source), ...addressBytes(destination), ...payload);
  return Buffer.from(ethernetFrame(OWN_MAC, CLIENT_MAC, 0x86dd, packet));
}

suite('portable-device', { skip: needsRoot || needsPortable }, () => {
  const descriptorsBefore = openDescriptors();
  after(() => assert.equal(openDescriptors(), descriptorsBefore, 'descriptors leaked'));

  test('frames for a VIP come back unharmed and in order', async () => {
    await withDevice(async ({ device, peer, onBatch }) => {
      assert.equal(device.name, 'portable');
      onBatch(() => turnBack(device));
      const total = 2000;
      const frameNumber = (n: number) =>
        Buffer.from(tcpFrame({ sequence: n, destination: VIP, payload: 'x'.repeat(n % 1400) }));
      for (let sent = 0; sent < total; sent += 100) {
        const frames = Array.from({ length: 100 }, (_, i) => frameNumber(sent + i));
        for (const frame of frames) peer.send(frame);
        await until('all came', () => device.counters().toSocket === sent + 100);
        for (const frame of frames) {
          const back = Buffer.concat([frame.subarray(6, 12), frame.subarray(0, 6), frame.subarray(12)]);
          assert.deepEqual(peer.receive(), back);
        }
      }
      assert.deepEqual(device.statistics(), { rxTooLong: 0, txDropped: 0 });
    });
  });

  test('a packet for another address goes by the routes, with an outer header in front', async () => {
    await withDevice(async ({ device, peer, right, onBatch }) => {
      const outer = Buffer.from(tcpFrame({ source: '198.18.0.1', destination: '198.18.0.2', flags: 'S' })).subarray(14);
      onBatch(() => {
        const { view, batch } = device;
        batch.offset[0]! -= 20;
        batch.length[0] = 14 + outer.length;
        assert.ok(device.headroom >= 20);
        const frame = Buffer.from(view.buffer, view.byteOffset + batch.offset[0]!, 14 + outer.length);
        // A MAC that nobody has: the kernel asks its own neighbours.
        frame.set([2, 9, 9, 9, 9, 9, 2, 9, 9, 9, 9, 9, 8, 0]);
        frame.set(outer, 14);
        forAll(device, TRANSMIT);
      });
      peer.send(Buffer.from(tcpFrame({ destination: VIP })));
      await until('it came', () => device.counters().toSocket === 1);
      const frame = peer.receive();
      const macOfRight = ipJson(right, 'link', 'show', 'right')[0].address.replaceAll(':', '');
      assert.equal(frame?.subarray(0, 6).toString('hex'), macOfRight);
      assert.deepEqual(frame?.subarray(14), outer);
    });
  });

  test('IPv6: captured for a VIP, sent by the routes', async () => {
    await withDevice(async ({ device, peer, right, onBatch }) => {
      const capture = inNamespace(right, () => openCapture({ interface: requireLink('right').index }));
      const routed = ipv6Frame('2001:db8:99::7', '2001:db8::2').subarray(14);
      onBatch(() => {
        const { view, batch } = device;
        new Uint8Array(view.buffer, view.byteOffset).set(routed, batch.offset[0]! + 14);
        forAll(device, TRANSMIT);
      });
      try {
        peer.send(ipv6Frame('2001:db8:99::7', VIP6));
        const came: Buffer[] = [];
        await until('it comes back', () => {
          capture.read(({ bytes, outgoing }) => {
            const packet = Buffer.from(bytes.subarray(14));
            if (!outgoing && packet.subarray(24, 40).equals(routed.subarray(24, 40)) && packet[6] === 253)
              came.push(packet);
          });
          return came.length > 0;
        });
        assert.deepEqual(came, [routed]);
      } finally {
        capture.close();
      }
    });
  });

  test('nothing else is captured: other addresses, other hosts; the packets of a VIP from its first on', async () => {
    await withDevice(async ({ device, peer, left, onBatch }) => {
      onBatch(() => forAll(device, RELEASE));
      peer.send(Buffer.from(tcpFrame({ destination: OTHER_VIP })));
      const elsewhere = Buffer.from(tcpFrame({ destination: VIP }));
      elsewhere.set([2, 9, 9, 9, 9, 9]);
      peer.send(elsewhere);
      peer.send(Buffer.from(tcpFrame({ destination: VIP })));
      await until('one came', () => device.counters().toSocket > 0);
      assert.equal(device.counters().toSocket, 1);

      inNamespace(left, () => device.setServices(of(OTHER_VIP)));
      peer.send(Buffer.from(tcpFrame({ destination: VIP })));
      peer.send(Buffer.from(tcpFrame({ destination: OTHER_VIP })));
      await until('another came', () => device.counters().toSocket > 1);
      assert.equal(device.counters().toSocket, 2);

      device.setServices([]);
      peer.send(Buffer.from(tcpFrame({ destination: OTHER_VIP })));
      await new Promise((resolve) => setImmediate(resolve));
      assert.equal(device.counters().toSocket, 2);
    });
  });

  test('up to two VLAN tags are captured with the frame, and sent with it', async () => {
    await withDevice(async ({ device, peer, right, onBatch }) => {
      const capture = inNamespace(right, () => openCapture({ interface: requireLink('right').index }));
      const captured: Buffer[] = [];
      onBatch(() => {
        const { view, batch } = device;
        for (let i = 0; i < batch.count; i++) {
          captured.push(
            Buffer.copyBytesFrom(new Uint8Array(view.buffer, view.byteOffset + batch.offset[i]!, batch.length[i])),
          );
        }
        turnBack(device);
      });
      const untagged = Buffer.from(tcpFrame({ destination: VIP }));
      const tagged = (...tags: number[]) =>
        Buffer.concat([untagged.subarray(0, 12), Buffer.from(tags), untagged.subarray(12)]);
      const frames = [tagged(0x81, 0, 0, 7), tagged(0x88, 0xa8, 0, 9, 0x81, 0, 0, 7)];
      try {
        for (const frame of frames) peer.send(frame);
        await until('both came', () => device.counters().toSocket === 2);
        const came: Buffer[] = [];
        await until('both come back', () => {
          capture.read(({ bytes, outgoing }) => {
            const frame = Buffer.from(bytes);
            if (!outgoing && frame.includes(untagged.subarray(14))) came.push(frame);
          });
          return came.length === 2;
        });
        assert.deepEqual(captured, frames);
        // The kernel at the far end has taken the first tag off.
        const back = frames.map((frame) =>
          Buffer.concat([frame.subarray(6, 12), frame.subarray(0, 6), frame.subarray(16)]),
        );
        assert.deepEqual(came, back);
      } finally {
        capture.close();
      }
    });
  });

  test('what is too long, passed on or not to be sent is counted', async () => {
    await withDevice(async ({ device, peer, left, right, onBatch }) => {
      for (const [host, side] of [
        [left, 'left'],
        [right, 'right'],
      ] as const) {
        ip('-n', host, 'link', 'set', side, 'mtu', '4000');
      }
      onBatch(() => forAll(device, PASS));
      peer.send(Buffer.from(tcpFrame({ destination: VIP, payload: 'x'.repeat(3000) })));
      peer.send(Buffer.from(tcpFrame({ destination: VIP })));
      await until('both came', () => device.counters().otherPort === 1);
      assert.deepEqual(device.counters(), { toSocket: 0, otherPort: 1, noSocket: 0 });
      assert.deepEqual(device.statistics(), { rxTooLong: 1, txDropped: 0 });

      // No route leads there.
      onBatch(() => {
        const { view, batch } = device;
        view.setUint32(batch.offset[0]! + 30, 0xc0000201);
        forAll(device, TRANSMIT);
      });
      peer.send(Buffer.from(tcpFrame({ destination: VIP })));
      await until('it was refused', () => device.statistics().txDropped === 1);
    });
  });

  test('frames of its own: as many as the batch holds, none too long', async () => {
    await withDevice(async ({ device, peer }) => {
      assert.equal(device.append(4000), -1);
      const frame = Buffer.from(tcpFrame({ destination: VIP }));
      for (let i = 0; i < device.batch.capacity; i++) {
        const row = device.append(frame.length);
        assert.equal(row, i);
        new Uint8Array(device.view.buffer, device.view.byteOffset).set(frame, device.batch.offset[row]);
      }
      assert.equal(device.append(frame.length), -1);
      device.send();
      assert.equal(device.batch.count, 0);
      for (let i = 0; i < device.batch.capacity; i++) assert.deepEqual(peer.receive(), frame);
    });
  });

  test('it captures again when its interface was down, at once or for a while, and under another MAC', async () => {
    await withDevice(async ({ device, peer, left, onBatch }) => {
      let [sourcePort, came] = [0, 0];
      onBatch(() => {
        came = device.view.getUint16(device.batch.offset[0]! + 34);
        forAll(device, RELEASE);
      });
      const link = (...command: string[]) => ip('-n', left, 'link', 'set', 'left', ...command);
      /** Sent until it comes: nobody tells when it captures again. */
      const captures = (vip: string, mac = OWN_MAC) => {
        sourcePort++;
        return until('it captures', () => {
          inNamespace(left, () => device.receive(0));
          peer.send(Buffer.concat([macBytes(mac), tcpFrame({ destination: vip, sourcePort }).subarray(6)]));
          return came === sourcePort;
        });
      };
      await captures(VIP);
      link('down');
      link('up');
      await captures(VIP);

      link('down');
      // What is wanted meanwhile is captured afterwards.
      inNamespace(left, () => device.setServices(of(OTHER_VIP)));
      link('up');
      await captures(OTHER_VIP);

      link('address', '02:00:00:00:ab:cd');
      inNamespace(left, () => device.setServices(of(OTHER_VIP)));
      await captures(OTHER_VIP, '02:00:00:00:ab:cd');
    });
  });

  for (const [what, commands] of [
    ['deleted', ['delete left']],
    ['deleted, and another has its index and name', ['delete left', 'add left index INDEX up type veth']],
  ] as const) {
    test(`an interface that is ${what} is an error, not the end of the process`, async () => {
      await withDevice(async ({ device, left }) => {
        const { ifindex } = ipJson(left, 'link', 'show', 'left')[0];
        for (const command of commands) ip('-n', left, 'link', ...command.replace('INDEX', ifindex).split(' '));
        assert.throws(() => inNamespace(left, () => device.receive(0)), /ENXIO.*deleted/);
        // The event loop gets to the capture's own error.
        await new Promise((resolve) => setImmediate(resolve));
      });
    });
  }
});
