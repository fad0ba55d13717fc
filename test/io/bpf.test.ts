/** Maps, programs and their errors, against the running kernel. */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { release } from 'node:os';
import { after, suite, test } from 'node:test';
import {
  createMap,
  deleteFromMap,
  loadProgram,
  lookupMapInto,
  runOnLiveFrames,
  testRun,
  updateMap,
  XDP_DROP,
  XDP_PASS,
} from '../../io/bpf.ts';
import { alu, assemble, exit, jumpIf, label, load, store } from '../../io/bpf-assembler.ts';
import { createBpfCounters } from '../../io/bpf-counters.ts';
import { hasTcx } from '../../io/bpf-links.ts';
import { closeDescriptor, type SystemCallError } from '../../io/ffi.ts';
import { needsRoot, openDescriptors } from './two-hosts.ts';

suite('bpf', { skip: needsRoot }, () => {
  const before = openDescriptors();
  after(() => assert.equal(openDescriptors(), before, 'descriptors leaked'));

  test('a hash map keeps, changes and forgets', () => {
    const fd = createMap({ name: 'test_hash', type: 'hash', keySize: 8, valueSize: 4, entries: 2 });
    const [first, second, third] = [1, 2, 3].map((byte) => Buffer.alloc(8, byte)) as [Buffer, Buffer, Buffer];
    const value = Buffer.alloc(4);
    assert.equal(lookupMapInto(fd, first, value), false);
    updateMap(fd, first, Buffer.from('abcd'));
    updateMap(fd, second, Buffer.from('efgh'));
    updateMap(fd, first, Buffer.from('ijkl'));
    assert.equal(lookupMapInto(fd, first, value), true);
    assert.equal(value.toString(), 'ijkl');
    assert.equal(lookupMapInto(fd, second, value), true);
    assert.equal(value.toString(), 'efgh');
    assert.throws(() => updateMap(fd, third, value), { code: 'E2BIG' });
    assert.equal(deleteFromMap(fd, second), true);
    assert.equal(deleteFromMap(fd, second), false);
    assert.equal(lookupMapInto(fd, second, value), false);
    closeDescriptor(fd);
  });

  test('TCX is there, or is not, as the kernel is of Linux 6.6 or of an older one', () => {
    const [major, minor] = release().split('.').map(Number);
    assert.equal(hasTcx(), major > 6 || (major === 6 && minor >= 6));
  });

  test('a program runs on a packet and changes it', () => {
    const code = [
      load('u32', 'r2', 'r1', 0),
      load('u32', 'r3', 'r1', 4),
      alu('r4', '=', 'r2'),
      alu('r4', '+=', 14),
      alu('r0', '=', XDP_PASS),
      jumpIf('r4', '>', 'r3', 'short'),
      store('u8', 'r2', 0, 0x77),
      label('short'),
      exit(),
    ];
    const fd = loadProgram('test_store', assemble(code));
    const { verdict, packet } = testRun(fd, Buffer.alloc(60, 1));
    assert.equal(verdict, XDP_PASS);
    assert.equal(packet.toString('hex'), `77${'01'.repeat(59)}`);
    closeDescriptor(fd);
  });

  test('the verifier log is in the error', () => {
    const code = assemble([load('u32', 'r2', 'r1', 0), load('u8', 'r0', 'r2', 0), exit()]);
    assert.throws(
      () => loadProgram('test_bad', code),
      (error: SystemCallError) => {
        assert.equal(error.code, 'EACCES');
        assert.match(error.message, /load bpf program test_bad/);
        assert.match(error.message, /invalid access to packet/);
        return true;
      },
    );
  });

  test('counters add up apart from each other', () => {
    const counters = createBpfCounters('test_counters', ['one', 'two', 'never']);
    const code = [counters.increment('two'), counters.increment('one'), counters.increment('two')];
    const fd = loadProgram('test_count', assemble([code, alu('r0', '=', XDP_PASS), exit()]));
    for (let i = 0; i < 3; i++) testRun(fd, Buffer.alloc(60));
    assert.deepEqual(counters.read(), { one: 3, two: 6, never: 0 });
    closeDescriptor(fd);
    counters.close();
  });

  const blockedSignals = () => /^SigBlk:.*/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[0];

  /** Signals come one after the other until `work` is done, which gets to know how many there were. */
  async function inRain(work: (signals: () => number) => void | Promise<void>): Promise<void> {
    const before = blockedSignals();
    let signals = 0;
    const count = () => (signals += 1);
    process.on('SIGURG', count);
    const child = spawn('sh', ['-c', `while kill -URG ${process.pid}; do sleep 0.001; done`], { stdio: 'ignore' });
    try {
      await once(process, 'SIGURG');
      await work(() => signals);
      assert.equal(blockedSignals(), before);
    } finally {
      child.kill('SIGKILL');
      await once(child, 'exit');
      process.off('SIGURG', count);
    }
  }

  test('a run on live frames goes through a rain of signals, and gets them afterwards', async () => {
    const counters = createBpfCounters('test_live', ['frames']);
    const code = [counters.increment('frames'), alu('r0', '=', XDP_DROP), exit()];
    const fd = loadProgram('test_live', assemble(code));
    try {
      const frame = Buffer.alloc(60);
      await inRain(async (signals) => {
        for (let run = 1; run <= 3; run++) {
          const before = signals();
          runOnLiveFrames(fd, frame, 500_000);
          assert.deepEqual(counters.read(), { frames: run * 500_000 });
          while (signals() === before) await once(process, 'SIGURG');
        }
      });
    } finally {
      closeDescriptor(fd);
      counters.close();
    }
  });

  test('a program that takes the verifier a while is loaded in a rain of signals', async () => {
    const additions = Array.from({ length: 100_000 }, () => alu('r0', '+=', 1));
    const code = assemble([alu('r0', '=', 0), additions, exit()]);
    await inRain(() => {
      for (let run = 1; run <= 3; run++) closeDescriptor(loadProgram('test_long', code));
    });
  });

  test('a run that fails leaves the signals as they were', () => {
    const before = blockedSignals();
    assert.throws(() => runOnLiveFrames(-1, Buffer.alloc(60), 1), { code: 'EBADF' });
    assert.equal(blockedSignals(), before);
  });

  test('without the privilege the error says what to do', () => {
    const code = `
      const { createMap } = await import(${JSON.stringify(new URL('../../io/bpf.js', import.meta.url).href)});
      process.setuid(65534);
      try {
        createMap({ name: 'test', type: 'hash', keySize: 4, valueSize: 4, entries: 1 });
      } catch (error) {
        console.log(error.message);
      }`;
    const output = execFileSync(process.execPath, ['--input-type=module', '-e', code], { encoding: 'utf8' });
    const advice = 'run as root, or grant CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF and CAP_PERFMON';
    assert.equal(output.trim(), `create bpf map test: EPERM (${advice})`);
  });
});
