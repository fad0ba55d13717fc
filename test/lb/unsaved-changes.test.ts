/** What runs and the file has not: the changes that lead from the one to the other, and no others. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Change } from '../../lb/change.ts';
import type { Config } from '../../lb/config.ts';
import { parseConfig } from '../../lb/config-file.ts';
import { editText } from '../../lb/edit.ts';
import { unsavedChanges } from '../../lb/unsaved-changes.ts';

const TEXT = `
interface: eth0
services:
  - name: web
    vip: 198.18.10.1
    port: 80
    backends: [{ name: b1, address: 198.18.2.1 }, { name: b2, address: 198.18.2.2, state: draining, weight: 2 }]
  - { name: api, vip: 198.18.10.1, port: 81, backends: [{ name: b1, address: 198.18.2.1 }] }
`;

type Edit = Exclude<Change, { kind: 'reload' }>;

const FILE = parseConfig(TEXT, 'FILE').config;

/** The configuration after these changes; undefined where one of them cannot be. */
function after(...changes: readonly Edit[]): Config | undefined {
  try {
    return changes.reduce(({ text, config }, change) => parseConfig(editText(text, config, change), 'edited'), {
      text: TEXT,
      config: FILE,
    }).config;
  } catch {
    return undefined;
  }
}

function listed(...changes: readonly Edit[]): string[] {
  const running = after(...changes);
  assert.ok(running !== undefined);
  return unsavedChanges(FILE, running);
}

const web = { service: 'web' } as const;

test('one change is itself', () => {
  assert.deepEqual(listed({ kind: 'drain', ...web, backend: 'b1' }), ['drain web b1']);
  assert.deepEqual(listed({ kind: 'undrain', ...web, backend: 'b2' }), ['undrain web b2']);
  assert.deepEqual(listed({ kind: 'weight', ...web, backend: 'b1', weight: 3 }), ['weight web b1 3']);
  assert.deepEqual(listed({ kind: 'remove', ...web, backend: 'b1' }), ['remove web b1']);
  assert.deepEqual(listed({ kind: 'add', ...web, backend: { name: 'b3', address: '198.18.2.3' } }), [
    'add web b3 198.18.2.3',
  ]);
  assert.deepEqual(listed({ kind: 'scheduler', service: 'api', scheduler: 'round-robin' }), [
    'scheduler api round-robin',
  ]);
  assert.deepEqual(listed({ kind: 'mode', mode: 'stateful' }), ['mode stateful']);
});

test('what was done again, or undone, is not listed twice, or at all', () => {
  const weights = Array.from(
    { length: 20 },
    (_, i): Edit => ({ kind: 'weight', ...web, backend: 'b1', weight: 2 + i }),
  );
  assert.deepEqual(listed(...weights), ['weight web b1 21']);
  assert.deepEqual(listed(...weights, { kind: 'weight', ...web, backend: 'b1', weight: 1 }), []);
  assert.deepEqual(listed({ kind: 'drain', ...web, backend: 'b1' }, { kind: 'undrain', ...web, backend: 'b1' }), []);
  const add = { kind: 'add', ...web, backend: { name: 'b3', address: '198.18.2.3', weight: 4 } } as const;
  assert.deepEqual(listed(add), ['add web b3 198.18.2.3', 'weight web b3 4']);
  assert.deepEqual(listed(add, { kind: 'remove', ...web, backend: 'b3' }), []);
});

test('another host of the same name is another backend', () => {
  assert.deepEqual(
    listed(
      { kind: 'remove', ...web, backend: 'b2' },
      { kind: 'add', ...web, backend: { name: 'b2', address: '198.18.2.9' } },
    ),
    ['remove web b2', 'add web b2 198.18.2.9'],
  );
});

const NAMES = ['b1', 'b2', 'b3'];
const edit: fc.Arbitrary<Edit> = fc
  .record({
    kind: fc.constantFrom('drain', 'undrain', 'remove', 'add', 'weight', 'scheduler', 'mode'),
    service: fc.constantFrom('web', 'api'),
    name: fc.constantFrom(...NAMES),
    number: fc.integer({ min: 1, max: 4 }),
  })
  .map(({ kind, service, name, number }): Edit => {
    if (kind === 'mode') return { kind, mode: number > 2 ? 'stateful' : 'stateless' };
    if (kind === 'scheduler') return { kind, service, scheduler: number > 2 ? 'round-robin' : 'maglev' };
    if (kind === 'weight') return { kind, service, backend: name, weight: number };
    if (kind === 'add') return { kind, service, backend: { name, address: `198.18.2.${number}`, weight: number } };
    return { kind: kind as 'drain', service, backend: name };
  });

/** The change that a line of the list says. */
function said(line: string): Edit {
  const [kind, service, backend, last] = line.split(' ');
  if (kind === 'mode') return { kind, mode: service as 'stateful' };
  if (kind === 'scheduler') return { kind, service, scheduler: backend as 'maglev' };
  if (kind === 'weight') return { kind, service, backend, weight: Number(last) };
  if (kind === 'add') return { kind, service, backend: { name: backend, address: last } };
  return { kind: kind as 'drain', service, backend };
}

test('whatever was done: what is listed, done to the file, makes what runs', () => {
  let done = 0;
  fc.assert(
    fc.property(fc.array(edit, { maxLength: 5 }), (drawn) => {
      const running = after(...drawn);
      fc.pre(running !== undefined);
      const list = unsavedChanges(FILE, running);
      // Where a service would lose its last backend on the way, additions come first.
      const adds = list.filter((line) => line.startsWith('add'));
      fc.pre(!adds.some((line) => list.includes(line.replace(/^add (\S+ \S+) .*/, 'remove $1'))));
      const again = after(...[...adds, ...list.filter((line) => !line.startsWith('add'))].map(said));
      assert.deepEqual(sorted(again), sorted(running));
      if (list.length > 0) done++;
    }),
    { numRuns: 200 },
  );
  assert.ok(done > 30, `${done}`);
});

function sorted(config: Config | undefined): unknown {
  return config?.services.map(({ backends, ...rest }) => ({
    ...rest,
    backends: backends.toSorted((a, b) => a.name.localeCompare(b.name)),
  }));
}
