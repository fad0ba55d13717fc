/** `hushlb explain` as a user runs it, from a file: its text at several widths, its JSON, what it refuses. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { CONFIGURATION, hushlb, temporaryFolder } from './command.ts';

const folder = temporaryFolder();
after(() => folder.remove());

const file = folder.write('hushlb.yaml', CONFIGURATION);
const FLOW = ['192.0.2.7:51514', '198.18.10.1:80'];

async function told(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await hushlb(['explain', ...FLOW, '-c', file, ...args]);
  assert.deepEqual({ code, stderr }, { code: 0, stderr: '' });
  return stdout;
}

test('the five decisions in their order, and the way', async () => {
  const text = await told();
  const labels = text.split('\n').flatMap((line) => /^([a-z]+) {2,}/.exec(line)?.[1] ?? []);
  assert.deepEqual(labels, ['service', 'table', 'hash', 'slot', 'backend', 'outer', 'room']);
  assert.match(text, /^192\.0\.2\.7:51514 to 198\.18\.10\.1:80, tcp, in mid-connection\n/);
  assert.match(text, /^service {2}web: 198\.18\.10\.1 tcp, port 80$/m);
  assert.match(text, /^backend {2}b\d, 198\.18\.2\.\d/m);
});

test('what ifs: what differs, and what comes of it', async () => {
  const drained = await told('--drain', 'b2');
  const without = await told('--without', 'b2,b1', '--undrain', 'b0');
  assert.match(drained, /^what if {2}b2 drains\n(?:.*\n)*then +nothing breaks: the same backend\n$/m);
  assert.match(without, /^what if {2}without b2, without b1, b0 is active$/m);
  assert.match(without.replace(/\n +/g, ' '), /^backend +b0, 198\.18\.2\.3$/m);
  assert.match(
    without.replace(/\n +/g, ' '),
    /^then +the connection breaks: another backend: b0 does not know it and answers RST$/m,
  );
});

test('a what-if may come several times', async () => {
  const json = JSON.parse(await told('--weight', 'b1=3', '--weight', 'b2=4', '--down', 'b1', '--expired', '--json'));
  assert.deepEqual(json.whatIf.texts, ['b1 weighs 3', 'b2 weighs 4', 'b1 is down', 'the table has forgotten it']);
  assert.equal(json.whatIf.would.backend.weight, 4);
});

test('another file; the last of an option counts that can come once', async () => {
  const other = folder.write('other.yaml', CONFIGURATION.replace('198.18.2.2, weight: 3', '198.18.2.22, weight: 9'));
  const json = JSON.parse(await told('--config', file, '--config', other, '--json'));
  assert.deepEqual(json.whatIf.texts, [`with ${other}`]);
});

test('it keeps to 80 and 40 columns, IPv6 and long names too', async () => {
  const address = '2001:db8:1111:2222:3333:4444:5555:6666';
  const long = folder.write(
    'long.yaml',
    `interface: eth0\nservices: [{ name: ${'s'.repeat(63)}, vip: "${address}", port: 443, encap: gue, backends: [{ name: ${'b'.repeat(63)}, address: "${address.replace('6666', '7777')}" }] }]`,
  );
  for (const columns of ['80', '40']) {
    const args = ['explain', `[${address}]:51514`, `[${address}]:443`, '-c', long, '--expired'];
    const { code, stdout } = await hushlb(args, { COLUMNS: columns });
    assert.equal(code, 0);
    for (const line of stdout.split('\n')) assert.ok(line.length <= Number(columns), `${columns}: ${line}`);
  }
});

test('no service: said, with exit code 0, because that is the answer', async () => {
  const { code, stdout } = await hushlb(['explain', FLOW[0], '198.18.10.1:81', '-c', file]);
  assert.equal(code, 0);
  assert.match(stdout, /none: of this VIP there are web \(tcp 80\), api \(tcp 443\)/);
});

test('what it refuses: one line, exit code 2 for arguments, 1 for the rest', async () => {
  const cases: [args: string[], code: number, line: RegExp][] = [
    [
      ['explain', '192.0.2.7', FLOW[1]],
      2,
      /client: expected ADDRESS:PORT such as 192\.0\.2\.7:51514 .*got "192\.0\.2\.7"/,
    ],
    [['explain', '2001:db8::7:80', FLOW[1]], 2, /client: expected ADDRESS:PORT/],
    [['explain', FLOW[0], '198.18.10.1:65536'], 2, /to: expected ADDRESS:PORT/],
    [['explain', '[2001:db8::7]:5000', FLOW[1]], 2, /expected one family/],
    [['explain', ...FLOW, '--weight', 'b1'], 2, /--weight: expected BACKEND=WEIGHT such as b1=3/],
    [['explain', ...FLOW, '--without', 'b1,'], 2, /--without: expected the name of a backend/],
    [['explain', ...FLOW, '--without', 'b7'], 1, /service web has no backend b7: it has b2, b1, b0/],
    [
      ['explain', ...FLOW, '--weight', 'b1=0'],
      2,
      /--weight: expected .* from 1 to 256, got "b1=0"; see hushlb explain --help/,
    ],
    [['explain', ...FLOW, '--weight', 'b1=257'], 2, /from 1 to 256, got "b1=257"/],
    [['explain', ...FLOW, '--config', '/nowhere.yaml'], 1, /no such file/],
  ];
  for (const [args, expected, line] of cases) {
    const { code, stdout, stderr } = await hushlb([...args, '-c', file]);
    assert.deepEqual({ code, stdout }, { code: expected, stdout: '' }, stderr);
    assert.match(stderr, line);
    assert.equal(stderr.trimEnd().split('\n').length, 1, stderr);
  }
});
