/** Health checks in a configuration: what they become, and what contradicts. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { validateConfig } from '../../lb/config-file.ts';
import type { HealthConfig } from '../../lb/config-health.ts';
import { ConfigError } from '../../lb/config-problems.ts';

type Settings = Record<string, unknown>;

function healthOf(health: Settings, service: Settings = {}): HealthConfig | null {
  const backends = [{ name: 'b1', address: '198.18.2.1' }];
  const services = [{ name: 'web', vip: '198.18.10.1', port: 80, health, backends, ...service }];
  return validateConfig({ interface: 'eth0', services }, 'FILE').config.services[0].health;
}

test('defaults: tcp to the service port, every two seconds', () => {
  assert.deepEqual(healthOf({}), {
    check: 'tcp',
    port: null,
    through: 'direct',
    intervalMs: 2000,
    timeoutMs: 1000,
    graceMs: 3000,
    rise: 2,
    fall: 3,
    http: null,
    command: null,
  });
});

test('http: what is asked and what is expected', () => {
  assert.deepEqual(healthOf({ check: 'http' })?.http, {
    method: 'GET',
    path: '/',
    host: null,
    status: { first: 200, last: 399 },
    body: null,
    verify: false,
  });
  assert.deepEqual(healthOf({ check: 'https', status: '200-204', body: 'ok' })?.http?.status, {
    first: 200,
    last: 204,
  });
});

test('https: nobody, the known authorities, or those of a file vouch for a certificate', () => {
  for (const verify of [false, true, '/etc/hushlb/authorities.pem']) {
    assert.equal(healthOf({ check: 'https', verify })?.http?.verify, verify);
  }
});

const rows: readonly (readonly [health: Settings, service: Settings, problem: string | null])[] = [
  [{ check: 'command', command: ['/bin/true'] }, { port: 'all' }, null],
  [{ check: 'icmp' }, { port: 'all', protocol: 'udp' }, null],
  [{ check: 'tcp', port: 80 }, { port: 'all' }, null],
  [{ timeout: '5s', interval: '1s' }, {}, null],
  [{ through: 'tunnel' }, { encap: 'l2' }, null],
  [{ check: 'http', through: 'tunnel', body: 'ok' }, { encap: 'gue' }, null],
  [{ check: 'https', through: 'tunnel', host: 'www.example.com' }, { encap: 'ipip' }, null],
  [
    { check: 'command', command: ['/bin/true'], through: 'tunnel' },
    {},
    'through: expected direct, because only tcp, http and https checks go through the tunnel, got "tunnel"',
  ],
  [{ check: 'command' }, {}, 'command: expected the program that checks, because check is command, got nothing'],
  [{ command: ['/bin/true'] }, {}, 'command: expected not to be set, because check is tcp, got a list'],
  [{ path: '/' }, {}, 'path: expected not to be set, because check is tcp, got "/"'],
  [{ check: 'icmp', status: 200 }, {}, 'status: expected not to be set, because check is icmp, got 200'],
  [
    { check: 'http', method: 'HEAD', body: 'ok' },
    {},
    'body: expected not to be set, because an answer to HEAD has no body, got "ok"',
  ],
  [{ check: 'http', verify: true }, {}, 'verify: expected not to be set, because check is http, got true'],
  ...['own.pem', 'yes', 1].map(
    (verify) =>
      [
        { check: 'https', verify },
        {},
        `verify: expected true, false or a file of authorities by its absolute path, got ${JSON.stringify(verify)}`,
      ] as const,
  ),
  [{ check: 'icmp', port: 80 }, {}, 'port: expected not to be set, because icmp has no ports, got 80'],
  [
    {},
    { port: '8000-8999' },
    'port: expected the TCP port to check, because the service has ports 8000-8999, got nothing',
  ],
  [
    { check: 'https' },
    { port: 'all' },
    'port: expected the TCP port to check, because the service has all ports, got nothing',
  ],
  [{}, { protocol: 'udp' }, 'port: expected the TCP port to check, because the service is udp, got nothing'],
  [
    { check: 'icmp', through: 'tunnel' },
    {},
    'through: expected direct, because only tcp, http and https checks go through the tunnel, got "tunnel"',
  ],
];
for (const [health, service, problem] of rows) {
  test(`${JSON.stringify(health)} with ${JSON.stringify(service)}: ${problem ?? 'fine'}`, () => {
    const problems: string[] = [];
    try {
      healthOf(health, service);
    } catch (error) {
      assert.ok(error instanceof ConfigError, String(error));
      problems.push(...error.problems.map(({ path, message }) => `${path}: ${message}`));
    }
    assert.deepEqual(problems, problem === null ? [] : [`services[0].health.${problem}`]);
  });
}
