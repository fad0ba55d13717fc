/** The lookup tables that a start or a reload has built on threads are those that the main thread would build. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MAX_TABLE_SIZE } from '../../hashing/lookup-table.ts';
import { parseConfig } from '../../lb/config-file.ts';
import { prepare, prepareNext, ROOM_FOR_CHANGES, tablesWanted } from '../../lb/prepare.ts';
import { lookupTableOf } from '../../lb/service-table.ts';
import { buildTables } from '../../lb/table-threads.ts';

/** Services that differ: in their number of backends, in weights, and one in four has a backend that drains. */
function configOf(count: number, weight = 1) {
  const services = Array.from({ length: count }, (_, i) => {
    const backends = Array.from({ length: 2 + (i % 3) }, (_, j) => {
      const state = i % 4 === 0 && j === 0 ? 'draining' : 'active';
      return `{ name: b${j}, address: 198.18.${128 + (i >> 6)}.${4 * (i & 63) + j}, weight: ${weight + j}, state: ${state} }`;
    });
    return `  - { name: s${i}, vip: 198.18.10.1, port: ${1 + i}, backends: [${backends}] }\n`;
  });
  return parseConfig(`interface: eth0\nhashSeed: 7\nservices:\n${services.join('')}`, 'test').config;
}

const configured = configOf(150);

test('a start: several threads build every table, each as one would', async () => {
  const tables = await buildTables(tablesWanted(configured), undefined, 3);
  assert.deepEqual([...tables.keys()].sort(), configured.services.map(({ name }) => name).sort());
  for (const service of configured.services) assert.deepEqual(tables.get(service.name), lookupTableOf(service));
});

test('a reload: what changes is built, of the backends that are up, and taken over as it is', async () => {
  const before = prepare(configured, ROOM_FOR_CHANGES);
  assert.deepEqual(tablesWanted(configured, before), []);

  const down = new Set(['s1/b1']);
  assert.deepEqual(tablesWanted(configured, before, down), [
    {
      service: 's1',
      backends: [
        { name: 'b0', weight: 1 },
        { name: 'b2', weight: 3 },
      ],
      tableSize: 65_537,
    },
  ]);

  const next = configOf(150, 5);
  const tables = await buildTables(tablesWanted(next, before, down), undefined, 2);
  assert.equal(tables.size, 150);
  const after = prepareNext(next, before, 0, down, tables);
  assert.deepEqual(after, prepareNext(next, before, 0, down));
  for (const [i, { name }] of next.services.entries()) assert.equal(after.tables[i].entries, tables.get(name)?.entries);
});

test('what is missing is built', async () => {
  const tables = new Map(await buildTables(tablesWanted(configured), undefined, 2));
  tables.delete('s0');
  const prepared = prepare(configured, ROOM_FOR_CHANGES, tables);
  assert.deepEqual(prepared, prepare(configured, ROOM_FOR_CHANGES));
});

test('a few tables are not worth a thread; one large one is', async () => {
  assert.equal((await buildTables(tablesWanted(configured).slice(0, 49), undefined, 8)).size, 0);
  const [order] = tablesWanted(configured);
  assert.equal((await buildTables([{ ...order, tableSize: MAX_TABLE_SIZE }], undefined, 8)).size, 1);
});

test('a thread that fails: nothing of it, and no error', async () => {
  const [order, ...others] = tablesWanted(configured);
  const twice = { ...order, backends: [...order.backends, ...order.backends] };
  const tables = await buildTables([twice, ...others.slice(0, 99)], undefined, 2);
  assert.equal(tables.size, 50);
});

test('the balancer stops meanwhile: given up at once', async () => {
  const orders = tablesWanted(configured);
  const stop = new AbortController();
  const building = buildTables(orders, stop.signal, 2);
  stop.abort();
  await assert.rejects(building, { name: 'AbortError' });
  await assert.rejects(buildTables(orders, stop.signal, 2), { name: 'AbortError' });
});
