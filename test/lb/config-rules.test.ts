/** What no single value of a configuration can know: contradictions and warnings. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { validateConfig } from '../../lb/config-file.ts';
import { ConfigError } from '../../lb/config-problems.ts';

type Settings = Record<string, unknown>;

const backends = (count: number, more: Settings = {}) =>
  Array.from({ length: count }, (_, i) => ({
    name: `b${i}`,
    address: `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`,
    ...more,
  }));

const service = (name: string, more: Settings = {}) => ({
  name,
  vip: '198.18.10.1',
  port: 80,
  backends: backends(2),
  ...more,
});

function problemsOf(services: unknown[]): string[] {
  try {
    validateConfig({ interface: 'eth0', services }, 'FILE');
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error));
    return error.problems.map(({ path, message }) => `${path}: ${message}`);
  }
  return [];
}

test('services differ in name, and in VIP or port', () => {
  assert.deepEqual(problemsOf([service('a'), service('b', { port: 81 }), service('c', { vip: '198.18.10.2' })]), []);
  assert.deepEqual(problemsOf([service('a'), service('b', { port: 81 }), service('a', { port: 82 })]), [
    'services[2].name: expected a name that no other service has, got "a"',
  ]);
  assert.deepEqual(problemsOf([service('a', { port: 81 }), service('b'), service('c')]), [
    'services[2]: expected a VIP, protocol and port that no other service has, ' +
      'got 198.18.10.1 tcp port 80, as services[1]',
  ]);
});

test('of a VIP and protocol a port, a range and all ports may overlap, two of a kind may not', () => {
  const one = service('one');
  const range = service('range', { port: '1-1000' });
  const all = service('all', { port: 'all' });
  assert.deepEqual(problemsOf([one, range, all]), []);
  assert.deepEqual(problemsOf([all, range, one, service('next', { port: '1001-2000' })]), []);
  assert.deepEqual(problemsOf([range, service('udp', { port: '1000-2000', protocol: 'udp' })]), []);
  assert.deepEqual(problemsOf([range, service('elsewhere', { port: '1000-2000', vip: '198.18.10.2' })]), []);
  assert.deepEqual(problemsOf([one, range, service('b', { port: '1000-2000' })]), [
    'services[2]: expected ports that no other range of the VIP and protocol has, ' +
      'got 198.18.10.1 tcp ports 1000-2000, as services[1], which has ports 1-1000',
  ]);
  assert.deepEqual(problemsOf([all, service('b', { port: '1-65535' })]), [
    'services[1]: expected a VIP, protocol and port that no other service has, ' +
      'got 198.18.10.1 tcp all ports, as services[0]',
  ]);
  assert.deepEqual(problemsOf([service('a', { port: '80-80' }), one]), [
    'services[1]: expected a VIP, protocol and port that no other service has, ' +
      'got 198.18.10.1 tcp port 80, as services[0]',
  ]);
});

test('an address is the same however it is written', () => {
  const six = (name: string, vip: string, more: Settings = {}) => service(name, { vip, ...more });
  assert.deepEqual(problemsOf([six('a', '2001:db8::10'), six('b', '2001:DB8:0::0010')]), [
    'services[1]: expected a VIP, protocol and port that no other service has, ' +
      'got 2001:db8::10 tcp port 80, as services[0]',
  ]);
  const twice = ['2001:db8::1', '2001:db8:0:0::1'].map((address, i) => ({ name: `b${i}`, address }));
  assert.deepEqual(problemsOf([six('a', '2001:db8:0::1', { backends: twice })]), [
    'services[0].backends[1].address: expected an address that no other backend of the service has, ' +
      'got "2001:db8:0:0::1"',
    'services[0].backends[0].address: expected the backend\'s own address, not the VIP, got "2001:db8::1"',
    'services[0].backends[1].address: expected the backend\'s own address, not the VIP, got "2001:db8:0:0::1"',
  ]);
});

test('keys that mean nothing beside others are refused, with their path', () => {
  const udp = { protocol: 'udp' };
  const six = { vip: '2001:db8::10' };
  const accepted: Settings[] = [
    { ...udp, onMiss: 'forward', onExpiry: 'silent', mssClamp: 'off', tooBig: 'fragment' },
    { varySource: true, outerTtl: 'copy', mssClamp: 536 },
    { encap: 'gre', outerTtl: 1, varySource: false },
    { encap: 'gue', gue: {}, outerTtl: 255 },
    { ...six, tooBig: 'drop', ipOptions: 'drop', encap: 'l2' },
  ];
  for (const settings of accepted) assert.deepEqual(problemsOf([service('a', settings)]), []);

  const refused: [settings: Settings, problem: string][] = [
    [{ ...udp, onMiss: 'reset' }, 'onMiss: expected forward, because any datagram may open a flow of udp, got "reset"'],
    [{ ...udp, onMiss: 'drop' }, 'onMiss: expected forward, because any datagram may open a flow of udp, got "drop"'],
    [{ ...udp, onExpiry: 'reset' }, 'onExpiry: expected silent, because udp has no RST, got "reset"'],
    [
      { ...udp, profile: 'katran' },
      'profile: expected not to be set: profiles say what becomes of idle TCP connections, got "katran"',
    ],
    [{ ...udp, mssClamp: 'auto' }, 'mssClamp: expected off, because udp has no MSS, got "auto"'],
    [{ ...udp, mssClamp: 1400 }, 'mssClamp: expected off, because udp has no MSS, got 1400'],
    [{ gue: { port: 6080 } }, 'gue: expected not to be set, because encap is ipip, got a mapping'],
    [{ encap: 'gre', gue: {} }, 'gue: expected not to be set, because encap is gre, got a mapping'],
    [{ encap: 'gue', varySource: true }, 'varySource: expected false, because encap is gue, got true'],
    [{ encap: 'l2', outerTtl: 64 }, 'outerTtl: expected not to be set, because encap l2 has no outer header, got 64'],
    [
      { ...six, tooBig: 'fragment' },
      'tooBig: expected drop, because nobody on the way fragments IPv6 packets, got "fragment"',
    ],
    [
      { ...six, ipOptions: 'accept' },
      'ipOptions: expected drop, because IPv6 packets have no IP options, got "accept"',
    ],
  ];
  for (const [settings, problem] of refused) {
    assert.deepEqual(problemsOf([service('z', { port: 81 }), service('a', settings)]), [`services[1].${problem}`]);
  }
});

test('quic: server ids that backends can be told apart by', () => {
  const withIds = (quic: Settings | undefined, ...ids: unknown[]) => {
    const list = backends(ids.length).map((backend, i) =>
      ids[i] === undefined ? backend : { ...backend, serverId: ids[i] },
    );
    return problemsOf([service('a', { protocol: 'udp', ...(quic === undefined ? {} : { quic }), backends: list })]);
  };
  const quic = { serverIdLength: 2, nonceLength: 17, rotation: 6 };
  assert.deepEqual(withIds(quic, 'c460', 'C461'), []);
  const refused: [quic: Settings | undefined, ids: unknown[], problem: string][] = [
    [undefined, ['c460'], 'backends[0].serverId: expected not to be set, because the service has no quic, got "c460"'],
    [
      quic,
      ['c460', undefined],
      'backends[1].serverId: expected the server id that the backend writes into connection ids, got nothing',
    ],
    [quic, ['c460', 'c4'], 'backends[1].serverId: expected a server id of 2 octets, as serverIdLength says, got "c4"'],
    [
      quic,
      ['c460', 'C460'],
      'backends[1].serverId: expected a server id that no other backend of the service has, got "C460"',
    ],
    [
      quic,
      ['c460', 1234],
      'backends[1].serverId: expected whole octets in hexadecimal and in quotes, such as "c4605e", got 1234',
    ],
    [
      { serverIdLength: 2, nonceLength: 18 },
      ['c460'],
      'quic.nonceLength: expected at most 17, because a connection id has 20 bytes at most, got 18',
    ],
    [{ ...quic, rotation: 7 }, ['c460'], 'quic.rotation: expected a whole number from 0 to 6, got 7'],
    [{ ...quic, nonceLength: 3 }, ['c460'], 'quic.nonceLength: expected a whole number from 4 to 18, got 3'],
  ];
  for (const [settings, ids, problem] of refused)
    assert.deepEqual(withIds(settings, ...ids), [`services[0].${problem}`]);
  assert.deepEqual(problemsOf([service('a', { quic, backends: [{ ...backends(1)[0], serverId: 'c460' }] })]), [
    'services[0].quic: expected not to be set, because QUIC is carried by udp, got a mapping',
  ]);
});

test('backends of a service differ in name and address; two services may share them', () => {
  assert.deepEqual(problemsOf([service('a'), service('b', { port: 81 })]), []);
  const [first, second] = backends(2);
  assert.deepEqual(problemsOf([service('a', { backends: [first, { ...second, name: first.name }] })]), [
    'services[0].backends[1].name: expected a name that no other backend of the service has, got "b0"',
  ]);
  assert.deepEqual(problemsOf([service('a', { backends: [first, { ...second, address: first.address }] })]), [
    'services[0].backends[1].address: expected an address that no other backend of the service has, got "10.0.0.0"',
  ]);
  assert.deepEqual(problemsOf([service('a', { backends: [first, { ...second, address: '198.18.10.1' }] })]), [
    'services[0].backends[1].address: expected the backend\'s own address, not the VIP, got "198.18.10.1"',
  ]);
});

test('a table has room for every backend', () => {
  assert.deepEqual(problemsOf([service('a', { backends: backends(7), tableSize: 7 })]), []);
  assert.deepEqual(problemsOf([service('a', { backends: backends(8), tableSize: 7 })]), [
    'services[0].tableSize: expected a prime number of at least 11, for 8 backends, got 7',
  ]);
});

test('limits of a whole file: 4096 services, 65535 backends', () => {
  const services = (count: number) =>
    Array.from({ length: count }, (_, i) => service(`s${i}`, { port: i + 1, backends: backends(1) }));
  assert.deepEqual(problemsOf(services(4096)), []);
  assert.deepEqual(problemsOf(services(4097)), ['services: expected at most 4096 services, got a list']);
  assert.deepEqual(problemsOf([service('a', { backends: backends(65_535) })]), []);
  assert.deepEqual(problemsOf([service('a', { backends: backends(65_535) }), service('b', { port: 81 })]), [
    'services: expected at most 65535 backends in all, got 65537',
  ]);
});

function warningsOf(services: unknown[], more: Settings = {}): string[] {
  const { warnings } = validateConfig({ interface: 'eth0', services, ...more }, 'FILE');
  return warnings.map(({ path, message }) => `${path}: ${message}`);
}

test('what is broken on purpose says so', () => {
  assert.deepEqual(warningsOf([service('a')]), []);
  assert.match(warningsOf([service('a')], { mode: 'stateful' }).join(), /^mode: stateful is broken on purpose: .*RST/);
  const roundRobin = { scheduler: 'round-robin' };
  assert.match(
    warningsOf([service('a'), service('b', { port: 81, ...roundRobin })]).join(),
    /^services\[1\]\.scheduler: round-robin is broken on purpose: a connection that outlives its idle timeout/,
  );
  const conntrack = { enabled: false };
  assert.match(
    warningsOf([service('a', { ...roundRobin, conntrack })]).join(),
    /^services\[0\]\.scheduler: round-robin is broken on purpose: without conntrack/,
  );
  assert.match(
    warningsOf([service('a', { conntrack })], { mode: 'stateful' }).join(),
    /services\[0\]\.conntrack\.enabled: mode stateful without conntrack/,
  );
  assert.deepEqual(warningsOf([service('a', { conntrack })]), []);
});

test('whatever resets or drops says so, where it was set', () => {
  const paths = (settings: Settings, more: Settings = {}) =>
    warningsOf([service('a', settings)], more).map((warning) => warning.split(': ')[0]);
  assert.deepEqual(paths({ onMiss: 'forward', onExpiry: 'silent', profile: 'f5-fastl4' }), []);
  assert.deepEqual(paths({ onMiss: 'forward' }, { mode: 'stateful' }), []);
  assert.deepEqual(paths({ onMiss: 'drop' }, { mode: 'stateful' }), ['services[0].onMiss']);
  assert.deepEqual(paths({ onMiss: 'reset', onExpiry: 'reset' }), ['services[0].onMiss', 'services[0].onExpiry']);
  assert.deepEqual(paths({ profile: 'gcp-internal' }), []);
  assert.deepEqual(paths({ profile: 'gcp-internal' }, { mode: 'stateful' }), []);
  assert.deepEqual(paths({ profile: 'f5-fastl4' }, { mode: 'stateful' }), ['services[0].profile']);
  assert.deepEqual(paths({ profile: 'azure-lb', onExpiry: 'reset' }), ['services[0].profile', 'services[0].onExpiry']);

  assert.match(warningsOf([service('a', { profile: 'f5-fastl4' })]).join(), /f5-fastl4 breaks .*RST; .*both sides$/);
  assert.match(warningsOf([service('a', { onMiss: 'drop' })]).join(), /drop is broken on purpose: .*hang/);
});

test('sources that are varied ask something of the hosts on the way', () => {
  assert.match(warningsOf([service('a', { varySource: true })]).join(), /^services\[0\]\.varySource: .*reverse-path/);
});

test('settings that do nothing, or too much, without conntrack', () => {
  const conntrack = { enabled: false };
  const warnings = warningsOf([service('a', { conntrack, onMiss: 'drop', onExpiry: 'reset' })]);
  assert.deepEqual(
    warnings.filter((warning) => warning.startsWith('services[0].conntrack')),
    [
      'services[0].conntrack.enabled: onMiss drop without conntrack knows no connection: only SYNs get through',
      'services[0].conntrack.enabled: without conntrack nothing expires: onExpiry reset does nothing',
    ],
  );
});

test('a service without an active backend, and a table that is small for its backends', () => {
  assert.match(
    warningsOf([service('a', { backends: backends(2, { state: 'draining' }) })]).join(),
    /^services\[0\]\.backends: all are draining/,
  );
  // 100 slots a backend is the paper's advice; 199 is the prime below 2 * 100, 211 the one above.
  assert.match(
    warningsOf([service('a', { tableSize: 199 })]).join(),
    /^services\[0\]\.tableSize: small for 2 backends, .*: 211 or more/,
  );
  assert.deepEqual(warningsOf([service('a', { tableSize: 211 })]), []);
});

test('workers, CPUs and AF_XDP that do not go together', () => {
  const problems = (more: Settings): string[] => {
    try {
      validateConfig({ interface: 'eth0', services: [service('a')], ...more }, 'FILE');
    } catch (error) {
      assert.ok(error instanceof ConfigError, String(error));
      return error.problems.map(({ path, message }) => `${path}: ${message}`);
    }
    return [];
  };
  assert.deepEqual(problems({ workers: 2, cpus: [0, 1] }), []);
  assert.deepEqual(problems({ cpus: [0, 1, 2] }), []);
  assert.deepEqual(problems({ workers: 2, cpus: [0] }), ['cpus: expected a CPU for each worker, 2, got 1']);
  assert.deepEqual(problems({ afXdp: { ringSize: 64, batchSize: 64 } }), []);
  assert.deepEqual(problems({ afXdp: { ringSize: 64, batchSize: 128 } }), [
    'afXdp.batchSize: expected at most the ringSize, 64, got 128',
  ]);
  assert.deepEqual(problems({ io: 'af-packet', workers: 2, cpus: [0, 1] }), []);
  assert.deepEqual(problems({ io: 'auto', xdpMode: 'generic', afXdp: { ringSize: 64 } }), []);
  assert.deepEqual(problems({ io: 'af-packet', xdpMode: 'generic', afXdp: { ringSize: 64 } }), [
    'xdpMode: expected not to be set, because io is af-packet, got "generic"',
    'afXdp: expected not to be set, because io is af-packet, got a mapping',
  ]);
  assert.deepEqual(problems({ io: 'portable' }), []);
  assert.deepEqual(problems({ io: 'portable', xdpMode: 'generic', workers: 2, cpus: [0, 1] }), [
    'xdpMode: expected not to be set, because io is portable, got "generic"',
    'workers: expected not to be set, because io is portable, got 2',
    'cpus: expected not to be set, because io is portable, got a list',
  ]);
  assert.deepEqual(problems({ xdpMode: 'generic', afXdp: { zeroCopy: 'require' } }), [
    'afXdp.zeroCopy: expected auto or off, because xdpMode generic has no zero-copy, got "require"',
  ]);
});
