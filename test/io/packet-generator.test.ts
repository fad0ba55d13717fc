/** The generator on a veth pair: it sends at the right host, the AF_XDP device at the left one looks at what comes. */
import assert from 'node:assert/strict';
import { after, suite, test } from 'node:test';
import { createAfXdpDevice } from '../../io/af-xdp-device.ts';
import { loadProgram, XDP_MD_DATA, XDP_MD_DATA_END } from '../../io/bpf.ts';
import { alu, assemble, exit, jump, jumpIf, jumpIf32, label, load, store } from '../../io/bpf-assembler.ts';
import { createBpfCounters } from '../../io/bpf-counters.ts';
import { closeDescriptor } from '../../io/ffi.ts';
import { inNamespace } from '../../io/namespace.ts';
import { createGenerator, flowSource } from '../../io/packet-generator.ts';
import { attachXdp, requireLink } from '../../io/xdp.ts';
import { createSteering } from '../../io/xdp-steering.ts';
import { internetChecksum, tcpFrame } from '../packets.ts';
import { echoBatch } from './echo.ts';
import { receiveAll } from './receive-all.ts';
import { addressBytes, makeTwoHosts, needsRoot, openDescriptors, until } from './two-hosts.ts';

suite('packet-generator', { skip: needsRoot }, () => {
  const descriptorsBefore = openDescriptors();
  const hosts = makeTwoHosts();
  const steering = createSteering({ queueCount: 1 });
  steering.setServices([{ address: addressBytes('198.18.10.1'), protocol: 6, ports: { first: 80, last: 80 } }]);
  const [device, attachment] = inNamespace(hosts.left, () => {
    const interfaceIndex = requireLink('left').index;
    const { programFd, socketMapFd } = steering;
    const opened = createAfXdpDevice({ interfaceIndex, queues: [0], socketMapFd });
    return [opened, attachXdp({ programFd, interfaceIndex, mode: 'native' })];
  });
  const generatorOf = (flows: number, frame: Uint8Array, tcpChecksum = false) =>
    inNamespace(hosts.right, () => {
      const interfaceIndex = requireLink('right').index;
      return createGenerator({ interfaceIndex, frame, flows, tcpChecksum });
    });
  after(() => {
    attachment.detach();
    device.close();
    steering.close();
    hosts.remove();
    assert.equal(openDescriptors(), descriptorsBefore, 'descriptors leaked');
  });

  /** `count` frames, and what has come beside them; they go back with swapped addresses, so that pages are used again after a change. */
  function arrived(count: number): Buffer[] {
    const frames: Buffer[] = [];
    const take = () => {
      const { batch, view } = device;
      for (let i = 0; i < batch.count; i++) {
        frames.push(Buffer.copyBytesFrom(new Uint8Array(view.buffer, batch.offset[i], batch.length[i])));
      }
      echoBatch(device);
    };
    receiveAll(device, count, take);
    while (device.receive(20) > 0) take();
    return frames;
  }

  const template = tcpFrame({ source: '198.18.7.77', payload: 'generated' });
  /** Flow `index` of the template, by the rule in the generator's documentation. */
  function expectedFrame(index: number): Buffer {
    const frame = Buffer.from(template);
    frame[29] = index % 256;
    frame.writeUInt16BE(1024 + Math.floor(index / 256), 34);
    frame.writeUInt16BE(255 - (index % 256), 18);
    frame.writeUInt16BE(0, 24);
    frame.writeUInt16BE(internetChecksum([...frame.subarray(14, 34)]), 24);
    return frame;
  }

  test('every flow in turn, with valid IPv4 checksums, across runs', () => {
    const generator = generatorOf(600, template);
    const seen: Buffer[] = [];
    for (const count of [1, 63, 64, 65, 300, 150, 200]) {
      inNamespace(hosts.right, () => generator.run(count));
      seen.push(...arrived(count));
    }
    generator.close();
    assert.equal(seen.length, 843);
    for (const [n, frame] of seen.entries()) assert.deepEqual(frame, expectedFrame(n % 600), `frame ${n}`);
    assert.equal(device.queues[0].checkFrames().inBatch, 0);
  });

  test('with valid TCP checksums, a sequence number for each flow', () => {
    // The odd one has half a word at its end.
    for (const payload of ['', 'odd']) {
      const generator = generatorOf(2 ** 24, tcpFrame({ source: '198.18.7.77', payload, flags: 'S' }), true);
      inNamespace(hosts.right, () => generator.run(900));
      generator.close();
      const seen = arrived(900);
      assert.equal(seen.length, 900);
      for (const [n, frame] of seen.entries()) {
        const segment = [...frame.subarray(34, 14 + frame.readUInt16BE(16))];
        const pseudoHeader = [...frame.subarray(26, 34), 0, 6, 0, segment.length];
        assert.equal(internetChecksum([...pseudoHeader, ...segment]), 0, `frame ${n}`);
        assert.equal(frame[29], n % 256);
        assert.equal(frame.readUInt16BE(34), 1024 + Math.floor(n / 256));
        assert.equal(frame.readUInt16BE(38), 0xffff - frame.readUInt16BE(34));
      }
    }
  });

  test('one flow', () => {
    const generator = generatorOf(1, template);
    inNamespace(hosts.right, () => generator.run(100));
    generator.close();
    const seen = arrived(100);
    assert.equal(seen.length, 100);
    for (const frame of seen) assert.deepEqual(frame, expectedFrame(0));
  });

  /** As flow 0 is with a TCP checksum: all that differs from the template has an effect on it. */
  const finished = tcpFrame({
    source: '198.18.7.0',
    sourcePort: 1024,
    sequence: (0xffff - 1024) * 65536 + 0xffff,
    payload: 'generated',
  });

  for (const { tcpChecksum, spoilt, looksAt, expected } of [
    { tcpChecksum: false, spoilt: 40, looksAt: 0, expected: template },
    { tcpChecksum: true, spoilt: 52, looksAt: 48, expected: finished },
  ]) {
    const what = tcpChecksum ? 'all headers' : 'headers';
    test(`a receiver that spoils ${what} does not show in later frames`, async () => {
      attachment.detach();
      const counters = createBpfCounters('test_spoiler', ['whole', 'spoilt']);
      const words = Array.from({ length: spoilt / 4 }, (_, i) => i * 4);
      const code = [
        load('u32', 'r7', 'r1', XDP_MD_DATA),
        load('u32', 'r2', 'r1', XDP_MD_DATA_END),
        alu('r3', '=', 'r7'),
        alu('r3', '+=', spoilt),
        jumpIf('r3', '>', 'r2', 'drop'),
        load('u32', 'r6', 'r7', looksAt),
        words.map((at) => store('u32', 'r7', at, 0x5a5a5a5a)),
        jumpIf32('r6', '!=', Buffer.from(expected).readInt32LE(looksAt), 'other'),
        counters.increment('whole'),
        jump('drop'),
        label('other'),
        jumpIf32('r6', '!=', 0x5a5a5a5a, 'drop'),
        counters.increment('spoilt'),
        label('drop'),
        alu('r0', '=', 1),
        exit(),
      ];
      const programFd = loadProgram('test_spoiler', assemble(code));
      const spoiler = inNamespace(hosts.left, () =>
        attachXdp({ programFd, interfaceIndex: requireLink('left').index, mode: 'native' }),
      );
      const generator = generatorOf(5, template, tcpChecksum);
      for (let i = 0; i < 20; i++) inNamespace(hosts.right, () => generator.run(200));
      // Where the machine is busy, the kernel hands them over on a thread of its own.
      await until('all are counted', () => counters.read().whole + counters.read().spoilt >= 4000);
      assert.deepEqual(counters.read(), { whole: 4000, spoilt: 0 });
      generator.close();
      spoiler.detach();
      counters.close();
      closeDescriptor(programFd);
    });
  }

  test('flowSource names the sources', () => {
    for (const index of [0, 1, 255, 256, 70_000, 2 ** 24 - 1]) {
      const { lastByte, port } = flowSource(index);
      assert.equal(lastByte, index % 256);
      assert.equal(port, (1024 + Math.floor(index / 256)) % 65536);
    }
  });

  test('bad settings are refused', () => {
    assert.throws(() => createGenerator({ interfaceIndex: 1, frame: template.subarray(0, 39), flows: 1 }), RangeError);
    const short = template.subarray(0, 53);
    assert.throws(() => createGenerator({ interfaceIndex: 1, frame: short, flows: 1, tcpChecksum: true }), RangeError);
    for (const flows of [0, 2 ** 24 + 1, Number.NaN]) {
      assert.throws(() => createGenerator({ interfaceIndex: 1, frame: template, flows }), RangeError);
    }
  });
});
