/** `hushlb plan` as a user runs it on two files: what it prints at several widths, its JSON, its exit codes. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, test } from 'node:test';
import { CONFIGURATION, hushlb, temporaryFolder } from './command.ts';

const PAGE = readFileSync(new URL('../../../docs/explain-and-plan.md', import.meta.url), 'utf8');
const folder = temporaryFolder();
after(() => folder.remove());

const old = folder.write('old.yaml', CONFIGURATION);
const lighter = folder.write('lighter.yaml', CONFIGURATION.replace('weight: 3', 'weight: 1'));

test('exit code 0 where nothing moves', async () => {
  const { code, stdout, stderr } = await hushlb(['plan', old, old]);
  assert.deepEqual(
    { code, stdout, stderr },
    { code: 0, stdout: 'nothing moves; 2 services stay the same\n', stderr: '' },
  );
});

test('exit code 2 where something moves, with the load before and after', async () => {
  const { code, stdout, stderr } = await hushlb(['plan', old, lighter]);
  assert.deepEqual({ code, stderr }, { code: 2, stderr: '' });
  assert.match(stdout, /^web {2}198\.18\.10\.1 tcp 80, changed$/m);
  assert.match(stdout, /│ b2 +│ +3 → 1 │ +75\.00 % │ +50\.00 % │ -25\.00 │/);
  assert.match(stdout, /^slots {2}\d+ of 65537 move, \d+\.\d\d %$/m);
  assert.match(stdout, /^break {2}0\.00 % of the connections that have an entry$/m);
  assert.match(stdout, /^something moves; 1 service stays the same$/m);
});

test('a restart is exit code 2 as well, and said', async () => {
  const seeded = folder.write('seeded.yaml', `hashSeed: 9\n${CONFIGURATION}`);
  const { code, stdout } = await hushlb(['plan', old, seeded]);
  assert.equal(code, 2);
  assert.match(stdout, /^setting {2}hashSeed: 0 → 9: needs a restart$/m);
  assert.match(stdout, /^a restart is needed, after which the connection tables are empty/m);
});

test('--json has the same, whole', async () => {
  const { code, stdout } = await hushlb(['plan', old, lighter, '--json']);
  assert.equal(code, 2);
  const plan = JSON.parse(stdout);
  assert.deepEqual(Object.keys(plan), ['moves', 'needsRestart', 'settings', 'services']);
  assert.deepEqual([plan.moves, plan.needsRestart], [true, false]);
  assert.equal(plan.services[0].slots.of, 65537);
});

test('the fields of --json are those that docs/explain-and-plan.md lists', async () => {
  const seeded = folder.write('listed.yaml', `hashSeed: 9\n${CONFIGURATION.replace('weight: 3', 'weight: 1')}`);
  const keys = new Set<string>();
  const collect = (value: unknown): void => {
    if (typeof value !== 'object' || value === null) return;
    if (!Array.isArray(value)) for (const key of Object.keys(value)) keys.add(key);
    Object.values(value).forEach(collect);
  };
  collect(JSON.parse((await hushlb(['plan', old, seeded, '--json'])).stdout));
  const [, block] = PAGE.slice(PAGE.indexOf('`--json` has it as data')).split('```');
  const listed = new Set(block.match(/\w+/g));
  assert.deepEqual(
    [...keys].filter((key) => !listed.has(key)),
    [],
  );
  assert.ok(keys.size > 15);
});

test('whatever goes wrong is exit code 1, wrong arguments too, because 2 means that something moves', async () => {
  const bad = folder.write('bad.yaml', 'interface: eth0\n');
  const cases: [args: string[], line: RegExp][] = [
    [['plan', old, bad], /bad\.yaml: services: expected/],
    [['plan', '/nowhere.yaml', old], /nowhere\.yaml: no such file/],
    [['plan'], /expected more arguments.*; see hushlb plan --help/],
    [['plan', old, lighter, '--bogus'], /unknown option: --bogus; see hushlb plan --help/],
  ];
  for (const [args, line] of cases) {
    const { code, stdout, stderr } = await hushlb(args);
    assert.deepEqual({ code, stdout }, { code: 1, stdout: '' });
    assert.match(stderr, line);
    assert.equal(stderr.trimEnd().split('\n').length, 1, stderr);
  }
});

test('it keeps to 80 and 40 columns, whatever the names', async () => {
  const long = (letter: string) => letter.repeat(60);
  const [before, next] = ['3', '1'].map((weight, i) =>
    folder.write(
      `long-${i}.yaml`,
      CONFIGURATION.replace('weight: 3', `weight: ${weight}`)
        .replace('name: web', `name: ${long('w')}\n    encap: ${i === 0 ? 'ipip' : 'gue'}`)
        .replace('name: b1', `name: ${long('x')}`)
        .replace('name: b2', `name: ${long('y')}`),
    ),
  );
  for (const columns of ['80', '40']) {
    const { code, stdout } = await hushlb(['plan', before, next], { COLUMNS: columns });
    assert.equal(code, 2);
    for (const line of stdout.split('\n')) assert.ok([...line].length <= Number(columns), `${columns}: ${line}`);
  }
});
