/** `admin:` in a configuration: where the API is by itself, and what belongs together. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseConfig } from '../../lb/config-file.ts';
import { ConfigError } from '../../lb/config-problems.ts';

const SERVICES = 'services: [{ name: web, vip: 198.18.10.1, port: 80, backends: [{ name: b1, address: 198.18.2.1 }] }]';

const adminOf = (admin: string) => parseConfig(`interface: eth7\n${admin}\n${SERVICES}\n`, 'FILE').config.admin;

function problems(admin: string): string[] {
  try {
    adminOf(admin);
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error));
    return error.problems.map(({ path, message }) => `${path}: ${message}`);
  }
  return [];
}

test('by itself it is a socket named after the interface, and nothing else', () => {
  assert.deepEqual(adminOf(''), { socket: '/run/hushlb/eth7.sock', group: null, tcp: null });
  assert.equal(adminOf('admin: false'), null);
});

test('TCP and its token go together', () => {
  assert.deepEqual(adminOf('admin: { listen: "127.0.0.1:9109", tokenFile: /etc/hushlb/token }')?.tcp, {
    listen: { host: '127.0.0.1', port: 9109 },
    tokenFile: '/etc/hushlb/token',
  });
  assert.deepEqual(problems('admin: { listen: "127.0.0.1:9109" }'), [
    'admin.tokenFile: expected a file with a token, because admin.listen opens TCP, got nothing',
  ]);
  assert.deepEqual(problems('admin: { tokenFile: /etc/hushlb/token }'), [
    'admin.listen: expected HOST:PORT, because the token is for TCP alone, got nothing',
  ]);
});

test('paths are absolute and short enough for the kernel', () => {
  assert.deepEqual(problems('admin: { socket: here.sock }'), [
    'admin.socket: expected an absolute path below 108 bytes, got "here.sock"',
  ]);
  assert.equal(problems(`admin: { socket: /${'x'.repeat(107)} }`).length, 1);
  assert.deepEqual(problems(`admin: { socket: /${'x'.repeat(106)} }`), []);
});
