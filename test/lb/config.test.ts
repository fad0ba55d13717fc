/**
 * What a right configuration becomes: defaults, and every setting with another value. What a wrong one is told:
 * config-values.test.ts. Files and positions: config-file.test.ts.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { validateConfig } from '../../lb/config-file.ts';
import { backend, configuration, problemsOf, type Settings, service } from './raw-config.ts';

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
