/** Changes of a running balancer: what is taken over, noted, saved, refused and said. Packets: down.test.ts, reload.test.ts. */
import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { after, beforeEach, describe, test } from 'node:test';
import { pino } from 'pino';
import { createTally, type TallyKeeper } from '../../lb/change-tally.ts';
import { parseConfig } from '../../lb/config-file.ts';
import { ConfigError } from '../../lb/config-problems.ts';
import { type ControlPlane, createControlPlane } from '../../lb/control-plane.ts';
import { createEventLog } from '../../lb/events.ts';
import { buildForwardingState } from '../../lb/forwarding-state.ts';
import { uncheckedHealth } from '../../lb/health-view.ts';
import { prepare, ROOM_FOR_CHANGES } from '../../lb/prepare.ts';
import type { DeviceFacts, Running } from '../../lb/running.ts';
import { saveFile } from '../../lb/save.ts';
import { takeUnsaved } from '../../lb/unsaved.ts';
import { allocateCounters } from '../../metrics/counters.ts';

const TEXT = `interface: eth0 # of the lab
services:
  - name: web
    vip: 198.18.10.1
    port: 80
    backends:
      - { name: b1, address: 198.18.2.1 }
      - { name: b2, address: 198.18.2.2 }
`;

const directory = mkdtempSync(join(tmpdir(), 'hushlb-test-'));
const file = join(directory, 'hushlb.yaml');
const note = join(directory, 'eth0.sock.unsaved');
after(() => rmSync(directory, { recursive: true }));

/** The parts of a daemon that change, with a network in which every backend has a neighbour and workers that obey. */
function runningParts(): Running {
  const { config } = parseConfig(TEXT, file);
  const prepared = prepare(config, ROOM_FOR_CHANGES);
  const ownMac = Uint8Array.of(2, 0, 0, 0, 0, 1);
  const hop = { mac: ownMac, source: Uint8Array.of(198, 18, 2, 10), mtu: 1500 };
  const hops = {
    way: () => ({ kind: 'hop' as const, hop, via: '198.18.2.1', fixed: true }),
    hopOf: () => hop,
    follow() {},
    through() {},
    close() {},
  };
  return {
    prepared,
    state: buildForwardingState({ prepared, ownMac, hopOf: hops.hopOf, generation: 1 }),
    ownMac,
    hops,
    steering: { setServices() {}, counters: () => ({ toSocket: 0, otherPort: 0, noSocket: 0 }) },
    workers: { behind: () => [], publish() {} } as unknown as Running['workers'],
    counters: [allocateCounters(prepared.layout)],
  };
}

let log: Record<string, unknown>[] = [];
let control: ControlPlane;
let tallies: TallyKeeper;

function open(): readonly string[] {
  log = [];
  const sink = new Writable({
    write(chunk, _encoding, done) {
      log.push(JSON.parse(String(chunk)));
      done();
    },
  });
  const { before, unsaved, forget } = takeUnsaved(note);
  forget();
  tallies = createTally();
  const readConfig = () => parseConfig(readFileSync(file, 'utf8'), file);
  control = createControlPlane({
    running: runningParts(),
    device: {} as DeviceFacts,
    checked: readConfig(),
    file,
    readConfig,
    unsaved,
    events: createEventLog(),
    health: uncheckedHealth(new Date(0)),
    tallies,
    logger: pino(sink),
  });
  return before;
}

const drain = (backend: string) => control.change({ kind: 'drain', service: 'web', backend }, 'a test');
const reload = () => control.change({ kind: 'reload' }, 'SIGHUP');
const states = () => control.parts.prepared.config.services[0].backends.map(({ state }) => state);
const counted = (): [string, number][] =>
  tallies.tally.counts.flatMap(({ kind, result, count }): [string, number][] =>
    count === 0 ? [] : [[`${kind} ${result}`, count]],
  );
const logged = (msg: string) => log.filter((line) => line.msg === msg);

describe('a change at run time', () => {
  beforeEach(() => {
    rmSync(note, { force: true });
    writeFileSync(file, TEXT);
    open();
  });

  test('runs, is in the text and in the log and among the events under one id, and not in the file', async () => {
    const report = await drain('b2');
    assert.deepEqual(states(), ['active', 'draining']);
    assert.deepEqual(
      { change: report.change, changed: report.changed, moved: report.moved, unsaved: report.unsaved },
      { change: 'drain web b2', changed: ['web/b2'], moved: { web: report.moved.web }, unsaved: ['drain web b2'] },
    );
    assert.ok(report.moved.web > 0.45 && report.moved.web < 0.55, `${report.moved.web}`);
    assert.match(control.text(), /b2, address: 198\.18\.2\.2, state: draining \}/);
    assert.equal(readFileSync(file, 'utf8'), TEXT);
    const [line] = logged('changed');
    assert.deepEqual([line.id, line.by, line.change], [report.id, 'a test', 'drain web b2']);
    const [event] = control.events.recent(1);
    assert.deepEqual([event.kind, event.id], ['change', report.id]);
    assert.equal(event.reason, `drain web b2 by a test, generation ${report.generation}`);
  });

  test('that breaks a rule of files is refused with its problems, and changes nothing', async () => {
    const before = control.text();
    await assert.rejects(
      control.change({ kind: 'weight', service: 'web', backend: 'b1', weight: 0 }, 'a test'),
      (error) => error instanceof ConfigError && /services\[0\]\.backends\[0\]\.weight: expected/.test(error.message),
    );
    await control.change({ kind: 'remove', service: 'web', backend: 'b1' }, 'a test');
    await assert.rejects(control.change({ kind: 'remove', service: 'web', backend: 'b2' }, 'a test'), ConfigError);
    assert.equal(logged('change refused, nothing changed').length, 2);
    assert.equal(control.parts.prepared.config.services[0].backends.length, 1);
    assert.notEqual(control.text(), before);
    assert.deepEqual(control.unsaved(), ['remove web b1']);
    assert.equal(control.events.recent(1)[0].kind, 'refused');
    assert.deepEqual(counted(), [
      ['runtime applied', 1],
      ['runtime refused', 2],
    ]);
  });

  test('and what only a restart can change is refused as by a reload', async () => {
    writeFileSync(file, TEXT.replace('eth0', 'eth1'));
    await assert.rejects(reload(), /interface: eth0 runs, the file says eth1: restart hushlb to change it/);
    assert.deepEqual(
      logged('reload refused, nothing changed').map(({ problem }) => problem),
      ['interface: eth0 runs, the file says eth1: restart hushlb to change it'],
    );
  });

  test('whoever asked is told what has come into force, until he leaves', async () => {
    const told: boolean[] = [];
    const leave = control.onInForce(({ watch }) => told.push(watch));
    writeFileSync(file, `${TEXT}watch: true\n`);
    await reload();
    writeFileSync(file, TEXT.replace('eth0', 'eth1'));
    await assert.rejects(reload());
    await drain('b2');
    assert.deepEqual(told, [true, true]);
    assert.deepEqual(counted(), [
      ['reload applied', 1],
      ['reload refused', 1],
      ['runtime applied', 1],
    ]);
    leave();
    writeFileSync(file, TEXT);
    await reload();
    assert.deepEqual(told, [true, true]);
  });

  test('a reload undoes it, and says so', async () => {
    const { id } = await drain('b2');
    const report = await reload();
    assert.notEqual(report.id, id);
    assert.deepEqual(states(), ['active', 'active']);
    assert.deepEqual(report.lost, ['drain web b2']);
    assert.deepEqual(control.unsaved(), []);
    assert.deepEqual(
      log.flatMap(({ lost, level }) => (typeof lost === 'string' ? [[lost, level]] : [])),
      [['drain web b2', 40]],
    );
  });

  test('the next start says what was never saved, once', async () => {
    await drain('b2');
    await control.change({ kind: 'mode', mode: 'stateful' }, 'a test');
    assert.deepEqual(open(), ['drain web b2', 'mode stateful']);
    assert.deepEqual(open(), []);
  });
});

describe('save', () => {
  beforeEach(() => {
    rmSync(note, { force: true });
    writeFileSync(file, TEXT);
    chmodSync(file, 0o640);
    open();
  });

  test('writes what runs with its comments and the rights of the file, and nothing is unsaved then', async () => {
    await drain('b2');
    assert.deepEqual(await control.save('a test'), { file, changes: ['drain web b2'] });
    assert.equal(readFileSync(file, 'utf8'), control.text());
    assert.match(readFileSync(file, 'utf8'), /^interface: eth0 # of the lab\n/);
    assert.equal(statSync(file).mode & 0o777, 0o640);
    assert.deepEqual(control.unsaved(), []);
    assert.deepEqual(readdirSync(directory), ['hushlb.yaml']);
    const { lost, moved } = await reload();
    assert.deepEqual({ lost, moved }, { lost: [], moved: {} });
    assert.deepEqual(open(), []);
  });

  test('does not overwrite what somebody wrote meanwhile', async () => {
    await drain('b1');
    writeFileSync(file, `${TEXT}# mine\n`);
    await assert.rejects(control.save('a test'), {
      code: 'SAVE_REFUSED',
      message: `${file} was edited since hushlb read it: hushlb reload takes it over, hushlb save --to FILE writes beside it`,
    });
    assert.equal(readFileSync(file, 'utf8'), `${TEXT}# mine\n`);
    assert.deepEqual(control.unsaved(), ['drain web b1']);
  });

  test('where nothing can be written one line says so, and nothing is left behind', () => {
    const missing = join(directory, 'missing', 'hushlb.yaml');
    assert.throws(() => saveFile(missing, TEXT, null), {
      code: 'SAVE_FAILED',
      message: `${missing} cannot be written (ENOENT): nothing was saved`,
    });
    assert.deepEqual(readdirSync(directory), ['hushlb.yaml']);
  });
});

test('news of health are taken over without a change of the text', async () => {
  writeFileSync(file, TEXT);
  open();
  const before = control.text();
  await control.setDown(new Set(['web/b1']));
  assert.deepEqual(control.parts.prepared.tables[0].serving, ['b2']);
  await drain('b2');
  assert.deepEqual(control.parts.prepared.tables[0].serving, ['b1'], 'the only active one, though it is down');
  await control.setDown(new Set());
  assert.deepEqual(control.parts.prepared.tables[0].serving, ['b1']);
  assert.notEqual(control.text(), before);
  await control.close();
  await assert.rejects(drain('b1'), { name: 'AbortError' });
});
