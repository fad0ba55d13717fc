/** `hushlb table` as a user runs it: its text at several widths, its JSON against hashing. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { buildLookupTable } from '../../hashing/lookup-table.ts';
import { CONFIGURATION, hushlb, temporaryFolder } from './command.ts';

const folder = temporaryFolder();
after(() => folder.remove());

const file = folder.write('hushlb.yaml', CONFIGURATION);

interface ShownTable {
  name: string;
  tableSize: number;
  fingerprint: string;
  backends: string[];
  entries: number[];
}

async function tablesOf(...args: string[]): Promise<ShownTable[]> {
  const { code, stdout, stderr } = await hushlb(['table', '--json', ...args]);
  assert.deepEqual({ code, stderr }, { code: 0, stderr: '' });
  const document = JSON.parse(stdout);
  assert.deepEqual(Object.keys(document), ['services']);
  return document.services;
}

function expected(name: string, tableSize: number, backends: { name: string; weight: number }[]): ShownTable {
  const table = buildLookupTable(backends, tableSize);
  return {
    name,
    tableSize,
    fingerprint: table.fingerprint,
    backends: [...table.backends],
    entries: Array.from(table.entries),
  };
}

const WEB = expected('web', 65537, [
  { name: 'b1', weight: 1 },
  { name: 'b2', weight: 3 },
]);
const API = expected('api', 251, [{ name: 'only', weight: 1 }]);

test('--json is the tables of hashing, without draining backends', async () => {
  assert.deepEqual(await tablesOf('-c', file), [WEB, API]);
  assert.deepEqual(WEB.backends, ['b1', 'b2']);
  assert.equal(WEB.entries.length, 65537);
});

test('--service picks one; an unknown one is an error that names the known', async () => {
  assert.deepEqual(await tablesOf('-c', file, '--service', 'api'), [API]);
  assert.deepEqual(await hushlb(['table', '-c', file, '-s', 'wb']), {
    code: 1,
    stdout: '',
    stderr: `hushlb: ${file} has no service named "wb": it has web, api\n`,
  });
});

test("the order of a file's backends does not matter, their names do", async () => {
  const lines = CONFIGURATION.split('\n');
  const [first, second] = lines.splice(7, 2);
  lines.splice(7, 0, second, first);
  const [web] = await tablesOf('-s', 'web', '-c', folder.write('swapped.yaml', lines.join('\n')));
  assert.deepEqual(web, WEB);
  const [renamed] = await tablesOf('-s', 'web', '-c', folder.write('renamed.yaml', CONFIGURATION.replace('b1', 'b7')));
  assert.notEqual(renamed.fingerprint, WEB.fingerprint);
});

test('a service whose backends all drain has slots that lead nowhere', async () => {
  const drained = folder.write(
    'drained.yaml',
    CONFIGURATION.replace('{ name: only,', '{ state: draining, name: only,'),
  );
  const [api] = await tablesOf('-s', 'api', '-c', drained);
  assert.deepEqual(api.backends, []);
  assert.deepEqual(api.entries, new Array(251).fill(-1));
  const { code, stdout } = await hushlb(['table', '-s', 'api', '-c', drained]);
  assert.equal(code, 0);
  assert.match(stdout, /only +│ +1 │ +0 │ draining/);
});

test('the terminal table counts each slot once', async () => {
  const { code, stdout, stderr } = await hushlb(['table', '-c', file]);
  assert.deepEqual({ code, stderr }, { code: 0, stderr: '' });
  const rows = new Map(
    stdout
      .split('\n')
      .map((line) => line.split('│').map((cell) => cell.trim()))
      .filter((cells) => cells.length === 7)
      .map(([, name, weight, slots, share, fair]) => [name, { weight, slots, share, fair }]),
  );
  const slots = (index: number) => String(WEB.entries.filter((entry) => entry === index).length);
  const share = (index: number) => `${((Number(slots(index)) / 65537) * 100).toFixed(2)} %`;
  assert.deepEqual(rows.get('b1'), { weight: '1', slots: slots(0), share: share(0), fair: '25.00 %' });
  assert.deepEqual(rows.get('b2'), { weight: '3', slots: slots(1), share: share(1), fair: '75.00 %' });
  assert.deepEqual(rows.get('b0'), { weight: '1', slots: '0', share: 'draining', fair: '' });
  assert.deepEqual(rows.get('only'), { weight: '1', slots: '251', share: '100.00 %', fair: '100.00 %' });
  assert.match(stdout, /^web {2}198\.18\.10\.1 tcp port 80$/m);
  assert.match(stdout, new RegExp(`^65537 slots {2}imbalance 1\\.0\\d{3} {2}fingerprint ${WEB.fingerprint}$`, 'm'));
  assert.match(stdout, new RegExp(`^251 slots {2}imbalance 1\\.0000 {2}fingerprint ${API.fingerprint}$`, 'm'));
});

test('a service is named with its VIP, protocol and ports', async () => {
  const of = async (settings: string) => {
    const service = `{ name: a, tableSize: 7, backends: [{ name: b, address: 198.18.0.1 }], ${settings} }`;
    return (await hushlb(['table', '-c', folder.write('a.yaml', `interface: e\nservices: [${service}]`)])).stdout;
  };
  assert.match(await of('vip: 2001:db8::0:1, protocol: udp, port: 53'), /^a {2}2001:db8::1 udp port 53\n/);
  assert.match(await of('vip: 198.18.10.1, port: 1-99'), /^a {2}198\.18\.10\.1 tcp ports 1-99\n/);
  assert.match(await of('vip: 198.18.10.1, port: all'), /^a {2}198\.18\.10\.1 tcp all ports\n/);
});

test('it keeps to 80 and 40 columns, whatever the names and numbers', async () => {
  const long = 'x'.repeat(63);
  const wide = folder.write(
    'wide.yaml',
    CONFIGURATION.replace('name: web', `name: ${long}\n    tableSize: 5000011`).replace('name: b2', `name: ${long}`),
  );
  for (const [columns, width] of [
    [undefined, 80],
    ['80', 80],
    ['40', 40],
    ['12', 40],
  ] as const) {
    const { code, stdout } = await hushlb(['table', '-c', wide], columns === undefined ? {} : { COLUMNS: columns });
    assert.equal(code, 0);
    for (const line of stdout.split('\n')) assert.ok([...line].length <= width, `${width}: ${line}`);
    assert.match(stdout, /x…/);
  }
});

test('round-robin has a table that is not in use', async () => {
  const { stdout } = await hushlb([
    'table',
    '-c',
    folder.write('rr.yaml', CONFIGURATION.replace('name: web', 'name: web\n    scheduler: round-robin')),
  ]);
  assert.equal(stdout.match(/not in use: {2}the scheduler is round-robin/g)?.length, 1);
});

test('a thousand backends take no time to speak of', async () => {
  const backends = Array.from({ length: 1000 }, (_, i) => `{ name: b${i}, address: 10.0.${i >> 8}.${i & 255} }`);
  const many = folder.write(
    'many.yaml',
    `interface: eth0\nservices: [{ name: web, vip: 198.18.10.1, port: 80, tableSize: 100003, backends: [${backends}] }]`,
  );
  // It would be ended for its time, without an exit code.
  const { code, stdout } = await hushlb(['table', '-c', many]);
  assert.equal(code, 0);
  assert.equal(stdout.match(/│ b\d+ /g)?.length, 1000);
});
