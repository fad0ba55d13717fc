/** Changes at run time as edits of the configuration's text. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type Change, changeText } from '../../lb/change.ts';
import { parseConfig } from '../../lb/config-file.ts';
import { editText } from '../../lb/edit.ts';
import { HushlbError } from '../../lb/errors.ts';

const TEXT = `# the edge of the lab
interface: eth0
services:
  - name: web # what people see
    vip: 198.18.10.1
    port: 80
    backends:
      - { name: b1, address: 198.18.2.1 } # rack 1
      - name: b2
        address: 198.18.2.2
        state: draining
  - name: api
    vip: 198.18.10.1
    port: 443
    backends: [ { name: b1, address: 198.18.2.1 } ]
`;

type Edit = Exclude<Change, { kind: 'reload' }>;

const edit = (change: Edit, text = TEXT) => editText(text, parseConfig(text, 'FILE').config, change);

const ROWS: readonly (readonly [change: Edit, from: string, to: string])[] = [
  [
    { kind: 'drain', service: 'web', backend: 'b1' },
    '{ name: b1, address: 198.18.2.1 } # rack 1',
    '{ name: b1, address: 198.18.2.1, state: draining } # rack 1',
  ],
  [{ kind: 'undrain', service: 'web', backend: 'b2' }, '        state: draining\n', ''],
  [
    { kind: 'weight', service: 'api', backend: 'b1', weight: 3 },
    '[ { name: b1, address: 198.18.2.1 } ]',
    '[ { name: b1, address: 198.18.2.1, weight: 3 } ]',
  ],
  [
    { kind: 'add', service: 'api', backend: { name: 'b9', address: '198.18.2.9', weight: 2 } },
    '[ { name: b1, address: 198.18.2.1 } ]',
    '[ { name: b1, address: 198.18.2.1 }, { name: b9, address: 198.18.2.9, weight: 2 } ]',
  ],
  [
    { kind: 'remove', service: 'web', backend: 'b2' },
    '      - name: b2\n        address: 198.18.2.2\n        state: draining\n',
    '',
  ],
  [{ kind: 'scheduler', service: 'api', scheduler: 'round-robin' }, '', '    scheduler: round-robin\n'],
  [{ kind: 'mode', mode: 'stateful' }, '', 'mode: stateful\n'],
];

for (const [change, from, to] of ROWS) {
  test(`${changeText(change)}: nothing else in the file changes, comments neither`, () => {
    assert.equal(edit(change), from === '' ? TEXT + to : TEXT.replace(from, to));
  });
}

test('what an alias stands for in several places changes in one', () => {
  const text = `interface: eth0
services:
  - { name: web, vip: 198.18.10.1, port: 80, backends: &both [{ name: b1, address: 198.18.2.1 }] }
  - { name: api, vip: 198.18.10.1, port: 443, backends: *both }
`;
  const { services } = parseConfig(edit({ kind: 'drain', service: 'api', backend: 'b1' }, text), 'FILE').config;
  assert.deepEqual(
    services.map(({ backends }) => backends[0].state),
    ['active', 'draining'],
  );
});

test('twice is as once', () => {
  const once = edit({ kind: 'drain', service: 'web', backend: 'b1' });
  assert.equal(edit({ kind: 'drain', service: 'web', backend: 'b1' }, once), once);
  const back = edit({ kind: 'undrain', service: 'web', backend: 'b1' }, once);
  assert.equal(edit({ kind: 'undrain', service: 'web', backend: 'b1' }, back), back);
});

describe('who is not there', () => {
  const refused = (change: Edit, code: string, message: string) =>
    assert.throws(
      () => edit(change),
      (error) => error instanceof HushlbError && error.code === code && error.message === message,
    );
  test('a service', () =>
    refused(
      { kind: 'drain', service: 'wbe', backend: 'b1' },
      'UNKNOWN_SERVICE',
      'there is no service wbe: the configuration that runs has web, api',
    ));
  test('a backend', () =>
    refused(
      { kind: 'remove', service: 'api', backend: 'b2' },
      'UNKNOWN_BACKEND',
      'service api has no backend b2: it has b1',
    ));
  test('and who is there already', () =>
    refused(
      { kind: 'add', service: 'api', backend: { name: 'b1', address: '198.18.2.7' } },
      'BACKEND_EXISTS',
      'service api has a backend b1 already: hushlb weight or hushlb undrain changes it',
    ));
});
