/** One AF_XDP device over two receive queues, and the settings of its sockets. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { availableParallelism } from 'node:os';
import { after, suite, test } from 'node:test';
import { type AfXdpDevice, type AfXdpOptions, createAfXdpDevice } from '../../io/af-xdp-device.ts';
import { pinThread } from '../../io/affinity.ts';
import { openCapture } from '../../io/capture.ts';
import { getSocketOption, mapAnonymous } from '../../io/ffi.ts';
import { inNamespace } from '../../io/namespace.ts';
import { createGenerator } from '../../io/packet-generator.ts';
import { attachXdp, requireLink } from '../../io/xdp.ts';
import { createSteering } from '../../io/xdp-steering.ts';
import { openXskSocket } from '../../io/xsk-socket.ts';
import { tcpFrame } from '../packets.ts';
import { echoBatch } from './echo.ts';
import { afterPoll, arrived, receiveAll } from './receive-all.ts';
import { addressBytes, makeTwoHosts, needsRoot, openDescriptors, until } from './two-hosts.ts';

const RING = 64;
const BATCH = 8;
const FRAMES = { frameCount: 2 * RING, frameSize: 2048 } as const;
/** The generator's frames come in at the queue of the CPU that it runs on. */
const twoCpus = availableParallelism() > 1 ? false : 'needs two CPUs';

const VIP = Buffer.from([198, 18, 10, 1]);
const IPV4 = Buffer.from([0x08, 0x00]);

suite('two receive queues', { skip: needsRoot }, () => {
  const descriptorsBefore = openDescriptors();
  const hosts = makeTwoHosts({ queues: 2 });
  const steering = createSteering({ queueCount: 2 });
  const { programFd, socketMapFd } = steering;
  steering.setServices([{ address: addressBytes('198.18.10.1'), protocol: 6, ports: { first: 80, last: 80 } }]);
  const [interfaceIndex, attachment] = inNamespace(hosts.left, () => {
    const { index } = requireLink('left');
    return [index, attachXdp({ programFd, interfaceIndex: index, mode: 'native' })];
  });
  const rightIndex = inNamespace(hosts.right, () => requireLink('right').index);
  after(() => {
    attachment.detach();
    steering.close();
    hosts.remove();
    assert.equal(openDescriptors(), descriptorsBefore, 'descriptors leaked');
  });

  function withDevice(options: Partial<AfXdpOptions>, work: (device: AfXdpDevice) => void): void {
    const settings = { interfaceIndex, queues: [0, 1], socketMapFd, ...FRAMES, batchSize: BATCH, ...options };
    const device = inNamespace(hosts.left, () => createAfXdpDevice(settings));
    try {
      work(device);
    } finally {
      device.close();
    }
  }

  /** Sends `count` frames to each of the queues. */
  function send(count: number, queues: readonly number[]): void {
    const frame = tcpFrame({ source: '198.18.7.0' });
    const generator = inNamespace(hosts.right, () =>
      createGenerator({ interfaceIndex: rightIndex, frame, flows: count }),
    );
    for (const queue of queues) {
      pinThread(queue);
      inNamespace(hosts.right, () => generator.run(count));
    }
    generator.close();
  }

  /** Echoed or not, a frame of `send`: not what the hosts have to say to each other, such as IPv6's neighbour discovery. */
  const isSent = (bytes: Uint8Array): boolean =>
    IPV4.equals(bytes.subarray(12, 14)) && VIP.equals(bytes.subarray(30, 34));

  const queueOf = ({ batch }: AfXdpDevice): number => Math.floor(batch.offset[0]! / (2 * RING * FRAMES.frameSize));

  test('both are served in turn, batch by batch, and each sends its own', { skip: twoCpus }, async () => {
    const capture = inNamespace(hosts.right, () => openCapture({ interface: rightIndex }));
    withDevice({}, (device) => {
      const before = steering.counters().toSocket;
      send(RING, [0, 1]);
      arrived('both rings are full', () => steering.counters().toSocket - before >= 2 * RING);
      afterPoll();
      const order: number[] = [];
      receiveAll(device, 2 * RING, () => {
        assert.equal(device.batch.count, BATCH);
        order.push(queueOf(device));
        echoBatch(device);
      });
      assert.equal(device.receive(20), 0);
      for (let i = 1; i < order.length; i++) assert.notEqual(order[i], order[i - 1], order.join(''));
      for (const queue of device.queues) {
        assert.deepEqual(queue.checkFrames(), { free: RING, receiving: RING, inBatch: 0, sending: 0 });
        assert.equal(queue.txDropped, 0);
      }
    });
    let came = 0;
    await until('all are back', () => {
      capture.read(({ bytes, outgoing }) => (came += !outgoing && isSent(bytes) ? 1 : 0));
      return came >= 2 * RING;
    });
    capture.close();
    assert.equal(came, 2 * RING);
  });

  for (const queue of [0, 1]) {
    test(`whoever waits is woken by queue ${queue}`, { skip: twoCpus }, async () => {
      const url = (name: string) => JSON.stringify(new URL(`../../io/${name}.js`, import.meta.url).href);
      const frame = JSON.stringify([...tcpFrame({ source: '198.18.7.0' })]);
      const code = `
        const { pinThread } = await import(${url('affinity')});
        const { inNamespace } = await import(${url('namespace')});
        const { createGenerator } = await import(${url('packet-generator')});
        pinThread(${queue});
        inNamespace(${JSON.stringify(hosts.right)}, () =>
          createGenerator({ interfaceIndex: ${rightIndex}, frame: Uint8Array.from(${frame}), flows: 1 }).run(${BATCH}));
        // Its end would end the wait too, by a signal.
        setInterval(() => {}, 1000);`;
      const timeoutMs = 10_000;
      let sender: ChildProcess | undefined;
      try {
        withDevice({}, (device) => {
          sender = spawn(process.execPath, ['--input-type=module', '-e', code], { stdio: 'ignore' });
          const start = performance.now();
          assert.ok(device.receive(timeoutMs) > 0);
          assert.ok(performance.now() - start < timeoutMs, 'not woken, found after the timeout');
          assert.equal(queueOf(device), queue);
        });
      } finally {
        sender?.kill();
        await once(sender as ChildProcess, 'exit');
      }
    });
  }

  test('a batch that was never sent goes back to its own queue', { skip: twoCpus }, () => {
    withDevice({}, (device) => {
      send(RING, [0, 1]);
      receiveAll(device, 2 * RING, () => {});
      // Takes the last one back.
      assert.equal(device.receive(20), 0);
      for (const queue of device.queues) {
        assert.deepEqual(queue.checkFrames(), { free: RING, receiving: RING, inBatch: 0, sending: 0 });
      }
    });
  });

  test('a ring holds as many frames as it was told to, each queue its own', { skip: twoCpus }, () => {
    withDevice({}, (device) => {
      send(10 * RING, [1]);
      // The kernel hands packets over on its own thread where the machine is busy: whoever takes some meanwhile makes room.
      const lost = (queue: number): number => {
        const { rxDropped, rxRingFull } = device.queues[queue]!.statistics();
        return rxDropped + rxRingFull;
      };
      arrived('nine of ten are lost', () => lost(1) >= 9 * RING);
      receiveAll(device, RING, () => {
        assert.equal(queueOf(device), 1);
        device.send();
      });
      assert.equal(device.receive(20), 0);
      assert.deepEqual([lost(0), lost(1)], [0, 9 * RING]);
    });
  });

  test('one queue that has a socket already: an error, and nothing is left open', () => {
    withDevice({ queues: [1] }, () => {
      const count = openDescriptors();
      assert.throws(() => withDevice({}, () => {}), /bind AF_XDP socket to queue 1 of left: EBUSY/);
      assert.equal(openDescriptors(), count);
    });
  });

  test('zero-copy that is required, of a driver that has none', () => {
    assert.throws(
      () => withDevice({ zeroCopy: 'require' }, () => {}),
      /bind AF_XDP socket to queue 0 of left: ENOTSUP \(the driver has no zero-copy/,
    );
    for (const zeroCopy of ['auto', 'off'] as const) {
      withDevice({ zeroCopy }, (device) => assert.equal(device.zeroCopy, false));
    }
  });

  test('busy polling: frames come, and silence ends', { skip: twoCpus }, () => {
    withDevice({ busyPoll: { us: 2000, budget: BATCH } }, (device) => {
      for (const queue of [0, 1, 0]) {
        send(RING, [queue]);
        receiveAll(device, RING, () => echoBatch(device));
      }
      assert.equal(device.receive(0), 0);
    });
  });

  test('busy polling is what the kernel was told', () => {
    const memory = mapAnonymous(FRAMES.frameCount * FRAMES.frameSize);
    const settings = { ...FRAMES, ringSize: RING, memoryAddress: memory.address, zeroCopy: 'auto' } as const;
    const socket = inNamespace(hosts.left, () =>
      openXskSocket({ interfaceIndex, queue: 0, ...settings, busyPoll: { us: 50, budget: 128 } }),
    );
    // SOL_SOCKET with SO_BUSY_POLL and SO_PREFER_BUSY_POLL, from asm-generic/socket.h; the budget cannot be read.
    const values = [46, 69].map((option) => {
      const value = Buffer.alloc(4);
      getSocketOption(socket.fd, 1, option, value);
      return value.readInt32LE();
    });
    socket.close();
    memory.unmap();
    assert.deepEqual(values, [50, 1]);
  });
});
