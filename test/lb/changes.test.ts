/** What the log says of a reload: names, and the share of slots that moved. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { changesBetween } from '../../lb/changes.ts';
import { parseConfig } from '../../lb/config-file.ts';
import { type Prepared, prepare, prepareNext } from '../../lb/prepare.ts';

const ROOM = { services: 8, backends: 64 };

function service(name: string, backends: string, settings = ''): string {
  const port = name === 'web' ? 80 : 443;
  return `  - { name: ${name}, vip: 198.18.10.1, port: ${port}, tableSize: 251${settings}, backends: [${backends}] }\n`;
}

const b = (number: number, settings = '') => `{ name: b${number}, address: 198.18.2.${number}${settings} }`;

function configOf(services: string, top = '') {
  return parseConfig(`interface: eth0\n${top}\nservices:\n${services}`, 'changes').config;
}

const first = (services: string): Prepared => prepare(configOf(services), ROOM);
const next = (before: Prepared, services: string, top = '') =>
  changesBetween(before, prepareNext(configOf(services, top), before, 0));

const NOTHING = { added: [], removed: [], changed: [], moved: {} };
const web = service('web', `${b(1)}, ${b(2)}`);

test('the same file, or the same in another order: nothing', () => {
  const before = first(web + service('api', b(1)));
  assert.deepEqual(next(before, web + service('api', b(1))), NOTHING);
  assert.deepEqual(next(before, service('api', b(1)) + service('web', `${b(2)}, ${b(1)}`)), NOTHING);
});

test('backends, by their service and name', () => {
  const changes = next(
    first(service('web', `${b(1)}, ${b(2)}, ${b(3)}`)),
    service('web', `${b(4)}, ${b(1, ', weight: 9')}, ${b(3)}`),
  );
  assert.deepEqual([changes.added, changes.removed, changes.changed], [['web/b4'], ['web/b2'], ['web/b1']]);
  assert.ok(changes.moved.web > 0.3);
});

test('an address moves no slot', () => {
  const changes = next(first(web), service('web', `${b(1)}, { name: b2, address: 198.18.2.9 }`));
  assert.deepEqual(changes, { ...NOTHING, changed: ['web/b2'] });
});

test('services: settings, their own or from the mode; whole ones without their backends', () => {
  assert.deepEqual(next(first(web), service('web', `${b(1)}, ${b(2)}`, ', encap: l2')), {
    ...NOTHING,
    changed: ['web'],
  });
  assert.deepEqual(next(first(web), web, 'mode: stateful'), { ...NOTHING, changed: ['web'] });
  assert.deepEqual(next(first(web), service('api', b(1))), { ...NOTHING, added: ['api'], removed: ['web'] });
});

test('the share that moved is that of the slots: half of them to a second backend', () => {
  const { moved } = next(first(service('web', b(1))), web);
  assert.ok(Math.abs(moved.web - 0.5) < 0.01, `${moved.web}`);
});
