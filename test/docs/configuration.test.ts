/** The configuration as the pages show it: README's table has every key and its default, and the examples are right. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parse, stringify } from 'yaml';
import { parseConfig } from '../../lb/config-file.ts';
import { ConfigError } from '../../lb/config-problems.ts';
import { blocksOf, CURRENT_PAGES } from './pages.ts';

type Mapping = Record<string, unknown>;

const SERVICE: Mapping = {
  name: 'web',
  vip: '198.18.10.1',
  port: 80,
  backends: [{ name: 'b1', address: '198.18.2.1' }],
};

/** A file with these keys, and with what else a file needs. */
function parsed(keys: Mapping, service: Mapping = {}): unknown {
  const written = { interface: 'eth0', services: [{ ...SERVICE, ...service }], ...keys };
  return parseConfig(stringify(written), 'test').config;
}

/** All that a mapping takes, as it says itself where it is given another. */
function keysKnown(keys: Mapping, service: Mapping = {}): string[] {
  try {
    parsed(keys, service);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const [, list] = /^expected one of the keys (.*), got the key/.exec(error.problems[0].message) ?? [];
    return list.split(', ');
  }
  assert.fail('a key that nobody knows is taken');
}

interface Row {
  readonly keys: readonly string[];
  readonly ofService: boolean;
  /** Empty where the key has no default, or one in words. */
  readonly value: string;
}

const [, table] = CURRENT_PAGES.find(({ path }) => path === 'README.md')!.text.split('\n## Configuration\n');
const rows: readonly Row[] = [...table.matchAll(/^\| `([^`]+)` \| (.*?) \|/gm)].map(([, keys, value]) => ({
  keys: keys.replace('services[].', '').replace('[]', '').split(', '),
  ofService: keys.startsWith('services[].'),
  value: /^`(.*)`$|^(\d+)$/.exec(value)?.slice(1).join('') ?? '',
}));

test("README's table has a row for each key", () => {
  const listed = (ofService: boolean) => rows.filter((row) => row.ofService === ofService).flatMap(({ keys }) => keys);
  const ofFile = keysKnown({ nobody: 1 }).filter((key) => key !== 'services');
  assert.deepEqual(listed(false).toSorted(), ofFile.toSorted());
  assert.deepEqual(listed(true).toSorted(), keysKnown({}, { nobody: 1 }).toSorted());
});

test('the defaults are those of the table', () => {
  const compared = rows.filter(({ value }) => value !== '');
  assert.ok(compared.length > 20);
  for (const { keys, ofService, value } of compared) {
    const [key] = keys;
    const written = { [key]: parse(value.replace('INTERFACE', 'eth0')) };
    // What is asked for nowhere but with an encapsulation of its own.
    const service: Mapping = key === 'gue' ? { encap: 'gue' } : {};
    const [file, its] = ofService ? [{}, { ...service, ...written }] : [written, service];
    assert.deepEqual(parsed(file, its), parsed({}, service), key);
  }
});

test('every example of a configuration is one that hushlb takes', () => {
  const examples = CURRENT_PAGES.flatMap(({ path, text }) => blocksOf(text, 'yaml').map((block) => ({ path, block })));
  assert.ok(examples.length > 4);
  for (const { path, block } of examples) {
    const { services = [], health, ...keys } = parse(block);
    if (health !== undefined) parsed({}, { health });
    else if (services.length === 0) parsed(keys);
    else for (const service of services) assert.doesNotThrow(() => parsed(keys, service), `${path}: ${block}`);
  }
});
