/** The AF_XDP device on a veth pair: frames go in at the right host, out of the device, and back. */
import assert from 'node:assert/strict';
import { after, suite, test } from 'node:test';
import { type AfXdpDevice, type AfXdpOptions, createAfXdpDevice } from '../../io/af-xdp-device.ts';
import { PASS, RELEASE } from '../../io/device.ts';
import { inNamespace } from '../../io/namespace.ts';
import type { SteeringCounters } from '../../io/service-map.ts';
import { createWake } from '../../io/wake.ts';
import { attachXdp, requireLink, type XdpMode } from '../../io/xdp.ts';
import { createSteering } from '../../io/xdp-steering.ts';
import type { FramePlaces } from '../../io/xsk-queue.ts';
import { bytesOfMac, ethernetFrame, ipv4Packet, tcpFrame } from '../packets.ts';
import { deviceCases, echoOf } from './device-cases.ts';
import { echoBatch } from './echo.ts';
import { openPacketSocket, type PacketSocket } from './packet-socket.ts';
import { afterPoll, arrived, receiveAll } from './receive-all.ts';
import { addressBytes, ip, ipJson, makeTwoHosts, needsRoot, openDescriptors } from './two-hosts.ts';

interface Bench {
  readonly left: string;
  readonly right: string;
  readonly device: AfXdpDevice;
  readonly interfaceIndex: number;
  readonly peer: PacketSocket;
  counters(): SteeringCounters;
}

/** Runs `work` with a device at the left host and a packet socket at the right one. */
function withDevice(mode: XdpMode, options: Partial<AfXdpOptions>, work: (bench: Bench) => void): void {
  const hosts = makeTwoHosts();
  const peer = openPacketSocket(hosts.right, 'right');
  const steering = createSteering({ queueCount: 1 });
  const { programFd, socketMapFd } = steering;
  steering.setServices([{ address: addressBytes('198.18.10.1'), protocol: 6, ports: { first: 80, last: 80 } }]);
  const [device, attachment, interfaceIndex] = inNamespace(hosts.left, () => {
    const { index } = requireLink('left');
    const opened = createAfXdpDevice({ interfaceIndex: index, queues: [0], socketMapFd, ...options });
    return [opened, attachXdp({ programFd, interfaceIndex: index, mode }), index];
  });
  try {
    work({ ...hosts, device, interfaceIndex, peer, counters: steering.counters });
  } finally {
    attachment.detach();
    device.close();
    steering.close();
    peer.close();
    hosts.remove();
  }
}

/** Frame number `n`, told apart by its sequence number. */
const frameNumber = (n: number) => tcpFrame({ sequence: n, payload: 'x'.repeat(n % 1400) });
/** Takes the completions in. */
function settle(device: AfXdpDevice): FramePlaces {
  arrived('what was sent to go out', () => {
    assert.equal(device.receive(1), 0);
    return device.queues[0].checkFrames().sending === 0;
  });
  return device.queues[0].checkFrames();
}

suite('af-xdp-device', { skip: needsRoot }, () => {
  const descriptorsBefore = openDescriptors();
  after(() => assert.equal(openDescriptors(), descriptorsBefore, 'descriptors leaked'));

  for (const mode of ['native', 'generic'] as const) {
    test(`${mode}: 10,000 frames come back unharmed, and none of the device's own is lost`, () => {
      withDevice(mode, {}, ({ device, peer, counters }) => {
        assert.equal(device.name, 'af-xdp');
        assert.equal(device.zeroCopy, false);
        assert.deepEqual(device.queues[0].checkFrames(), { free: 2048, receiving: 2048, inBatch: 0, sending: 0 });
        const total = 10_000;
        deviceCases(device, peer, frameNumber).exchange(total, () => void device.queues[0].checkFrames());
        assert.deepEqual(settle(device), { free: 2048, receiving: 2048, inBatch: 0, sending: 0 });
        assert.deepEqual(counters(), { toSocket: total, otherPort: 0, noSocket: 0 });
        assert.deepEqual([device.queues[0].txDropped, device.queues[0].passUnsupported], [0, 0]);
        const { txRingEmpty, ...losses } = device.queues[0].statistics();
        assert.deepEqual(new Set(Object.values(losses)), new Set([0]), `${txRingEmpty} wake-ups found nothing to send`);
      });
    });
  }

  test('statistics, read between batches, leave nothing on the heap', () => {
    withDevice('native', {}, ({ device }) => {
      const read = (times: number): void => {
        for (let i = 0; i < times; i++) device.queues[0].statistics();
      };
      read(5000);
      const growths = Array.from({ length: 9 }, () => {
        const before = process.memoryUsage().heapUsed;
        read(2000);
        return process.memoryUsage().heapUsed - before;
      }).sort((a, b) => a - b);
      // One number on the heap would be 24,000 in a round, which is short enough to have no collection in it.
      assert.ok(growths[4]! < 20_000, `${growths[4]} bytes in 2,000 reads`);
    });
  });

  test('a wake-up ends the wait of one receive, and of no other', () => {
    const wake = createWake();
    try {
      withDevice('native', { wakeFd: wake.fd }, ({ device, peer }) => {
        deviceCases(device, peer, frameNumber).wakeUp(wake.wake);
      });
    } finally {
      wake.close();
    }
  });

  test('headers may be prepended and frames cut, in place', () => {
    withDevice('native', {}, ({ device, peer }) => {
      deviceCases(device, peer, frameNumber).prependAndCut(256);
      assert.deepEqual(settle(device), { free: 2048, receiving: 2048, inBatch: 0, sending: 0 });
    });
  });

  test('appended frames go out behind the received ones, until the batch is full or no frame is free', () => {
    withDevice('native', { frameCount: 64, batchSize: 8 }, ({ device, peer }) => {
      const { append, appendSeven } = deviceCases(device, peer, frameNumber);
      assert.equal(device.append(1793), -1);
      appendSeven(() => assert.equal(device.queues[0].checkFrames().inBatch, 8));
      assert.deepEqual(settle(device), { free: 32, receiving: 32, inBatch: 0, sending: 0 });

      // All free frames, without a look at what has gone out; then they come back.
      let appended = 0;
      while (append(appended) >= 0) {
        appended++;
        if (device.batch.count === 8) device.send();
      }
      assert.ok(appended >= 32, `${appended}`);
      assert.equal(device.queues[0].checkFrames().free, 0);
      device.send();
      assert.deepEqual(settle(device), { free: 32, receiving: 32, inBatch: 0, sending: 0 });

      // Appended and never sent.
      assert.equal(append(1), 0);
      assert.equal(device.receive(0), 0);
      assert.deepEqual(device.queues[0].checkFrames(), { free: 32, receiving: 32, inBatch: 0, sending: 0 });
    });
  });

  test('frames that are not transmitted are free again: released, passed, out of their chunk, never sent', () => {
    withDevice('native', { frameCount: 64, batchSize: 8 }, ({ device, peer }) => {
      const sabotage: ((i: number) => void)[] = [
        (i) => (device.batch.action[i] = RELEASE),
        (i) => (device.batch.action[i] = PASS),
        (i) => (device.batch.length[i] = 0),
        (i) => (device.batch.length[i] = 1793),
        (i) => (device.batch.length[i] = 0xffff_ffff),
        (i) => (device.batch.offset[i] -= 257),
        (i) => (device.batch.offset[i] += 4096),
        (i) => (device.batch.offset[i] = 0xffff_ffff),
      ];
      deviceCases(device, peer, frameNumber).misuse(100, sabotage);
      assert.equal(device.receive(0), 0);
      assert.deepEqual(device.queues[0].checkFrames(), { free: 32, receiving: 32, inBatch: 0, sending: 0 });
      assert.deepEqual([device.queues[0].txDropped, device.queues[0].passUnsupported], [50 * 6, 50]);
      assert.equal(device.queues[0].statistics().txInvalidDescriptors, 0);
      assert.equal(peer.receive(0), undefined);
    });
  });

  test('more packets than frames: the kernel drops, the device goes on', () => {
    withDevice('native', { frameCount: 64, batchSize: 8 }, ({ device, peer }) => {
      const lost = (): number => {
        const { rxDropped, rxRingFull, fillRingEmpty } = device.queues[0].statistics();
        return rxDropped + rxRingFull + fillRingEmpty;
      };
      for (let i = 0; i < 100; i++) peer.send(frameNumber(i));
      arrived('68 are dropped', () => lost() >= 68);
      receiveAll(device, 32, () => echoBatch(device));
      assert.equal(device.receive(10), 0);
      for (let i = 0; i < 32; i++) assert.deepEqual(peer.receive(), echoOf(frameNumber(i)));
      peer.send(frameNumber(7));
      receiveAll(device, 1, () => echoBatch(device));
      assert.deepEqual(peer.receive(), echoOf(frameNumber(7)));
      assert.equal(settle(device).free, 32);
    });
  });

  test('an interface that is down: frames wait, then are dropped and counted, none is lost', () => {
    withDevice('native', { frameCount: 64, batchSize: 32 }, ({ device, peer, left, counters }) => {
      const set = (state: string) => {
        ip('-n', left, 'link', 'set', 'left', state);
        if (state === 'up') while (!ipJson(left, 'link', 'show', 'left')[0].flags.includes('LOWER_UP'));
      };
      for (let i = 0; i < 32; i++) peer.send(frameNumber(i));
      arrived('the first 32', () => counters().toSocket === 32);
      afterPoll();
      assert.equal(device.receive(1000), 32);
      set('down');
      echoBatch(device);
      assert.deepEqual(
        device.queues[0].checkFrames().sending,
        32,
        'the kernel takes nothing while the interface is down',
      );
      assert.throws(() => device.receive(1000), /ENETDOWN \(left is down: `ip link set dev left up`\)/);
      set('up');
      for (let i = 32; i < 64; i++) peer.send(frameNumber(i));
      arrived('the next 32', () => counters().toSocket === 64);
      afterPoll();
      set('down');
      assert.equal(device.receive(0), 32);
      echoBatch(device);
      assert.deepEqual([device.queues[0].txDropped, device.queues[0].checkFrames().sending], [32, 32]);
      set('up');
      assert.equal(device.receive(0), 0);
      for (let i = 0; i < 32; i++) assert.deepEqual(peer.receive(), echoOf(frameNumber(i)));
      assert.equal(settle(device).free, 32);
    });
  });

  test('a removed interface ends receive with an error, not with a spin', () => {
    withDevice('native', {}, ({ device, left }) => {
      ip('-n', left, 'link', 'delete', 'left');
      assert.throws(() => device.receive(50), /^SystemCallError: receive from AF_XDP socket: ENXIO \(left is gone/);
    });
  });

  test('receive waits as long as it was told, and never for ever', () => {
    withDevice('native', {}, ({ device }) => {
      for (const [timeoutMs, least, most] of [
        [80, 75, 10_000],
        [0, 0, 10_000],
        [-1, 0, 10_000],
      ] as const) {
        const start = performance.now();
        assert.equal(device.receive(timeoutMs), 0);
        const waited = performance.now() - start;
        assert.ok(waited >= least && waited < most, `receive(${timeoutMs}) took ${waited} ms`);
      }
    });
  });

  test('whatever is not for a service reaches the kernel', () => {
    withDevice('native', {}, ({ device, left, right, peer, counters }) => {
      const mac = (namespace: string, name: string) => ipJson(namespace, 'link', 'show', name)[0].address as string;
      const [leftMac, rightMac] = [mac(left, 'left'), mac(right, 'right')];
      // An echo request (RFC 792); the answer shows that ARP passed as well.
      const echo = (type: number, source: string, destination: string, macs: [string, string]) => {
        const message = [type, 0, 0, 0, 0x12, 0x34, 0, 1];
        const sum = 0xffff - ((type << 8) + 0x1234 + 1);
        message.splice(2, 2, sum >> 8, sum & 255);
        return ethernetFrame(...macs, 0x0800, ipv4Packet(source, destination, message, { protocol: 1 }));
      };
      peer.send(echo(8, '198.18.0.2', '198.18.0.1', [leftMac, rightMac]));
      const answer = peer.receive();
      assert.deepEqual(answer?.subarray(0, 14), Buffer.from([...bytesOfMac(rightMac), ...bytesOfMac(leftMac), 8, 0]));
      assert.deepEqual(
        answer?.subarray(26),
        Buffer.from(echo(0, '198.18.0.1', '198.18.0.2', [rightMac, leftMac])).subarray(26),
      );

      // The VIP is local here, so the kernel answers a SYN to a port that is no service with RST.
      ip('-n', left, 'address', 'add', '198.18.10.1/32', 'dev', 'lo');
      const syn = Buffer.from(tcpFrame({ source: '198.18.0.2', destinationPort: 81, flags: 'S' }));
      syn.set(bytesOfMac(leftMac));
      peer.send(syn);
      const reset = peer.receive();
      assert.equal(reset?.readUInt16BE(34), 81);
      assert.equal(reset?.[47], 0x14, 'RST, ACK');
      assert.deepEqual(counters(), { toSocket: 0, otherPort: 1, noSocket: 0 });
      assert.equal(device.receive(0), 0);
    });
  });

  test('a queue belongs to one socket; wrong settings and places are errors', () => {
    withDevice('native', {}, ({ left, interfaceIndex }) => {
      const steering = createSteering({ queueCount: 1 });
      const open = (options: Partial<AfXdpOptions>) =>
        inNamespace(left, () =>
          createAfXdpDevice({ interfaceIndex, queues: [0], socketMapFd: steering.socketMapFd, ...options }),
        );
      assert.throws(() => open({}), /bind AF_XDP socket to queue 0 of left: EBUSY \(another AF_XDP socket/);
      assert.throws(() => open({ queues: [63] }), /queue 63 of left: EINVAL \(no such queue/);
      assert.throws(() => open({ interfaceIndex: 4711 }), { code: 'ENODEV' });
      assert.throws(() => open({ frameCount: 3000 }), RangeError);
      assert.throws(() => open({ frameCount: 64 }), RangeError);
      steering.close();
    });
  });

  test('opened again and again on the same queue', () => {
    // The kernel frees a queue later than it closes the socket.
    withDevice('native', {}, ({ device, left, interfaceIndex }) => {
      device.close();
      const steering = createSteering({ queueCount: 1 });
      for (let round = 0; round < 20; round++) {
        const { socketMapFd } = steering;
        inNamespace(left, () => createAfXdpDevice({ interfaceIndex, queues: [0], socketMapFd })).close();
      }
      steering.close();
    });
  });
});
