/**
 * Values of a configuration: defaults, limits, and the line that each mistake gets.
 *
 * Longer than 300 lines because each mistake has a row. Files and positions: config-file.test.ts.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { validateConfig } from '../../lb/config-file.ts';
import { ConfigError } from '../../lb/config-problems.ts';
import { PROFILE_NAMES } from '../../lb/profiles.ts';

type Settings = Record<string, unknown>;

const backend = (number: number, more: Settings = {}) => ({
  name: `b${number}`,
  address: `198.18.2.${number}`,
  ...more,
});
const service = (more: Settings = {}) => ({
  name: 'web',
  vip: '198.18.10.1',
  port: 80,
  backends: [backend(1)],
  ...more,
});
const configuration = (more: Settings = {}) => ({ interface: 'eth0', services: [service()], ...more });

function problemsOf(raw: unknown): string[] {
  try {
    validateConfig(raw, 'FILE');
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error));
    assert.equal(error.code, 'CONFIG_INVALID');
    return error.problems.map(({ path, message }) => `${path}: ${message}`);
  }
  return [];
}

test('three lines are enough: everything else has a default', () => {
  const { config, warnings } = validateConfig(configuration(), 'FILE');
  assert.deepEqual(config, {
    interface: 'eth0',
    io: 'af-xdp',
    mode: 'stateless',
    hashSeed: 0,
    metrics: { listen: { host: '127.0.0.1', port: 9108 } },
    xdpMode: 'auto',
    afXdp: { ringSize: 2048, batchSize: 64, zeroCopy: 'auto', busyPollUs: null },
    workers: 'auto',
    cpus: null,
    echo: 'answer',
    admin: { socket: '/run/hushlb/eth0.sock', group: null, tcp: null },
    watch: false,
    services: [
      {
        name: 'web',
        vip: '198.18.10.1',
        protocol: 'tcp',
        ports: { first: 80, last: 80 },
        scheduler: 'maglev',
        hash: 'source-ip-port',
        tableSize: 65537,
        conntrack: { enabled: true, idleTimeoutMs: 60_000, capacity: 1_048_576 },
        encap: 'ipip',
        gue: null,
        quic: null,
        varySource: false,
        outerTtl: 64,
        mssClamp: 'off',
        tooBig: 'drop',
        ipOptions: 'drop',
        profile: null,
        onMiss: 'forward',
        onExpiry: 'silent',
        health: null,
        allDown: 'keep',
        onDown: 'rehash',
        backends: [{ name: 'b1', address: '198.18.2.1', weight: 1, state: 'active' }],
      },
    ],
  });
  assert.deepEqual(warnings, []);
});

test('a configuration is frozen all the way down and survives the way to a worker', () => {
  const { config } = validateConfig(configuration(), 'FILE');
  const isFrozen = (value: unknown): boolean =>
    typeof value !== 'object' || value === null || (Object.isFrozen(value) && Object.values(value).every(isFrozen));
  assert.ok(isFrozen(config));
  assert.deepEqual(structuredClone(config), config);
});

test('every setting can be given another value', () => {
  const { config } = validateConfig(
    {
      interface: 'enp3s0f1.100',
      io: 'af-xdp',
      mode: 'stateful',
      hashSeed: 0xffffffff,
      metrics: { listen: '[::1]:65535' },
      xdpMode: 'generic',
      afXdp: { ringSize: 8192, batchSize: 1024, zeroCopy: 'off', busyPoll: '10000us' },
      workers: 2,
      cpus: [7, 0],
      echo: 'kernel',
      admin: { socket: '/run/lb.sock', group: 'netops', listen: '127.0.0.1:9109', tokenFile: '/etc/token' },
      watch: true,
      services: [
        service({
          protocol: 'tcp',
          scheduler: 'round-robin',
          hash: 'five-tuple',
          tableSize: 5_000_011,
          conntrack: { enabled: false, idleTimeout: '250ms', capacity: 1 },
          encap: 'gue',
          gue: { port: 6635, variant: 1 },
          outerTtl: 'copy',
          mssClamp: 1360,
          tooBig: 'fragment',
          ipOptions: 'accept',
          profile: 'aws-nlb',
          onMiss: 'drop',
          onExpiry: 'reset',
          health: {
            check: 'https',
            port: 8443,
            through: 'direct',
            interval: '500ms',
            timeout: '250ms',
            grace: '1s',
            rise: 1,
            fall: 5,
            method: 'HEAD',
            path: '/healthz',
            host: 'www.example.com',
            status: 204,
          },
          allDown: 'drop',
          onDown: 'keep',
          backends: [backend(1, { weight: 256, state: 'draining' })],
        }),
      ],
    },
    'FILE',
  );
  assert.deepEqual(
    { ...config, services: undefined },
    {
      interface: 'enp3s0f1.100',
      io: 'af-xdp',
      mode: 'stateful',
      hashSeed: 4294967295,
      metrics: { listen: { host: '::1', port: 65535 } },
      xdpMode: 'generic',
      afXdp: { ringSize: 8192, batchSize: 1024, zeroCopy: 'off', busyPollUs: 10_000 },
      workers: 2,
      cpus: [7, 0],
      echo: 'kernel',
      admin: {
        socket: '/run/lb.sock',
        group: 'netops',
        tcp: { listen: { host: '127.0.0.1', port: 9109 }, tokenFile: '/etc/token' },
      },
      watch: true,
      services: undefined,
    },
  );
  assert.deepEqual(config.services[0], {
    name: 'web',
    vip: '198.18.10.1',
    protocol: 'tcp',
    ports: { first: 80, last: 80 },
    scheduler: 'round-robin',
    hash: 'five-tuple',
    tableSize: 5_000_011,
    conntrack: { enabled: false, idleTimeoutMs: 250, capacity: 1 },
    encap: 'gue',
    gue: { port: 6635, variant: 1 },
    quic: null,
    varySource: false,
    outerTtl: 'copy',
    mssClamp: 1360,
    tooBig: 'fragment',
    ipOptions: 'accept',
    profile: 'aws-nlb',
    onMiss: 'drop',
    onExpiry: 'reset',
    health: {
      check: 'https',
      port: 8443,
      through: 'direct',
      intervalMs: 500,
      timeoutMs: 250,
      graceMs: 1000,
      rise: 1,
      fall: 5,
      http: {
        method: 'HEAD',
        path: '/healthz',
        host: 'www.example.com',
        status: { first: 204, last: 204 },
        body: null,
        verify: false,
      },
      command: null,
    },
    allDown: 'drop',
    onDown: 'keep',
    backends: [{ name: 'b1', address: '198.18.2.1', weight: 256, state: 'draining' }],
  });
});

const first = (more: Settings) =>
  validateConfig(configuration({ services: [service(more)] }), 'FILE').config.services[0];

test('one port, a range of them, or all', () => {
  const ports: [written: unknown, first: number, last: number][] = [
    [1, 1, 1],
    [65_535, 65_535, 65_535],
    ['8000-8999', 8000, 8999],
    ['443-443', 443, 443],
    ['1-65535', 1, 65_535],
    ['all', 1, 65_535],
  ];
  for (const [port, from, to] of ports)
    assert.deepEqual(first({ port }).ports, { first: from, last: to }, String(port));
});

test('a service of UDP has defaults of its own, whatever the mode', () => {
  for (const mode of ['stateless', 'stateful']) {
    const { config } = validateConfig(configuration({ mode, services: [service({ protocol: 'udp' })] }), 'FILE');
    const [{ onMiss, onExpiry, mssClamp, conntrack }] = config.services;
    assert.deepEqual(
      { onMiss, onExpiry, mssClamp, idleTimeoutMs: conntrack.idleTimeoutMs },
      { onMiss: 'forward', onExpiry: 'silent', mssClamp: 'off', idleTimeoutMs: 30_000 },
    );
  }
  assert.equal(first({ protocol: 'udp', conntrack: { idleTimeout: '5s' } }).conntrack.idleTimeoutMs, 5000);
});

test('GUE has a port and a variant, the other encapsulations have neither', () => {
  assert.deepEqual(first({ encap: 'gue' }).gue, { port: 6080, variant: 0 });
  assert.deepEqual(first({ encap: 'gue', gue: { variant: 1 } }).gue, { port: 6080, variant: 1 });
  for (const encap of ['l2', 'ipip', 'gre']) assert.equal(first({ encap }).gue, null);
  assert.deepEqual(problemsOf(configuration({ services: [service({ encap: 'gue', gue: { port: 0, variant: 2 } })] })), [
    'services[0].gue.port: expected a whole number from 1 to 65535, got 0',
    'services[0].gue.variant: expected one of 0, 1, got 2',
  ]);
});

test('QUIC server ids are kept in lower case, the rotation is 0', () => {
  const quic = { serverIdLength: 3, nonceLength: 4 };
  const { quic: kept, backends } = first({ protocol: 'udp', quic, backends: [backend(1, { serverId: 'C4605E' })] });
  assert.deepEqual([kept, backends[0]!.serverId], [{ ...quic, rotation: 0 }, 'c4605e']);
});

test('addresses are kept in the one way to write them', () => {
  const written = first({ vip: '2001:0DB8:0:0:0:0:0:0A', backends: [backend(1, { address: '2001:db8:0:1:1:1:1:1' })] });
  assert.equal(written.vip, '2001:db8::a');
  assert.equal(written.backends[0].address, '2001:db8:0:1:1:1:1:1');
});

test('metrics: false switches them off, a mapping may leave the address out', () => {
  assert.equal(validateConfig(configuration({ metrics: false }), 'FILE').config.metrics, null);
  const { metrics } = validateConfig(configuration({ metrics: {} }), 'FILE').config;
  assert.deepEqual(metrics, { listen: { host: '127.0.0.1', port: 9108 } });
});

test('durations carry their unit', () => {
  const units: [string, number][] = [
    ['1ms', 1],
    ['250ms', 250],
    ['10s', 10_000],
    ['5m', 300_000],
    ['2h', 7_200_000],
    ['1d', 86_400_000],
    ['30d', 2_592_000_000],
    ['720h', 2_592_000_000],
  ];
  for (const [text, ms] of units) {
    const { config } = validateConfig(
      configuration({ services: [service({ conntrack: { idleTimeout: text } })] }),
      'FILE',
    );
    assert.equal(config.services[0].conntrack.idleTimeoutMs, ms, text);
  }
});

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
