/** Reloads that are asked for: in turn, and each end in the log. */
import assert from 'node:assert/strict';
import { Writable } from 'node:stream';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { pino } from 'pino';
import { parseConfig } from '../../lb/config-file.ts';
import { HushlbError } from '../../lb/errors.ts';
import { ReloadRefused, type ReloadReport } from '../../lb/reload.ts';
import { takeReloadRequests } from '../../lb/reload-requests.ts';

const CHECKED = parseConfig(
  `interface: eth0
mode: stateful
services: [{ name: web, vip: 198.18.10.1, port: 80, backends: [{ name: b1, address: 198.18.2.1 }] }]`,
  'requests',
);
const REPORT: ReloadReport = { generation: 7, added: ['web/b2'], removed: [], changed: [], moved: { web: 0.5 } };

function setUp(read = () => CHECKED) {
  const log: Record<string, unknown>[] = [];
  const sink = new Writable({
    write(chunk, _encoding, done) {
      log.push(JSON.parse(String(chunk)));
      done();
    },
  });
  const applied: { signal: AbortSignal; end(result: ReloadReport | Error): void }[] = [];
  const requests = takeReloadRequests({
    readConfig: read,
    logger: pino(sink),
    apply: (_config, signal) =>
      new Promise((resolve, reject) => {
        applied.push({ signal, end: (result) => (result instanceof Error ? reject(result) : resolve(result)) });
      }),
  });
  return { log, applied, requests };
}

test('one at a time; many requests meanwhile are one more, with the file as it is then', async () => {
  let reads = 0;
  const { applied, requests, log } = setUp(() => {
    reads++;
    return CHECKED;
  });
  for (let i = 0; i < 5; i++) requests.request();
  await turn();
  assert.equal(applied.length, 1);
  assert.equal(reads, 1);
  applied[0].end(REPORT);
  await turn();
  assert.equal(applied.length, 2, 'the other four came after the file was read');
  assert.equal(reads, 2);
  applied[1].end(REPORT);
  await turn();
  assert.equal(applied.length, 2);
  assert.equal(log.filter(({ msg }) => msg === 'reloaded').length, 2);
});

test('the log: warnings of the file, then what changed', async () => {
  const { applied, requests, log } = setUp();
  requests.request();
  await turn();
  applied[0].end(REPORT);
  await turn();
  const [warning, reloaded] = log;
  assert.deepEqual([warning.level, warning.path], [40, 'mode']);
  const { level, msg, generation, added, removed, changed, moved } = reloaded;
  assert.deepEqual({ level, msg }, { level: 30, msg: 'reloaded' });
  assert.deepEqual({ generation, added, removed, changed, moved }, REPORT);
});

test('refusals: a line for each problem, and the next request is heard', async () => {
  const { applied, requests, log } = setUp();
  const problems = async (error: Error): Promise<unknown[]> => {
    const before = log.length;
    requests.request();
    await turn();
    applied.at(-1)?.end(error);
    await turn();
    const lines = log.slice(before);
    assert.ok(lines.every(({ level, msg }) => level === 50 && msg === 'reload refused, nothing changed'));
    return lines.map(({ problem }) => problem);
  };
  assert.deepEqual(await problems(new ReloadRefused(['one', 'two'])), ['one', 'two']);
  assert.deepEqual(await problems(new HushlbError('PLACES_EXHAUSTED', 'no room')), ['no room']);
  const [bug] = await problems(new TypeError('a bug'));
  assert.match(String(bug), /TypeError: a bug\n +at /, 'a bug keeps its stack');
});

test('a file that cannot be read is not applied', async () => {
  const { applied, requests, log } = setUp(() => parseConfig('interface: eth0\nmode: 7', 'bad.yaml'));
  requests.request();
  await turn();
  assert.equal(applied.length, 0);
  assert.deepEqual(
    log.map(({ problem }) => String(problem).replace(/ \(line.*/, '')),
    [
      'bad.yaml: services: expected a list of services, got nothing',
      'bad.yaml: mode: expected one of stateless, stateful, got 7',
    ],
  );
});

test('closed: what is under way is given up without a word, and nothing is heard any more', async () => {
  const { applied, requests, log } = setUp();
  requests.request();
  await turn();
  const closed = requests.close();
  assert.ok(applied[0].signal.aborted);
  applied[0].end(applied[0].signal.reason as Error);
  await closed;
  requests.request();
  await turn();
  assert.equal(applied.length, 1);
  assert.deepEqual(log, []);
});
