/** The lookup tables that a start builds on several threads are those that one thread builds. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseConfig } from '../../lb/config-file.ts';
import { prepare, ROOM_FOR_CHANGES } from '../../lb/prepare.ts';
import { lookupTableOf } from '../../lb/service-table.ts';
import { lookupTablesOf } from '../../lb/table-threads.ts';

/** Services that differ: in their number of backends, in weights, and one in four has a backend that drains. */
function configOf(count: number) {
  const services = Array.from({ length: count }, (_, i) => {
    const backends = Array.from({ length: 2 + (i % 3) }, (_, j) => {
      const state = i % 4 === 0 && j === 0 ? 'draining' : 'active';
      return `{ name: b${i}-${j}, address: 198.18.${128 + (i >> 6)}.${4 * (i & 63) + j}, weight: ${1 + j}, state: ${state} }`;
    });
    return `  - { name: s${i}, vip: 198.18.10.1, port: ${1 + i}, tableSize: 1009, backends: [${backends}] }\n`;
  });
  return parseConfig(`interface: eth0\nhashSeed: 7\nservices:\n${services.join('')}`, 'test').config;
}

test('several threads build every table, each as one would', async () => {
  const config = configOf(160);
  const tables = await lookupTablesOf(config, 3);
  assert.deepEqual([...tables.keys()].sort(), config.services.map(({ name }) => name).sort());
  for (const service of config.services) assert.deepEqual(tables.get(service.name), lookupTableOf(service));
});

test('what is built already is taken, what is missing is built', async () => {
  const config = configOf(120);
  const tables = new Map(await lookupTablesOf(config, 2));
  tables.delete('s0');
  const prepared = prepare(config, ROOM_FOR_CHANGES, tables);
  assert.deepEqual(prepared, prepare(config, ROOM_FOR_CHANGES));
  assert.equal(prepared.tables[5].entries, tables.get('s5')?.entries);
});

test('few services, or a single CPU, are not worth a thread', async () => {
  assert.equal((await lookupTablesOf(configOf(60), 8)).size, 0);
  assert.equal((await lookupTablesOf(configOf(160), 1)).size, 0);
});
