/** `hushlb replay` between other programs: captures that come and go by pipes, descriptors and symbolic links. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  lstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { until } from '../io/two-hosts.ts';
import { tcpFrame } from '../packets.ts';
import { FORMATS } from './capture-bytes.ts';
import { CONFIGURATION, MAIN, start } from './command.ts';

const folder = mkdtempSync(join(tmpdir(), 'hushlb-test-replay-'));
after(() => rmSync(folder, { recursive: true }));
const at = (name: string): string => join(folder, name);

const config = at('hushlb.yaml');
writeFileSync(config, CONFIGURATION);
const captureOf = (packets: number): Buffer =>
  FORMATS['pcap, little-endian, nanoseconds'](
    Array.from({ length: packets }, (_, us) => ({ us, bytes: tcpFrame({ sourcePort: 40_000 + (us % 1000) }) })),
  );
const input = at('in.pcap');
writeFileSync(input, captureOf(3));

/** Runs a line of shell in the folder, in which `replay` is the command with its configuration. */
function shell(line: string): { status: number | null; stdout: Buffer; stderr: string } {
  const script = `replay() { ${process.execPath} ${MAIN} replay -c ${config} "$@"; }\n${line}`;
  const { status, stdout, stderr } = spawnSync('sh', ['-c', script], { cwd: folder, maxBuffer: 1 << 26 });
  return { status, stdout, stderr: stderr.toString() };
}

const SUMMARY = /^3 packets in 0 s, 3 sent\n/;
/** Of the comment on the whole, which names the input, only the length differs. */
const packetsIn = (capture: Buffer): Buffer => capture.subarray(capture.readUInt32LE(4));

const plain = shell('replay in.pcap plain.pcapng');
assert.deepEqual([plain.status, plain.stderr], [0, '']);
assert.match(plain.stdout.toString(), SUMMARY);
const wanted = readFileSync(at('plain.pcapng'));

test('OUT -: the capture alone on standard output, the summary on stderr; by a name of it too, and behind what is there', () => {
  const { status, stdout, stderr } = shell('replay in.pcap -');
  assert.equal(status, 0);
  assert.ok(stdout.equals(wanted));
  assert.match(stderr, SUMMARY);
  const behind = shell('printf before > out; replay in.pcap /dev/stdout 2> told >> out; cat out told');
  assert.ok(behind.stdout.toString('latin1').startsWith(`before${wanted.toString('latin1')}3 packets in 0 s`));
});

test('IN -, and --expect -: standard input', () => {
  assert.ok(packetsIn(shell('cat in.pcap | replay - -').stdout).equals(packetsIn(wanted)));
  assert.match(shell('replay in.pcap - | replay in.pcap --expect -').stdout.toString(), /\nas expected: 3 packets/);
  assert.deepEqual(shell('replay - --expect - < in.pcap'), {
    status: 2,
    stdout: Buffer.alloc(0),
    stderr: 'hushlb: --expect: standard input is IN already; name a file; see hushlb replay --help\n',
  });
});

test('a reader that is slow gets it all, and one that goes away ends it without a word', () => {
  writeFileSync(at('long.pcap'), captureOf(5000));
  const slow = shell('replay long.pcap - 2> /dev/null | (sleep 1; cat)');
  shell('replay long.pcap long.pcapng');
  assert.ok(slow.stdout.equals(readFileSync(at('long.pcapng'))));
  const gone = shell('replay long.pcap - | head -c 4 | od -An -tx1');
  assert.deepEqual([gone.stdout.toString().trim(), gone.stderr], ['0a 0d 0d 0a', '']);
});

test('OUT is a symbolic link: what it names is replaced, and the link stays', () => {
  writeFileSync(at('named'), 'the one before');
  symlinkSync('named', at('link'));
  assert.equal(shell('replay in.pcap link').status, 0);
  assert.ok(lstatSync(at('link')).isSymbolicLink());
  assert.ok(readFileSync(at('named')).equals(wanted));
});

test('from a pipe: OUT is whole at its end, and a signal before that leaves nothing behind', async () => {
  execFileSync('mkfifo', [at('fifo')]);
  assert.equal(shell('cat in.pcap > fifo & replay fifo piped.pcapng').status, 0);
  assert.ok(packetsIn(readFileSync(at('piped.pcapng'))).equals(packetsIn(wanted)));

  const before = readdirSync(folder).sort();
  const child = start([process.execPath, MAIN, 'replay', '-c', config, at('fifo'), at('never.pcapng')]);
  const writer = await open(at('fifo'), 'w');
  try {
    const descriptors = `/proc/${child.pid}/fd`;
    const isWriting = () =>
      readdirSync(descriptors).some((fd) => {
        try {
          return readlinkSync(join(descriptors, fd)).includes('never.pcapng');
        } catch {
          return false;
        }
      });
    await until('it writes', isWriting);
    child.kill('SIGINT');
    await once(child, 'close');
    assert.equal(child.signalCode, 'SIGINT');
    assert.deepEqual(readdirSync(folder).sort(), before);
  } finally {
    await writer.close();
  }
});
