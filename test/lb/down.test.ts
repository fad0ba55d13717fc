/** Backends that health checks found down, as packets meet them: the real forwarder before and after. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { SERVICE_HITS, SERVICE_NON_SYN_MISSES } from '../../metrics/counters.ts';
import { tcpFrame } from '../packets.ts';
import { backendYaml, createRig, type Rig, type RigConfig } from './rig.ts';

const CLIENTS = 90;

function clientFrame(client: number, flags: string): Uint8Array {
  return tcpFrame({ source: `192.0.2.${client + 1}`, sourcePort: 41_000, destination: '198.18.10.1', flags });
}

/** Where each client's packet goes; the exit's name where none left. */
function walkAll(rig: Rig, flags: string): (string | undefined)[] {
  return Array.from({ length: CLIENTS }, (_, client) => {
    const outcome = rig.walk(clientFrame(client, flags));
    return rig.backendOf(outcome) ?? outcome.exit;
  });
}

const of = (before: readonly unknown[], backend: string) =>
  before.flatMap((each, client) => (each === backend ? [client] : []));

describe('a backend that is down', () => {
  test('gets no new connections; its own go where the hash sends them without it, and stay there', () => {
    const rig = createRig();
    const before = walkAll(rig, 'S');
    rig.takeOver({}, 0, ['web/b2']);
    const meanwhile = walkAll(rig, 'A');
    const without = walkAll(createRig({ backends: [backendYaml('b1'), backendYaml('b3')] }), 'S');
    for (const [client, backend] of before.entries()) {
      assert.equal(meanwhile[client], backend === 'b2' ? without[client] : backend);
    }
    assert.ok(of(before, 'b2').length > 10);
    assert.equal(rig.count(SERVICE_NON_SYN_MISSES), of(before, 'b2').length);
    assert.equal(rig.count(SERVICE_HITS), CLIENTS - of(before, 'b2').length);

    rig.takeOver({}, 0, []);
    assert.deepEqual(walkAll(rig, 'A'), meanwhile, 'the table keeps them when it is up again');
  });

  test('keeps its own connections with onDown: keep', () => {
    const keep: RigConfig = { service: 'onDown: keep' };
    const rig = createRig(keep);
    const before = walkAll(rig, 'S');
    rig.takeOver(keep, 0, ['web/b2']);
    assert.deepEqual(walkAll(rig, 'A'), before);
    assert.deepEqual(of(walkAll(rig, 'S'), 'b2'), []);
  });

  test('of another service is no news here', () => {
    const rig = createRig();
    const before = walkAll(rig, 'S');
    rig.takeOver({}, 0, ['api/b2']);
    assert.deepEqual(walkAll(rig, 'S'), before);
  });

  test('takes no turn of round-robin', () => {
    const service = 'scheduler: round-robin';
    const rig = createRig({ service });
    rig.takeOver({ service }, 0, ['web/b1']);
    assert.deepEqual(new Set(walkAll(rig, 'S')), new Set(['b2', 'b3']));
  });

  test('a draining one does not replace it', () => {
    const backends = [backendYaml('b1', 'state: draining'), backendYaml('b2'), backendYaml('b3')];
    const rig = createRig({ backends });
    rig.takeOver({ backends }, 0, ['web/b2']);
    assert.deepEqual(new Set(walkAll(rig, 'S')), new Set(['b3']));
  });
});

describe('all backends down', () => {
  const all = ['web/b1', 'web/b2', 'web/b3'];

  test('allDown: keep forwards by the last table, connections as well', () => {
    const rig = createRig();
    walkAll(rig, 'S');
    rig.takeOver({}, 0, ['web/b1']);
    const last = walkAll(rig, 'S');
    assert.deepEqual(new Set(last), new Set(['b2', 'b3']));
    rig.takeOver({}, 0, all);
    assert.deepEqual(walkAll(rig, 'S'), last);
    assert.deepEqual(walkAll(rig, 'A'), last);
  });

  test('and goes on so when the configuration changes meanwhile', () => {
    const rig = createRig();
    rig.takeOver({}, 0, ['web/b1']);
    rig.takeOver({}, 0, all);
    rig.takeOver({ backends: ['b1', 'b2', 'b3', 'b4'].map((name) => backendYaml(name)) }, 0, [...all, 'web/b4']);
    assert.deepEqual(new Set(walkAll(rig, 'S')), new Set(['b2', 'b3']));
  });

  test('from the start: by the table of them all', () => {
    const rig = createRig();
    const before = walkAll(rig, 'S');
    rig.takeOver({}, 0, all);
    assert.deepEqual(walkAll(rig, 'S'), before);
  });

  test('allDown: drop drops, and forwards again when one is back', () => {
    const service = 'allDown: drop';
    const rig = createRig({ service });
    walkAll(rig, 'S');
    rig.takeOver({ service }, 0, all);
    assert.deepEqual(new Set(walkAll(rig, 'A')), new Set(['drop: no-backend']));
    rig.takeOver({ service }, 0, ['web/b1', 'web/b3']);
    assert.deepEqual(new Set(walkAll(rig, 'A')), new Set(['b2']));
  });
});
