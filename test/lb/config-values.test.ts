/** The line that each wrong value of a configuration gets. Values that are right alone and contradict others: config-rules.test.ts. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { validateConfig } from '../../lb/config-file.ts';
import { PROFILE_NAMES } from '../../lb/profiles.ts';
import { backend, configuration, problemsOf, type Settings, service } from './raw-config.ts';

const NAME = "a name: 1 to 63 letters, digits, '.', '_', ':' or '-', the first a letter or digit";
const ADDRESS = 'a unicast address, such as 198.18.10.1 or 2001:db8::1';
const PORT = 'a port from 1 to 65535, a range such as 8000-8999, or all';
const NOT = 'a unicast address, not';
const TIME = 'a time from 1ms to 30d, such as 60s';
const WHOLE = ': a whole number with its unit (ms, s, m, h or d)';
const LISTEN = 'HOST:PORT, such as 127.0.0.1:9108';

/** What is put in place of a right value, and the text of the problem. */
const TOP: [key: string, value: unknown, text: string][] = [
  ['interface', undefined, 'expected the name of a network interface, such as eth0, got nothing'],
  ['interface', 'a/b', 'expected the name of a network interface, such as eth0, got "a/b"'],
  ['interface', 'sixteen-letters-', 'expected the name of a network interface, such as eth0, got "sixteen-letters-"'],
  ['interface', '..', 'expected the name of a network interface, such as eth0, got ".."'],
  ['io', 'AF_XDP', 'expected one of af-xdp, af-packet, portable, auto, got "AF_XDP"'],
  ['mode', 'Stateless', 'expected one of stateless, stateful, got "Stateless"'],
  ['mode', null, 'expected one of stateless, stateful, got nothing'],
  ['hashSeed', -1, 'expected a whole number from 0 to 4294967295, got -1'],
  ['hashSeed', 2 ** 32, 'expected a whole number from 0 to 4294967295, got 4294967296'],
  ['hashSeed', '7', 'expected a whole number from 0 to 4294967295, got "7"'],
  ['metrics', true, 'expected false or a mapping, got true'],
  ['metrics', null, 'expected false or a mapping, got nothing'],
  ['metrics', '127.0.0.1:9108', 'expected false or a mapping, got "127.0.0.1:9108"'],
  ['xdpMode', 'offload', 'expected one of auto, native, generic, got "offload"'],
  ['workers', 0, 'expected auto or a whole number from 1 to 1024, got 0'],
  ['workers', 'all', 'expected auto or a whole number from 1 to 1024, got "all"'],
  ['cpus', 'auto', 'expected a list of CPUs, such as [2, 3], got "auto"'],
  ['cpus', [], 'expected at least one CPU, got an empty list'],
  ['cpus[1]', [1, -1], 'expected a whole number from 0 to 8191, got -1'],
  ['cpus[2]', [1, 2, 1], 'expected a CPU that no other worker has, got 1'],
  ['echo', 'drop', 'expected one of answer, backend, kernel, got "drop"'],
  ['echo', true, 'expected one of answer, backend, kernel, got true'],
  ['afXdp', false, 'expected a mapping, got false'],
  ['services', undefined, 'expected a list of services, got nothing'],
  ['services', {}, 'expected a list of services, got a mapping'],
  ['services', [], 'expected at least one service, got an empty list'],
];

test('wrong values at the top', () => {
  for (const [key, value, text] of TOP) {
    const [topKey] = key.split('[');
    assert.deepEqual(problemsOf(configuration({ [topKey as string]: value })), [`${key}: ${text}`]);
  }
  for (const listen of ['9108', ':9108', '127.0.0.1', 'a:0', 'a:65536', '::1:9108', 'http://a:1', '']) {
    const expected = [`metrics.listen: expected ${LISTEN}, got ${JSON.stringify(listen)}`];
    assert.deepEqual(problemsOf(configuration({ metrics: { listen } })), expected);
  }
});

const US = 'expected false or a time from 1us to 10000us, such as 50us';
const AF_XDP: [key: string, value: unknown, text: string][] = [
  ['ringSize', 2000, 'expected a power of two from 64 to 8192, got 2000'],
  ['ringSize', 32, 'expected a power of two from 64 to 8192, got 32'],
  ['ringSize', 16384, 'expected a power of two from 64 to 8192, got 16384'],
  ['batchSize', 0, 'expected a power of two from 8 to 1024, got 0'],
  ['batchSize', 2 ** 33, 'expected a power of two from 8 to 1024, got 8589934592'],
  ['zeroCopy', true, 'expected one of auto, off, require, got true'],
  ['busyPoll', true, `${US}, got true`],
  ['busyPoll', 50, `${US}, got 50`],
  ['busyPoll', '50ms', `${US}, got "50ms"`],
  ['busyPoll', '0us', `${US}, got "0us"`],
  ['busyPoll', '10001us', `${US}, got "10001us"`],
];

test('wrong values for AF_XDP', () => {
  for (const [key, value, text] of AF_XDP) {
    assert.deepEqual(problemsOf(configuration({ afXdp: { [key]: value } })), [`afXdp.${key}: ${text}`]);
  }
  const { config } = validateConfig(configuration({ afXdp: { busyPoll: false } }), 'FILE');
  assert.equal(config.afXdp.busyPollUs, null);
});

const SERVICE: [key: string, value: unknown, text: string][] = [
  ['name', undefined, `expected ${NAME}, got nothing`],
  ['name', '', `expected ${NAME}, got ""`],
  ['name', '-web', `expected ${NAME}, got "-web"`],
  ['name', 'two words', `expected ${NAME}, got "two words"`],
  ['name', 80, `expected ${NAME}, got 80`],
  ['vip', undefined, `expected ${ADDRESS}, got nothing`],
  ['vip', '198.18.10', `expected ${ADDRESS}, got "198.18.10"`],
  ['vip', '198.18.10.1/32', `expected ${ADDRESS}, got "198.18.10.1/32"`],
  ['vip', '198.18.010.1', `expected ${ADDRESS}, got "198.18.010.1"`],
  ['vip', '2001:db8::g', `expected ${ADDRESS}, got "2001:db8::g"`],
  ['vip', '2001:db8::1/128', `expected ${ADDRESS}, got "2001:db8::1/128"`],
  ['vip', '::', `expected ${NOT} an unspecified one, got "::"`],
  ['vip', '0:0::1', `expected ${NOT} a loopback one, got "0:0::1"`],
  ['vip', 'ff02::1', `expected ${NOT} a multicast one, got "ff02::1"`],
  [
    'vip',
    'fe80::1',
    'expected an address that is not link-local, because that names nobody without its interface, got "fe80::1"',
  ],
  ['vip', 'fe80::1%eth0', `expected ${ADDRESS}, got "fe80::1%eth0"`],
  ['vip', '::ffff:c612:a01', 'expected the IPv4 address itself, 198.18.10.1, got "::ffff:c612:a01"'],
  ['vip', '0.0.0.0', `expected ${NOT} an unspecified one, got "0.0.0.0"`],
  ['vip', '127.0.0.1', `expected ${NOT} a loopback one, got "127.0.0.1"`],
  ['vip', '224.0.0.1', `expected ${NOT} a multicast one, got "224.0.0.1"`],
  ['vip', '255.255.255.255', `expected ${NOT} a reserved one, got "255.255.255.255"`],
  ['protocol', 'sctp', 'expected one of tcp, udp, got "sctp"'],
  ['port', undefined, `expected ${PORT}, got nothing`],
  ['port', 0, `expected ${PORT}, got 0`],
  ['port', 65536, `expected ${PORT}, got 65536`],
  ['port', -0.5, `expected ${PORT}, got -0.5`],
  ['port', Number.NaN, `expected ${PORT}, got NaN`],
  ['port', Number.POSITIVE_INFINITY, `expected ${PORT}, got Infinity`],
  ['port', '80', `expected ${PORT}, got "80"`],
  ['port', '8999-8000', `expected ${PORT}, got "8999-8000"`],
  ['port', '0-80', `expected ${PORT}, got "0-80"`],
  ['port', '80-65536', `expected ${PORT}, got "80-65536"`],
  ['port', '80 - 90', `expected ${PORT}, got "80 - 90"`],
  ['port', [80], `expected ${PORT}, got a list`],
  ['scheduler', 'least-connections', 'expected one of maglev, round-robin, got "least-connections"'],
  ['hash', 'ip', 'expected one of source-ip, source-ip-port, five-tuple, got "ip"'],
  ['tableSize', 65536, 'expected a prime number (the next one is 65537), got 65536'],
  ['tableSize', 9, 'expected a prime number (the next one is 11), got 9'],
  ['tableSize', 5, 'expected a whole number from 7 to 5000011, got 5'],
  ['tableSize', 5_000_081, 'expected a whole number from 7 to 5000011, got 5000081'],
  ['tableSize', 7.5, 'expected a whole number from 7 to 5000011, got 7.5'],
  ['tableSize', 1e300, 'expected a whole number from 7 to 5000011, got 1e+300'],
  ['encap', 'vxlan', 'expected one of ipip, l2, gue, gre, got "vxlan"'],
  ['varySource', 'yes', 'expected true or false, got "yes"'],
  ['outerTtl', 0, 'expected copy or a whole number from 1 to 255, got 0'],
  ['outerTtl', 256, 'expected copy or a whole number from 1 to 255, got 256'],
  ['outerTtl', 'inherit', 'expected copy or a whole number from 1 to 255, got "inherit"'],
  ['mssClamp', 535, 'expected auto, off or a whole number from 536 to 65495, got 535'],
  ['mssClamp', true, 'expected auto, off or a whole number from 536 to 65495, got true'],
  ['tooBig', 'icmp', 'expected one of drop, fragment, got "icmp"'],
  ['ipOptions', 'keep', 'expected one of drop, accept, got "keep"'],
  ['profile', 'f5', `expected one of ${PROFILE_NAMES.join(', ')}, got "f5"`],
  ['profile', 'toString', `expected one of ${PROFILE_NAMES.join(', ')}, got "toString"`],
  ['profile', null, `expected one of ${PROFILE_NAMES.join(', ')}, got nothing`],
  ['onMiss', 'RST', 'expected one of forward, reset, drop, got "RST"'],
  ['onMiss', null, 'expected one of forward, reset, drop, got nothing'],
  ['onExpiry', 'drop', 'expected one of silent, reset, got "drop"'],
  ['onExpiry', true, 'expected one of silent, reset, got true'],
  ['conntrack', null, 'expected a mapping, got nothing'],
  ['conntrack', [1], 'expected a mapping, got a list'],
  ['backends', undefined, 'expected a list of backends, got nothing'],
  ['backends', [], 'expected at least one backend, got an empty list'],
];

const BACKEND: [key: string, value: unknown, text: string][] = [
  ['name', undefined, `expected ${NAME}, got nothing`],
  ['name', 'x'.repeat(64), `expected ${NAME}, got "${'x'.repeat(60)}…"`],
  ['name', 'a\u001b[31m\u009b1m\u202e', `expected ${NAME}, got "a\\u001b[31m\\u{9b}1m\\u{202e}"`],
  ['address', undefined, `expected ${ADDRESS}, got nothing`],
  ['address', 'b1.example', `expected ${ADDRESS}, got "b1.example"`],
  ['weight', 0, 'expected a whole number from 1 to 256, got 0'],
  ['weight', 257, 'expected a whole number from 1 to 256, got 257'],
  ['weight', 1.5, 'expected a whole number from 1 to 256, got 1.5'],
  ['weight', '2', 'expected a whole number from 1 to 256, got "2"'],
  ['state', 'up', 'expected one of active, draining, got "up"'],
];

const CONNTRACK: [key: string, value: unknown, text: string][] = [
  ['enabled', 'yes', 'expected true or false, got "yes"'],
  ['idleTimeout', 60, `expected ${TIME}${WHOLE}, got 60`],
  ['idleTimeout', '60', `expected ${TIME}${WHOLE}, got "60"`],
  ['idleTimeout', '0s', `expected ${TIME}, got "0s"`],
  ['idleTimeout', '31d', `expected ${TIME}, got "31d"`],
  ['idleTimeout', '1.5s', `expected ${TIME}${WHOLE}, got "1.5s"`],
  ['idleTimeout', '-1s', `expected ${TIME}, got "-1s"`],
  ['idleTimeout', null, `expected ${TIME}, got nothing`],
  ['capacity', 0, 'expected a whole number from 1 to 16777216, got 0'],
  ['capacity', 16_777_217, 'expected a whole number from 1 to 16777216, got 16777217'],
];

test('wrong values in a service, a backend, a connection table', () => {
  for (const [key, value, text] of SERVICE) {
    const problems = problemsOf(
      configuration({ services: [service(), service({ name: 'x', port: 81, [key]: value })] }),
    );
    assert.deepEqual(problems, [`services[1].${key}: ${text}`]);
  }
  for (const [key, value, text] of BACKEND) {
    const backends = [backend(1), backend(2, { [key]: value })];
    const problems = problemsOf(configuration({ services: [service({ backends })] }));
    assert.deepEqual(problems, [`services[0].backends[1].${key}: ${text}`]);
  }
  for (const [key, value, text] of CONNTRACK) {
    const problems = problemsOf(configuration({ services: [service({ conntrack: { [key]: value } })] }));
    assert.deepEqual(problems, [`services[0].conntrack.${key}: ${text}`]);
  }
});

test('an unknown key is named, with the nearest known one if there is one', () => {
  const unknown = (raw: Settings) => problemsOf(configuration({ services: [service(raw)] }));
  const suggestions: [string, string][] = [
    ['shceduler', 'scheduler'],
    ['Scheduler', 'scheduler'],
    ['tablesize', 'tableSize'],
    ['table-size', 'tableSize'],
    ['hahs', 'hash'],
    ['backend', 'backends'],
    ['conntrak', 'conntrack'],
    ['onmiss', 'onMiss'],
    ['onExpire', 'onExpiry'],
  ];
  for (const [key, near] of suggestions) {
    const text = `services[0].${key}: expected a known key (did you mean ${near}?), got the key "${key}"`;
    assert.deepEqual(unknown({ [key]: 1 }), [text]);
  }
  const known =
    'name, vip, protocol, port, scheduler, hash, tableSize, conntrack, encap, gue, quic, varySource, outerTtl, mssClamp, ' +
    'tooBig, ipOptions, profile, onMiss, onExpiry, health, allDown, onDown, backends';
  for (const key of ['healthCheck', 'x', 'toString', 'constructor']) {
    const text = `services[0].${key}: expected one of the keys ${known}, got the key "${key}"`;
    assert.deepEqual(unknown({ [key]: 1 }), [text]);
  }
  assert.deepEqual(problemsOf(configuration({ metrics: { lisen: 'a:1' } })), [
    'metrics.lisen: expected a known key (did you mean listen?), got the key "lisen"',
  ]);
  assert.deepEqual(unknown({ 'a\nb': 1 }), [
    `services[0]["a\\nb"]: expected one of the keys ${known}, got the key "a\\nb"`,
  ]);
});

test('all problems come in one go', () => {
  const raw = {
    interface: '',
    mod: 'stateless',
    services: [service({ port: 0, backends: [backend(1, { weight: 0 }), backend(1)] }), service({ vip: 'x' })],
  };
  assert.deepEqual(
    problemsOf(raw)
      .map((problem) => problem.slice(0, problem.indexOf(': ')))
      .sort(),
    [
      'interface',
      'mod',
      'services[0].backends[0].weight',
      'services[0].backends[1].address',
      'services[0].backends[1].name',
      'services[0].port',
      'services[1].name',
      'services[1].vip',
    ],
  );
});

test('what is YAML but no configuration', () => {
  for (const raw of [null, undefined]) {
    assert.throws(() => validateConfig(raw, 'FILE'), {
      code: 'CONFIG_INVALID',
      message: 'FILE: expected a configuration, got an empty file',
    });
  }
  assert.deepEqual(problemsOf([]), [': expected a mapping, got an empty list']);
  assert.deepEqual(problemsOf('eth0'), [': expected a mapping, got "eth0"']);
});
