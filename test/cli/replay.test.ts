/** `hushlb replay` as a user runs it: every format in, what others read of its output, comparisons, refusals, signals. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { sharedLan } from '../../lab/topology.ts';
import { writeCaptureFile } from '../../report/capture-file.ts';
import { internetChecksum, tcpFrame } from '../packets.ts';
import { type Captured, FORMATS, START } from './capture-bytes.ts';
import { CONFIGURATION, hushlb, MAIN, start } from './command.ts';

const folder = mkdtempSync(join(tmpdir(), 'hushlb-test-replay-'));
after(() => rmSync(folder, { recursive: true }));
const at = (name: string): string => join(folder, name);
function put(name: string, content: string | Uint8Array): string {
  writeFileSync(at(name), content);
  return at(name);
}

const config = put('hushlb.yaml', CONFIGURATION);
/** A connection, a forgotten one, a packet for a port that is no service's, and one that the capture cut. */
const PACKETS: readonly Captured[] = [
  { us: 0, bytes: tcpFrame({ flags: 'S' }) },
  { us: 1500, bytes: tcpFrame({ flags: 'A' }) },
  { us: 1501, bytes: tcpFrame({ flags: 'PA', payload: 'GET / HTTP/1.1\r\n\r\n' }) },
  { us: 2_000_000, bytes: tcpFrame({ destinationPort: 22, flags: 'S' }) },
  { us: 2_000_001, bytes: tcpFrame({ payload: 'x' }), original: 1514 },
  { us: 75_000_000, bytes: tcpFrame({ flags: 'PA', payload: 'GET / HTTP/1.1\r\n\r\n' }) },
];
const input = put('in.pcap', FORMATS['pcap, little-endian, microseconds'](PACKETS));
const has = (program: string): boolean => spawnSync(program, ['--version']).status === 0;
const leftOver = (): string[] => readdirSync(folder).filter((name) => name.endsWith('.part'));

const SUMMARY = `6 packets in 75 s, 4 sent
  forward                  4
           forwarded, web  4
  reset                    0
  pass                     1
           other-port      1
  drop                     0
web: 2 hits, 1 SYN miss, 1 non-SYN miss, 1 expired
  to b2 4
left out: 1 packet that the capture cut; capture whole ones (tcpdump -s 0)
`;

test('every format, byte order and precision comes to the same', async () => {
  const outputs = await Promise.all(
    Object.entries(FORMATS).map(async ([name, write], i) => {
      const output = at(`out${i}.pcapng`);
      const { code, stdout, stderr } = await hushlb(['replay', '-c', config, put(`in${i}`, write(PACKETS)), output]);
      assert.deepEqual({ code, stderr, stdout }, { code: 0, stderr: '', stdout: SUMMARY }, name);
      // The comment on the whole names the input.
      return readFileSync(output).toString('latin1').replace(`${folder}/in${i}`, '');
    }),
  );
  assert.equal(new Set(outputs).size, 1);
  assert.deepEqual(leftOver(), []);
});

test('tshark and tcpdump read the output: times, tunnels, checksums, comments', {
  skip: (!has('tshark') && 'needs tshark') || (!has('tcpdump') && 'needs tcpdump'),
}, async () => {
  const output = at('read.pcapng');
  assert.equal((await hushlb(['replay', '-c', config, input, output, '--all'])).code, 0);
  const fields = ['frame.time_epoch', 'ip.src', 'ip.dst', 'tcp.flags.str', 'ip.checksum.status', 'tcp.checksum.status'];
  const shark = spawnSync(
    'tshark',
    ['-n', '-r', output, '-o', 'ip.check_checksum:TRUE', '-o', 'tcp.check_checksum:TRUE', '-T', 'fields'].concat(
      [...fields, 'frame.packet_flags_direction', 'frame.comment', '_ws.malformed'].flatMap((field) => ['-e', field]),
    ),
    { encoding: 'utf8', env: { ...process.env, LC_ALL: 'C.UTF-8' } },
  );
  const rows = shark.stdout
    .trimEnd()
    .split('\n')
    .map((line) => line.split('\t'));
  assert.deepEqual(
    rows.map(([time, source, destination]) => [Number(time) - START, source, destination]).map(String),
    [0, 0.0015, 0.001501, 2, 75]
      .map((s) => (s === 2 ? [s, '192.0.2.7', '198.18.10.1'] : [s, '192.0.2.1,192.0.2.7', '198.18.2.2,198.18.10.1']))
      .map(([s, ...addresses]) => [Number((START + Number(s)).toFixed(6)) - START, ...addresses])
      .map(String),
  );
  for (const row of rows) assert.match(row[4], /^1(,1)?$/);
  for (const row of rows) assert.equal(row[5], '1');
  for (const row of rows) assert.equal(row[8] ?? '', '');
  assert.deepEqual(
    rows.map((row) => [row[6], row[7].replace(/slot \d+/, 'slot N')]),
    [
      ['0x00000002', 'web: miss (SYN) → slot N of 65537 → b2; IPIP to 198.18.2.2'],
      ['0x00000002', 'web: hit → b2 (slot N of 65537); IPIP to 198.18.2.2'],
      ['0x00000002', 'web: hit → b2 (slot N of 65537); IPIP to 198.18.2.2'],
      ['0x00000001', 'pass: other-port'],
      [
        '0x00000002',
        'web: miss (not SYN, forgotten: idle for 60s or closed) → slot N of 65537 → b2; IPIP to 198.18.2.2',
      ],
    ],
  );
  const dump = spawnSync('tcpdump', ['-n', '-r', output, 'ip proto 4'], { encoding: 'utf8' });
  assert.equal(dump.status, 0, dump.stderr);
  assert.equal(dump.stdout.trimEnd().split('\n').length, 4);
});

describe('--expect', () => {
  const replay = (...more: string[]) => hushlb(['replay', '-c', config, input, ...more]);

  test('its own output is as expected, with --all too, and what editcap makes of it', {
    skip: !has('editcap') && 'needs editcap',
  }, async () => {
    const before = at('before.pcapng');
    await replay(before, '--all');
    const captures = [before];
    for (const format of ['pcap', 'nsecpcap']) {
      const sent = at('sent.pcapng');
      await replay(sent);
      assert.equal(spawnSync('editcap', ['-F', format, sent, at(format)]).status, 0);
      captures.push(at(format));
    }
    for (const expected of captures) {
      const { code, stdout, stderr } = await replay('--expect', expected);
      assert.deepEqual({ code, stderr }, { code: 0, stderr: '' });
      assert.equal(stdout, `${SUMMARY}as expected: 4 packets, byte by byte\n`);
    }
  });

  test('a difference is one line and exit code 1; the output and the summary are there all the same', async () => {
    const before = at('different.pcapng');
    await replay(before);
    const output = at('now.pcapng');
    const { code, stdout, stderr } = await replay(output, '--expect', before, '--source', '192.0.2.9');
    // The first bytes that differ are the outer header's checksum.
    const line =
      /^hushlb: .*different\.pcapng: not what is sent: sent packet 1: expected 0x.. at byte 2[45] \(IPv4 header\), found 0x..; it is web: miss \(SYN\) → slot \d+ of 65537 → b2; IPIP to 198\.18\.2\.2\n$/;
    assert.equal(code, 1);
    assert.match(stderr, line);
    assert.equal(stdout, SUMMARY);
    assert.equal(readFileSync(output).length, readFileSync(before).length);
    const json = await replay('--expect', before, '--mac', '02:00:00:00:00:ff', '--json');
    assert.equal(json.code, 1);
    const { packets, difference } = JSON.parse(json.stdout).expected;
    const { decision, ...where } = difference;
    assert.deepEqual(
      [packets, where],
      [4, { packet: 1, text: 'sent packet 1: expected 0x01 at byte 11 (source MAC: --mac), found 0xff' }],
    );
    assert.ok(stderr.endsWith(`; it is ${decision}\n`));
  });
});

test('--mac, --next-hop, --source and --mtu are what the frames have', async () => {
  const output = at('given.pcapng');
  const more = ['--mac', '02:aa:00:00:00:01', '--next-hop', '02:aa:00:00:00:02', '--source', '198.18.2.10'];
  assert.equal((await hushlb(['replay', '-c', config, input, output, ...more])).code, 0);
  const header = [0x45, 0, 0, 60, 0x12, 0x34, 0x40, 0, 64, 4, 0, 0, 198, 18, 2, 10, 198, 18, 2, 2];
  const sum = internetChecksum(header);
  header.splice(10, 2, sum >> 8, sum & 255);
  const first = Buffer.concat([Buffer.from('02aa0000000202aa000000010800', 'hex'), Buffer.from(header)]);
  assert.ok(readFileSync(output).includes(first));
  // The SYN and the ACK have 40 bytes, 60 with the outer header; the requests have more.
  const { stdout } = await hushlb(['replay', '-c', config, input, '--mtu', '68', '--json']);
  assert.deepEqual(JSON.parse(stdout).verdicts, { forward: 2, reset: 0, answer: 0, pass: 1, hold: 0, drop: 2 });
});

test("the lab's captures: the balancer's interface alone, as it received", async () => {
  const frames = PACKETS.slice(0, 3).flatMap(({ us, bytes }) =>
    (['out', 'in'] as const).flatMap((direction) =>
      ['router', 'lb'].map((host) => ({
        host,
        direction,
        timeMs: START * 1000 + us / 1000,
        bytes,
        originalLength: bytes.length,
      })),
    ),
  );
  const capture = at('lab.pcapng');
  const evidence = { frames, topology: sharedLan(2) };
  writeCaptureFile({ path: capture, application: 'test', comment: 'a run', evidence, decisive: new Map() });
  const run = (...more: string[]) => hushlb(['replay', '-c', config, capture, '--json', ...more]);
  const of = ({ stdout }: { stdout: string }) => {
    const { packets, leftOut, sent } = JSON.parse(stdout);
    return { packets, outbound: leftOut.outbound, sent };
  };
  assert.deepEqual(of(await run('--interface', 'lb')), { packets: 6, outbound: 3, sent: 3 });
  assert.deepEqual(of(await run('--interface', 'lb', '--outbound')), { packets: 6, outbound: 0, sent: 6 });
  assert.deepEqual(of(await run()), { packets: 12, outbound: 6, sent: 6 });
  const unknown = await run('--interface', 'eth9');
  assert.equal(unknown.code, 1);
  assert.match(
    unknown.stderr,
    /^hushlb: .*lab\.pcapng: no interface is named "eth9": it has "router", "lb" \(at byte \d+\)\n$/,
  );
});

test('what cannot be done: one line, and neither half an output nor the loss of the one before', async () => {
  const kept = put('kept.pcapng', 'the one before');
  const damaged = put('damaged.pcap', readFileSync(input).subarray(0, -1));
  const wifi = put('wifi.pcap', Buffer.from(readFileSync(input)).fill(127, 20, 21));
  symlinkSync(input, at('link'));
  const length = readFileSync(input).length;
  const cases: [args: string[], code: number, line: string][] = [
    [[at('none')], 1, `${at('none')}: no such file or directory`],
    [[folder], 1, `${folder}: expected a file, got a directory`],
    [[config], 1, `${config}: neither a pcap nor a pcapng file: it starts with 0x0a696e74 (at byte 0)`],
    [[put('empty', '')], 1, `${at('empty')}: too short for a capture: 0 bytes (at byte 0)`],
    [
      [damaged, kept],
      1,
      `${damaged}: the file ends inside a packet: 72 bytes expected, 71 left (at byte ${length - 72 - 16})`,
    ],
    [
      [wifi, kept],
      1,
      `${wifi}: link type 127 (Wi-Fi with radiotap) is not read, only Ethernet (1): capture on one Ethernet interface (at byte 20)`,
    ],
    [
      [input, kept, '--expect', damaged],
      1,
      `${damaged}: the file ends inside a packet: 72 bytes expected, 71 left (at byte ${length - 72 - 16})`,
    ],
    [
      [input, '--interface', 'lb'],
      1,
      `${input}: only pcapng files name their interfaces, and this is none (at byte 0)`,
    ],
    [[input, at('none/out.pcapng')], 1, `${at('none/out.pcapng')}: no such file or directory`],
    [[input, '/dev/full'], 1, '/dev/full: no space is left for it'],
    [
      [input, at('link')],
      2,
      `${at('link')}: it is a capture to read; name another file to write; see hushlb replay --help`,
    ],
    [[input, '--all'], 2, '--all: it is for OUT; name a file to write; see hushlb replay --help'],
    [
      [input, '--mac', '1:2'],
      2,
      '--mac: expected a MAC address such as 02:00:00:00:00:0a, got "1:2"; see hushlb replay --help',
    ],
    [
      [input, '--source', 'lb'],
      2,
      '--source: expected an IPv4 address such as 198.18.2.10, got "lb"; see hushlb replay --help',
    ],
    [
      [input, '--source-ipv6', '192.0.2.1'],
      2,
      '--source-ipv6: expected an IPv6 address such as 2001:db8:2::10, got "192.0.2.1"; see hushlb replay --help',
    ],
    [[input, '--mtu', 'x'], 2, '--mtu: expected a whole number from 68 to 65535, got NaN; see hushlb replay --help'],
    [[], 2, 'expected more arguments: got 0, need 1; see hushlb replay --help'],
  ];
  const outcomes = await Promise.all(cases.map(([args]) => hushlb(['replay', '-c', config, ...args])));
  for (const [i, [args, code, line]] of cases.entries()) {
    assert.deepEqual(outcomes[i], { code, stdout: '', stderr: `hushlb: ${line}\n` }, args.join(' '));
  }
  assert.equal(readFileSync(kept, 'utf8'), 'the one before');
  assert.deepEqual(leftOver(), []);
});

test('a capture in which nothing is for a service says so, from a pipe too', async () => {
  const other = put('other.pcap', FORMATS['pcap, big-endian, nanoseconds'](PACKETS.slice(3, 4)));
  const pipe = `cat ${other} | ${process.execPath} ${MAIN} replay -c ${config} /dev/stdin /dev/null`;
  const child = spawnSync('sh', ['-c', pipe], { encoding: 'utf8' });
  assert.deepEqual([child.status, child.stderr], [0, '']);
  assert.match(child.stdout, /\nnothing was for a service: the first is web, 198\.18\.10\.1 tcp port 80\n$/);
});

test('the summary keeps to 40 columns', async () => {
  const { stdout } = await hushlb(['replay', '-c', config, input], { COLUMNS: '40' });
  for (const line of stdout.split('\n')) assert.ok(line.length <= 40, line);
  assert.equal(stdout.replaceAll(/\s+/g, ' '), SUMMARY.replaceAll(/\s+/g, ' '));
});

test('a signal ends it, and leaves nothing behind', async () => {
  const some = FORMATS['pcap, little-endian, nanoseconds'](
    Array.from({ length: 1000 }, (_, us) => ({ ...PACKETS[1], us })),
  );
  const long = put('long.pcap', Buffer.concat([some, ...new Array(499).fill(some.subarray(24))]));
  const child = start([process.execPath, MAIN, 'replay', '-c', config, long, at('stopped.pcapng')]);
  let stderr = '';
  child.stderr?.on('data', (chunk) => (stderr += chunk));
  while (leftOver().length === 0) {
    assert.equal(child.exitCode, null, 'it was over before it could be stopped');
    await setTimeout(2);
  }
  child.kill('SIGTERM');
  const [code] = await once(child, 'close');
  assert.equal(code, 1);
  assert.match(stderr, /^hushlb: stopped by SIGTERM after \d+ packets\n$/);
  assert.deepEqual([leftOver(), readdirSync(folder).includes('stopped.pcapng')], [[], false]);
});
