/** Checks through the tunnel that could meet on their way to one VIP and port have lanes of their own. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseConfig } from '../../lb/config-file.ts';
import { type CheckTools, healthTargets } from '../../lb/health-targets.ts';

test('a lane for each service that checks at a VIP and port', () => {
  const lanes: Record<string, number> = {};
  const check = async () => ({ ok: true, reason: 'asked' });
  const tools: CheckTools = {
    echoes: { check: () => check },
    tunnels: { check: () => check, checkHttp: () => check },
    ways: {
      targetOf({ name }, backend, port, lane) {
        lanes[`${name}/${backend.name}:${port}`] = lane;
        return { vip: new Uint8Array(4), port, lane, source: () => new Uint8Array(4), send: () => {} };
      },
    },
  };
  const service = (name: string, port: number, health: string, vip = '198.18.10.1') =>
    `{ name: ${name}, vip: ${vip}, port: ${port}, health: { ${health} }, backends: [{ name: b1, address: 198.18.2.1 }, { name: b2, address: 198.18.2.2 }] }`;
  const services = [
    service('web', 80, 'through: tunnel'),
    service('shop', 81, 'check: http, port: 80, through: tunnel'),
    service('near', 82, 'port: 80'),
    service('safe', 443, 'check: https, through: tunnel'),
    service('news', 83, 'check: http, port: 80, through: tunnel, path: /news'),
    service('other', 80, 'through: tunnel', '198.18.10.2'),
  ];
  const { config } = parseConfig(`{ interface: eth0, services: [${services}] }`, 'test');
  assert.equal(healthTargets(config, tools).length, 12);
  assert.deepEqual(lanes, {
    'web/b1:80': 0,
    'web/b2:80': 0,
    'shop/b1:80': 1,
    'shop/b2:80': 1,
    'safe/b1:443': 0,
    'safe/b2:443': 0,
    'news/b1:80': 2,
    'news/b2:80': 2,
    'other/b1:80': 0,
    'other/b2:80': 0,
  });
});
