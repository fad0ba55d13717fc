/** The AF_PACKET device on a veth pair: frames go in at the right host, out of the device, and back. */
import assert from 'node:assert/strict';
import { after, suite, test } from 'node:test';
import { type AfPacketDevice, type AfPacketOptions, createAfPacketDevice } from '../../io/af-packet-device.ts';
import { PASS, RELEASE, TRANSMIT } from '../../io/device.ts';
import { inNamespace } from '../../io/namespace.ts';
import { createTapSteering } from '../../io/tap-steering.ts';
import { createWake } from '../../io/wake.ts';
import { requireLink } from '../../io/xdp.ts';
import { bytesOfMac, tcpFrame } from '../packets.ts';
import { deviceCases, echoOf } from './device-cases.ts';
import { echoBatch } from './echo.ts';
import { openPacketSocket, type PacketSocket } from './packet-socket.ts';
import { arrived, receiveAll } from './receive-all.ts';
import { web } from './steering-rows.ts';
import { ip, ipJson, makeTwoHosts, needsRoot, openDescriptors } from './two-hosts.ts';

interface Bench {
  readonly left: string;
  readonly right: string;
  readonly device: AfPacketDevice;
  readonly peer: PacketSocket;
  /** Another device on the same interface. */
  open(options: Partial<AfPacketOptions>): AfPacketDevice;
  /** Frame number `n` for the device's host, told apart by its sequence number. */
  frameNumber(n: number): Buffer;
}

/** Runs `work` with a device at the left host and a packet socket at the right one. */
function withDevice(options: Partial<AfPacketOptions>, work: (bench: Bench) => void): void {
  const hosts = makeTwoHosts();
  const peer = openPacketSocket(hosts.right, 'right');
  const ownMac = bytesOfMac(ipJson(hosts.left, 'link', 'show', 'left')[0].address);
  const steering = createTapSteering();
  steering.setServices([web]);
  const { filterFd } = steering;
  const open = (more: Partial<AfPacketOptions>) =>
    inNamespace(hosts.left, () =>
      createAfPacketDevice({ interfaceIndex: requireLink('left').index, filterFd, ...more }),
    );
  const device = open(options);
  const frameNumber = (n: number) => {
    const frame = Buffer.from(
      tcpFrame({ sequence: n, sourcePort: 1024 + (n % 50_000), payload: 'x'.repeat(n % 1400) }),
    );
    frame.set(ownMac);
    return frame;
  };
  try {
    work({ ...hosts, device, peer, open, frameNumber });
  } finally {
    device.close();
    steering.close();
    peer.close();
    hosts.remove();
  }
}

const NO_LOSS = { rxRingFull: 0, rxTooLong: 0, txDropped: 0, passUnsupported: 0 };

suite('af-packet-device', { skip: needsRoot }, () => {
  const descriptorsBefore = openDescriptors();
  after(() => assert.equal(openDescriptors(), descriptorsBefore, 'descriptors leaked'));

  test('10,000 frames come back unharmed, and every slot is the kernel’s again', () => {
    withDevice({ ringSize: 256 }, ({ device, peer, frameNumber }) => {
      assert.equal(device.name, 'af-packet');
      deviceCases(device, peer, frameNumber).exchange(10_000, () => void device.checkFrames());
      assert.deepEqual(device.checkFrames(), { kernel: 256, inBatch: 0, waiting: 0 });
      assert.deepEqual(device.statistics(), NO_LOSS);
    });
  });

  test('headers may be prepended and frames cut, in place', () => {
    withDevice({}, ({ device, peer, frameNumber }) => {
      deviceCases(device, peer, frameNumber).prependAndCut(124);
      assert.deepEqual(device.statistics(), NO_LOSS);
    });
  });

  test('appended frames go out behind the received ones, until the batch is full; or are forgotten', () => {
    withDevice({ ringSize: 32, batchSize: 8 }, ({ device, peer, frameNumber }) => {
      const { append, appendSeven } = deviceCases(device, peer, frameNumber);
      assert.equal(device.append(1869), -1);
      for (let round = 0; round < 20; round++) appendSeven(() => {});
      assert.equal(append(1), 0);
      assert.equal(device.receive(0), 0);
      assert.deepEqual(device.checkFrames(), { kernel: 32, inBatch: 0, waiting: 0 });
      assert.equal(peer.receive(0), undefined);
    });
  });

  test('frames that are not transmitted are counted: passed, out of their slot, longer than the MTU', () => {
    withDevice({ ringSize: 64, batchSize: 8 }, ({ device, peer, frameNumber }) => {
      const { batch } = device;
      const sabotage: ((i: number) => void)[] = [
        (i) => (batch.action[i] = RELEASE),
        (i) => (batch.action[i] = PASS),
        (i) => (batch.length[i] = 0),
        (i) => (batch.length[i] = 1600),
        (i) => (batch.length[i] = 0x7fff_ffff),
        (i) => (batch.offset[i] -= 129 + 14),
        (i) => (batch.offset[i] += 2048),
        () => {},
      ];
      deviceCases(device, peer, frameNumber).misuse(50, sabotage, (first) => {
        assert.deepEqual(peer.receive(), frameNumber(first + 7));
      });
      assert.equal(device.receive(0), 0);
      assert.deepEqual(device.checkFrames(), { kernel: 64, inBatch: 0, waiting: 0 });
      assert.deepEqual(device.statistics(), { ...NO_LOSS, txDropped: 25 * 5, passUnsupported: 25 });
      assert.equal(peer.receive(0), undefined);
    });
  });

  test('more packets than slots: the kernel drops and counts, the device goes on', () => {
    withDevice({ ringSize: 32, batchSize: 8 }, ({ device, peer, frameNumber }) => {
      for (let i = 0; i < 100; i++) peer.send(frameNumber(i));
      arrived('the rest is dropped', () => device.statistics().rxRingFull >= 68);
      receiveAll(device, 32, () => echoBatch(device));
      assert.equal(device.receive(10), 0);
      for (let i = 0; i < 32; i++) assert.deepEqual(peer.receive(), echoOf(frameNumber(i)));
      assert.deepEqual(device.statistics(), { ...NO_LOSS, rxRingFull: 68 });
      peer.send(frameNumber(7));
      receiveAll(device, 1, () => echoBatch(device));
      assert.deepEqual(peer.receive(), echoOf(frameNumber(7)));
      assert.deepEqual(device.statistics(), { ...NO_LOSS, rxRingFull: 68 }, 'counted once');
    });
  });

  test('frames that are longer than a slot are counted and never in a batch', () => {
    withDevice({ ringSize: 32, batchSize: 8 }, ({ device, peer, left, right, frameNumber }) => {
      for (const [host, side] of [
        [left, 'left'],
        [right, 'right'],
      ]) {
        ip('-n', host, 'link', 'set', side, 'mtu', '9000');
      }
      const long = Buffer.concat([frameNumber(5), Buffer.alloc(1900)]);
      // Longest that fits, in front of, between and behind those that don't; more than the ring, so that it wraps.
      const longest = Buffer.concat([frameNumber(1300), Buffer.alloc(1868 - frameNumber(1300).length)]);
      for (let round = 0; round < 10; round++) {
        for (const frame of [long, longest, long, long, frameNumber(round), long]) peer.send(frame);
        receiveAll(device, 2, () => echoBatch(device));
        assert.deepEqual(peer.receive(), echoOf(longest));
        assert.deepEqual(peer.receive(), echoOf(frameNumber(round)));
      }
      arrived('the last one', () => device.receive(0) === 0 && device.statistics().rxTooLong >= 40);
      assert.deepEqual(device.statistics(), { ...NO_LOSS, rxTooLong: 40 });
      assert.deepEqual(device.checkFrames(), { kernel: 32, inBatch: 0, waiting: 0 });
    });
  });

  test('devices of one group share the flows out, and each flow stays with one', () => {
    withDevice({ fanoutGroup: 4711 }, ({ device, peer, open, frameNumber }) => {
      const second = open({ fanoutGroup: 4711 });
      /** Sends 200 flows and says which of them each of the devices got. */
      const flowsOf = (...devices: AfPacketDevice[]) => {
        for (let i = 0; i < 200; i++) peer.send(frameNumber(i));
        const flows = devices.map((): number[] => []);
        arrived('200 flows', () => {
          for (const [n, one] of devices.entries()) {
            while (one.receive(0) > 0) {
              for (let i = 0; i < one.batch.count; i++) flows[n]!.push(one.view.getUint16(one.batch.offset[i]! + 34));
            }
          }
          return flows.flat().length >= 200;
        });
        return flows;
      };
      const rounds = [0, 1].map(() => flowsOf(device, second));
      assert.deepEqual(rounds[0], rounds[1]);
      const [ofFirst, ofSecond] = rounds[0] as [number[], number[]];
      assert.equal(new Set([...ofFirst, ...ofSecond]).size, 200);
      assert.equal(ofFirst.length + ofSecond.length, 200);
      assert.ok(ofFirst.length > 40 && ofSecond.length > 40, `${ofFirst.length} and ${ofSecond.length}`);
      second.close();
      assert.equal(flowsOf(device).flat().length, 200, 'the first takes over');
    });
  });

  test('a wake-up ends the wait of one receive, and of no other; receive waits no longer than it was told', () => {
    const wake = createWake();
    try {
      withDevice({ wakeFd: wake.fd }, ({ device, peer, frameNumber }) => {
        deviceCases(device, peer, frameNumber).wakeUp(wake.wake);
        assert.equal(device.receive(-1), 0);
      });
    } finally {
      wake.close();
    }
  });

  test('an interface that is down or removed ends receive with an error, not with a spin', () => {
    withDevice({}, ({ device, peer, left, frameNumber }) => {
      peer.send(frameNumber(1));
      assert.equal(device.receive(10_000), 1);
      ip('-n', left, 'link', 'set', 'left', 'down');
      device.batch.action[0] = TRANSMIT;
      device.send();
      assert.deepEqual(device.statistics(), { ...NO_LOSS, txDropped: 1 });
      assert.throws(() => device.receive(1000), /receive from packet socket: ENETDOWN \(left is down or gone/);
    });
    withDevice({}, ({ device, left }) => {
      ip('-n', left, 'link', 'delete', 'left');
      assert.throws(() => device.receive(1000), /receive from packet socket: ENETDOWN \(left is down or gone/);
    });
  });

  test('wrong settings and places are errors, and leave nothing open', () => {
    withDevice({}, ({ open }) => {
      const before = openDescriptors();
      assert.throws(() => open({ interfaceIndex: 4711 }), { code: 'ENODEV' });
      assert.throws(() => open({ ringSize: 33 }), RangeError);
      assert.throws(() => open({ ringSize: 32, batchSize: 64 }), RangeError);
      assert.throws(() => open({ filterFd: 0 }), /attach the socket filter: EINVAL/);
      assert.equal(openDescriptors(), before);
    });
  });
});
