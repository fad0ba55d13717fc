/**
 * The commands that show and change a running balancer, end to end: a real daemon in a namespace, real HTTP through it, the
 * command line as a user types it.
 */
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { openClient } from '../../admin/client.ts';
import { type Status, status } from '../../admin/status-schema.ts';
import { type HostProcess, HUSHLB, logMessage, startProcess } from '../../lab/processes.ts';
import { backendAddress, backendNames, VIP } from '../../lab/topology.ts';
import { needsRoot } from '../io/two-hosts.ts';
import { backendYaml, configuration, never, PATIENCE_MS, ready, useLan } from '../lb/lan.ts';
import { hushlb, type Outcome } from './command.ts';

const BACKENDS = backendNames(2);
/** On the network from the start, in the configuration later. */
const ADDED = 'b3';

describe('a running balancer, asked and changed from the command line', { skip: needsRoot }, () => {
  const lan = useLan([...BACKENDS, ADDED]);
  let balancer: HostProcess;
  const lines: string[] = [];

  before(async () => {
    const yaml = configuration(
      BACKENDS.map((name) => backendYaml(name)),
      { top: 'watch: true', service: 'tableSize: 251 # small, for a test' },
    );
    lan.write(yaml);
    balancer = startProcess({
      name: 'the balancer',
      namespace: lan.namespace('lb'),
      command: [process.execPath, HUSHLB, 'run', '-c', lan.file(), '--log-format', 'json'],
      onLine: (line) => lines.push(line),
      onUnexpectedEnd: () => {},
    });
    await ready(balancer);
  });
  after(() => balancer.stop());

  const run = (...args: string[]): Promise<Outcome> => hushlb([...args, '--socket', lan.socket()], { COLUMNS: '160' });

  async function done(...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await run(...args);
    assert.deepEqual([code, stderr], [0, ''], args.join(' '));
    return stdout;
  }

  /** What the commands ask, without a process: where a test wants the state and not the command. */
  const drained = (backend: string): Promise<unknown> =>
    openClient({ socket: lan.socket() }).request('PATCH', `/v1/services/web/backends/${backend}`, {
      state: 'draining',
    });

  async function running(): Promise<Status> {
    return status.parse(await openClient({ socket: lan.socket() }).request('GET', '/v1/status'));
  }

  const served = async (): Promise<Set<string>> => new Set(await lan.ask('client', `http://${VIP}/`, 64));
  const logged = (isIt: (line: string) => boolean): Promise<string> => balancer.waitForLine(isIt, PATIENCE_MS, never);
  const reloads = (): number => lines.filter((line) => logMessage(line) === 'reloaded').length;

  test('drain: no new connections, said in two lines; undrain: as before', async () => {
    const text = await done('drain', 'web', 'b2');
    const [, share, id] =
      /^drain web b2: (\S+) % of web's slots moved, generation \d+, id ([0-9a-f]{8})\nnot saved yet: drain web b2; hushlb save writes it to the file\n$/.exec(
        text,
      ) ?? assert.fail(text);
    // b2 had half of them.
    assert.ok(Math.abs(Number(share) - 50) < 2, share);
    assert.deepEqual(await served(), new Set(['b1']));
    assert.match(
      await logged((line) => logMessage(line) === 'changed'),
      new RegExp(`"id":"${id}","by":"admin socket"`),
    );
    const { problems, lastChange, unsaved, services } = await running();
    assert.deepEqual(unsaved, ['drain web b2']);
    assert.equal(lastChange?.id, id);
    assert.deepEqual(
      problems.map(({ kind }) => kind),
      ['unsaved'],
    );
    assert.deepEqual(
      services[0]!.backends.map(({ name, state, serving, slots }) => [name, state, serving, slots]),
      [
        ['b1', 'active', true, 251],
        ['b2', 'draining', false, 0],
      ],
    );
    assert.ok(services[0]!.backends[0]!.packets > 0);
    assert.match(await done('drain', 'web', 'b2'), /^drain web b2: nothing was different/);
    assert.match(await done('undrain', 'web', 'b2'), /\nthe file has all that runs\n$/);
    assert.deepEqual(await served(), new Set(BACKENDS));
  });

  test('weight, add, remove, scheduler, mode: what they change is what runs', async () => {
    assert.match(await done('weight', 'web', 'b1', '3'), /^weight web b1 3: \S+ % of web's slots moved/);
    assert.match(await done('add', 'web', ADDED, backendAddress(ADDED), '--weight', '2'), /^add web b3 /);
    const [b1, b2, b3] = (await running()).services[0]!.backends;
    assert.deepEqual([b1?.weight, b2?.weight, b3?.weight, b3?.serving], [3, 1, 2, true]);
    for (const [backend, sixths] of [
      [b1, 3],
      [b2, 1],
      [b3, 2],
    ] as const) {
      assert.ok(Math.abs((backend?.share ?? 0) - sixths / 6) < 0.02, `${backend?.name} ${backend?.share}`);
    }
    assert.ok((await served()).has(ADDED));
    const json = JSON.parse(await done('remove', 'web', 'b3', '--json'));
    // Nothing of b3 is left to save.
    assert.deepEqual([json.change, json.removed, json.unsaved], ['remove web b3', ['web/b3'], ['weight web b1 3']]);
    assert.match(
      await done('scheduler', 'web', 'round-robin'),
      /warning: services\[0\]\.scheduler: round-robin is broken/,
    );
    assert.match(await done('mode', 'stateful'), /warning: mode: stateful is broken on purpose/);
    const { mode, services } = await running();
    assert.deepEqual([mode, services[0]!.scheduler, services[0]!.onMiss], ['stateful', 'round-robin', 'reset']);
    assert.match(await done('scheduler', 'web', 'maglev'), /^scheduler web maglev: /);
    assert.match(await done('mode', 'stateless'), /^mode stateless: /);
    assert.deepEqual(await served(), new Set(BACKENDS));
  });

  test('what cannot be done costs a line and changes nothing', async () => {
    const { generation } = await running();
    const cases: [args: string[], line: RegExp][] = [
      [['drain', 'wbe', 'b1'], /^hushlb: there is no service wbe: the configuration that runs has web\n$/],
      [['drain', 'web', 'b9'], /^hushlb: service web has no backend b9: it has b1, b2\n$/],
      [['add', 'web', 'b1', '198.18.2.9'], /^hushlb: service web has a backend b1 already: .*\n$/],
      [['add', 'web', 'b9', 'localhost'], /^hushlb: address: expected a unicast address, .* got "localhost"\n$/],
      [['add', 'web', 'b9', '127.0.0.1'], /^hushlb: address: expected a unicast address, not a loopback one.*\n$/],
      [['status', 'nope'], /^hushlb: there is no service nope: .*\n$/],
    ];
    await Promise.all(
      cases.map(async ([args, line]) => {
        const { code, stdout, stderr } = await run(...args);
        assert.deepEqual([code, stdout], [1, ''], args.join(' '));
        assert.match(stderr, line);
      }),
    );
    assert.equal((await running()).generation, generation);
  });

  test('save keeps comments, --to writes beside, and a restart would find the change', async () => {
    const other = join(dirname(lan.file()), 'other.yaml');
    assert.match(await done('save', '--to', other), /^written to \S+other\.yaml, which the balancer does not read/);
    const written = readFileSync(other, 'utf8');
    assert.match(written, /weight: 3/);
    assert.match(await done('save'), /^saved to \S+hushlb\.yaml: weight web b1 3\n$/);
    assert.equal(readFileSync(lan.file(), 'utf8'), written);
    assert.match(written, /# small, for a test/);
    assert.deepEqual((await running()).unsaved, []);
    assert.match(await done('save'), /^nothing to save: /);
  });

  test('watch: a file that was replaced, and a link that leads elsewhere now, are taken over', async () => {
    const text = readFileSync(lan.file(), 'utf8');
    const directory = dirname(lan.file());
    const replace = (next: string): void => {
      writeFileSync(`${lan.file()}.new`, next);
      renameSync(`${lan.file()}.new`, lan.file());
    };
    const before = reloads();
    replace(text.replace('weight: 3', 'weight: 5'));
    await logged((line) => logMessage(line) === 'reloaded' && reloads() > before);
    assert.equal((await running()).services[0]!.backends[0]!.weight, 5);

    // As Kubernetes does it: hushlb.yaml -> data/hushlb.yaml, data -> one directory, then another.
    const versions = ['one', 'two'].map((name) => join(directory, name));
    for (const [i, version] of versions.entries()) {
      mkdirSync(version);
      writeFileSync(join(version, 'hushlb.yaml'), text.replace('weight: 3', `weight: ${7 + i}`));
    }
    symlinkSync('one', join(directory, 'data'));
    symlinkSync('data/hushlb.yaml', join(directory, 'link'));
    renameSync(join(directory, 'link'), lan.file());
    await logged((line) => logMessage(line) === 'reloaded' && reloads() > before + 1);
    assert.equal((await running()).services[0]!.backends[0]!.weight, 7);
    symlinkSync('two', join(directory, 'data.new'));
    renameSync(join(directory, 'data.new'), join(directory, 'data'));
    await logged((line) => logMessage(line) === 'reloaded' && reloads() > before + 2);
    assert.equal((await running()).services[0]!.backends[0]!.weight, 8);

    const isRefusal = (line: string): boolean => logMessage(line) === 'reload refused, nothing changed';
    replace(text.replace('weight: 3', 'weight: 0'));
    await logged(isRefusal);
    assert.equal((await running()).services[0]!.backends[0]!.weight, 8);
    replace(text);
    await logged((line) => logMessage(line) === 'reloaded' && reloads() > before + 3);
  });

  test('reload undoes what the file never had, and says so; a file that was edited is not saved over', async () => {
    await drained('b1');
    // Without the watch, which would take the edit over at once.
    const text = readFileSync(lan.file(), 'utf8').replace('watch: true', 'watch: false');
    writeFileSync(lan.file(), text);
    await logged((line) => line.includes('"lost":"drain web b1"'));
    await drained('b2');
    writeFileSync(lan.file(), `${text}# by hand\n`);
    const { code, stderr } = await run('save');
    assert.equal(code, 1);
    assert.match(stderr, /^hushlb: \S+ was edited since hushlb read it: hushlb reload takes it over, .*\n$/);
    assert.equal(readFileSync(lan.file(), 'utf8'), `${text}# by hand\n`);
    const reload = await done('reload');
    assert.match(reload, /^reload: changed web\/b2, \S+ % of web's slots moved, generation \d+, id \S+\n/);
    assert.match(reload, /\nthe file did not have, and the reload undid: drain web b2\nthe file has all that runs\n$/);
    writeFileSync(lan.file(), 'nonsense');
    const refused = await run('reload');
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /hushlb\.yaml: .*expected a mapping/);
  });

  test('status fits its terminal, and says first what is wrong', async () => {
    await drained('b1');
    await drained('b2');
    assert.deepEqual(status.parse(JSON.parse(await done('status', 'web', '--json'))).services.length, 1);
    for (const columns of [40, 80]) {
      const { stdout } = await hushlb(['status', '--socket', lan.socket()], { COLUMNS: String(columns) });
      for (const line of stdout.split('\n')) assert.ok([...line].length <= columns, `${columns}: ${line}`);
      const flat = stdout.replace(/\s+/g, ' ');
      assert.match(flat, /^hushlb \S+ on eth0 af-xdp, \w+ XDP stateless up .* error: web: all backends are draining/);
      assert.match(flat, /warning: not saved, a restart would lose it: drain web b1, drain web b2; hushlb save/);
      assert.match(flat, /│ b1 │ .*draining/);
    }
  });
});
