/** `hushlb check` as a user runs it: good files, bad files, files that are none. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { hushlb, temporaryFolder, CONFIGURATION as UNSEEDED } from './command.ts';

/** On a line what is one. */
const WIDE = { COLUMNS: '160' };

const folder = temporaryFolder();
after(() => folder.remove());

const CONFIGURATION = `hashSeed: 2463534242${UNSEEDED}`;
const good = folder.write('good.yaml', CONFIGURATION);
const bad = folder.write('bad.yaml', CONFIGURATION.replace('weight: 3', 'weight: 0').replace('name: api', 'nam: api'));
const broken = folder.write('broken.yaml', CONFIGURATION.replace('name: web', 'name: web\n    scheduler: round-robin'));

test('a good configuration is summed up', async () => {
  assert.deepEqual(await hushlb(['check', '-c', good], WIDE), {
    code: 0,
    stdout: [
      `ok: ${good}`,
      'eth0, stateless, metrics on port 9108',
      'web: 198.18.10.1 tcp port 80, maglev by source-ip-port to 3 backends (1 draining) by ipip',
      'api: 198.18.10.1 tcp port 443, maglev by source-ip-port to 1 backend by ipip',
      '',
    ].join('\n'),
    stderr: '',
  });
});

test('workers and AF_XDP are summed up where they are not as they are by themselves', async () => {
  const line = async (settings: string) => {
    const file = folder.write('tuned.yaml', `${settings}\n${CONFIGURATION}`);
    return (await hushlb(['check', '-c', file], WIDE)).stdout.split('\n')[1];
  };
  const plain = 'eth0, stateless, metrics on port 9108';
  assert.equal(await line('workers: auto\nafXdp: { ringSize: 4096 }'), plain);
  assert.equal(await line('workers: 1'), `${plain}, 1 worker`);
  assert.equal(await line('io: af-packet\ncpus: [1, 0]'), `${plain}, io af-packet, a worker for each CPU on CPU 1, 0`);
  assert.equal(await line('cpus: [2, 4]'), `${plain}, a worker for each queue on CPU 2, 4`);
  assert.equal(
    await line('workers: 2\ncpus: [2, 4]\nxdpMode: native\nafXdp: { zeroCopy: require, busyPoll: 50us }'),
    `${plain}, 2 workers on CPU 2, 4, native XDP, zero-copy required, busy polling for 50us`,
  );
});

test('what is carried, and how, is summed up where it is not as it is by itself', async () => {
  const line = async (settings: string) => {
    const service = `{ name: a, vip: "2001:DB8::0:1", backends: [{ name: b, address: 198.18.0.1 }], ${settings} }`;
    const file = folder.write('a.yaml', `interface: e\necho: kernel\nservices: [${service}]`);
    const { stdout } = await hushlb(['check', '-c', file], WIDE);
    return stdout.split('\n').slice(1, 3);
  };
  const head = 'e, stateless, metrics on port 9108, echo requests go to the kernel';
  const way = 'maglev by source-ip-port to 1 backend by';
  assert.deepEqual(await line('port: 8000-8999, encap: gue, gue: { variant: 1 }, mssClamp: 1220'), [
    head,
    `a: 2001:db8::1 tcp ports 8000-8999, ${way} gue to UDP port 6080 variant 1, MSS at most 1220`,
  ]);
  assert.deepEqual(await line('port: all, protocol: udp, varySource: true, outerTtl: copy'), [
    head,
    `a: 2001:db8::1 udp all ports, ${way} ipip with varied sources with the inner TTL`,
  ]);
});

test('what is done to idle connections is summed up where it is not what a stateless balancer does', async () => {
  const like = (setting: string) =>
    folder.write('like.yaml', CONFIGURATION.replace('name: web', `name: web\n    ${setting}`));
  const line = async (setting: string) => (await hushlb(['check', '-c', like(setting)], WIDE)).stdout.split('\n')[2];
  assert.match(await line('profile: aws-nlb'), / by ipip, like aws-nlb: idle 350s, onExpiry silent, onMiss reset$/);
  assert.match(await line('onExpiry: reset'), / by ipip, idle 60s, onExpiry reset, onMiss forward$/);
});

test('health checks are summed up where there are some', async () => {
  const line = async (setting: string) => {
    const file = folder.write('health.yaml', CONFIGURATION.replace('name: web', `name: web\n    ${setting}`));
    return (await hushlb(['check', '-c', file], WIDE)).stdout.split('\n')[2];
  };
  assert.match(await line('health: { check: tcp }'), / by ipip, health by tcp every 2s$/);
  const http = 'health: { check: http, through: tunnel, interval: 500ms, timeout: 200ms }';
  assert.match(await line(http), / by ipip, health by http through the tunnel every 0\.5s$/);
});

test('it keeps to the width of the terminal, and what is folded is indented', async () => {
  const whole = (await hushlb(['check', '-c', broken], WIDE)).stdout;
  for (const columns of [40, 80]) {
    const { stdout } = await hushlb(['check', '-c', broken], { COLUMNS: String(columns) });
    const [first, ...lines] = stdout.split('\n');
    assert.equal(first, `ok: ${broken}`);
    for (const line of lines) assert.ok(line.length <= columns, `${columns}: ${line}`);
    assert.equal(stdout.replaceAll('\n  ', ' '), whole.replaceAll('\n  ', ' '));
  }
});

test('surprises are told, and are no failure', async () => {
  const { code, stdout } = await hushlb(['check', '--config', broken]);
  assert.equal(code, 0);
  assert.match(stdout, /^warning: services\[0\]\.scheduler: round-robin is broken on purpose: /m);
});

test('the default seed is told of: who knows it can aim', async () => {
  const { code, stdout } = await hushlb(['check', '-c', folder.write('unseeded.yaml', UNSEEDED)], WIDE);
  assert.equal(code, 0);
  assert.match(stdout, /^warning: hashSeed: is the default 0: .*random number, the same on all balancers$/m);
});

test('every problem of a bad one is a line on stderr', async () => {
  const { code, stdout, stderr } = await hushlb(['check', '-c', bad]);
  assert.deepEqual({ code, stdout }, { code: 1, stdout: '' });
  assert.deepEqual(stderr.split('\n'), [
    `hushlb: ${bad}: 3 problems`,
    '  services[0].backends[0].weight: expected a whole number from 1 to 256, got 0 (line 8, column 42)',
    "  services[1].name: expected a name: 1 to 63 letters, digits, '.', '_', ':' or '-', the first a letter or digit, got nothing (line 11, column 5)",
    '  services[1].nam: expected a known key (did you mean name?), got the key "nam" (line 11, column 5)',
    '',
  ]);
});

test('--json says the same as data', async () => {
  const result = async (file: string) => {
    const { code, stdout, stderr } = await hushlb(['check', '--json', '-c', file]);
    assert.equal(stderr, '');
    return { code, ...JSON.parse(stdout) };
  };
  assert.deepEqual(await result(good), { code: 0, valid: true, problems: [], warnings: [] });

  const { warnings, ...rest } = await result(broken);
  assert.deepEqual(rest, { code: 0, valid: true, problems: [] });
  assert.deepEqual(
    warnings.map(({ path }: { path: string }) => path),
    ['services[0].scheduler'],
  );

  const { problems, ...verdict } = await result(bad);
  assert.deepEqual(verdict, { code: 1, valid: false, warnings: [] });
  assert.deepEqual(problems[0], {
    path: 'services[0].backends[0].weight',
    message: 'expected a whole number from 1 to 256, got 0',
    line: 8,
    column: 42,
  });
  assert.equal(problems.length, 3);
  assert.deepEqual((await result('/missing')).problems, [{ path: '', message: 'no such file' }]);
});

test('bad files are one line', async () => {
  const cases: [file: string, line: string][] = [
    ['/', '/: expected a file, got a directory'],
    ['/dev/null', '/dev/null: expected a file, got a device or pipe'],
    [folder.write('empty.yaml', ''), 'empty.yaml: expected a configuration, got an empty file'],
    [folder.write('not.yaml', '"'), 'not.yaml: not valid YAML: missing closing "quote (line 1, column 2)'],
  ];
  for (const [file, line] of cases) {
    const { code, stderr } = await hushlb(['check', '-c', file]);
    assert.equal(code, 1);
    assert.ok(stderr.endsWith(`${line}\n`) && stderr.indexOf('\n') === stderr.length - 1, stderr);
  }
});
