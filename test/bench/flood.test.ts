/**
 * A flood on the wire: of 1,000 connections between real kernels none is lost while the kernel's generator sends 1,000,000 spoofed
 * SYNs at `hushlb run` as fast as it can, and in their middle a backend is added; nor of those that are opened when the flood has
 * filled the table. Without a table some are. A million taken in: test/lb/flood.test.ts, in virtual time, and the benchmark
 * `stateful-stateless`.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { BEGINNING, measureEvent, type Outcome } from '../../bench/state/events.ts';
import { type Actor, openStage, type Stage } from '../../bench/state/stage.ts';
import type { SubjectKey } from '../../bench/state/subject.ts';
import { needsRoot } from '../io/two-hosts.ts';

const ESTABLISHED = 1000;
const SYNS = 1_000_000;
/** A twentieth of it is established. */
const CAPACITY = 20_000;
/** Tables that a flood fills at least, on whatever machine: most SYNs find no room in the balancer's ring. */
const TABLES = 3;
const PART = 125_000;
/** No source comes twice. */
const SOURCES = 1 << 24;
/** Longer than a busy machine's flood: a connection that was silent for half of it may be pushed out. */
const SETUP = { ...BEGINNING, idleTimeoutMs: 600_000 };

describe('a flood of SYNs, and a backend that is added meanwhile', { skip: needsRoot }, () => {
  let stage: Stage;
  before(async () => {
    stage = await openStage(['stateless', 'no-table'], SETUP, CAPACITY);
  });
  after(() => stage.close());

  async function send(actor: Actor, least: number, leastTaken: number): Promise<void> {
    const { syns } = await actor.subject.counts();
    for (let sent = 0, taken = 0; sent < least || taken < leastTaken; sent += PART) {
      await stage.send(actor, { kind: 'spoofed', flows: SOURCES, packets: PART });
      taken = (await actor.subject.counts()).syns - syns;
    }
  }

  async function underFlood(key: SubjectKey, connections: number, syns: number): Promise<Outcome> {
    const actors = stage.actors.filter(({ subject }) => subject.key === key);
    const half = (actor: Actor): Promise<void> => send(actor, syns / 2, (TABLES * CAPACITY) / 2);
    const event = {
      key: 'flood-added',
      name: 'flood, backend added',
      setup: SETUP,
      alone: true,
      async happen(actor: Actor) {
        await half(actor);
        await Promise.all([half(actor), actor.subject.configure({ ...SETUP, backends: [...SETUP.backends, 'b4'] })]);
      },
    } as const;
    const [outcome] = await Promise.race([measureEvent(event, { ...stage, actors }, connections), stage.broken]);
    return outcome;
  }

  test('1,000,000 SYNs push out none of 1,000 connections', async () => {
    const { connections, lost, errors, counts } = await underFlood('stateless', ESTABLISHED, SYNS);
    assert.deepEqual({ connections, lost, errors }, { connections: ESTABLISHED, lost: 0, errors: {} });
    assert.ok(counts.evicted >= (TABLES - 2) * CAPACITY, `${counts.evicted} pushed out`);
  });

  test('nor of those that are opened when the table is full', async () => {
    const { connections, lost, errors, counts } = await underFlood('stateless', ESTABLISHED, 2 * PART);
    assert.deepEqual({ connections, lost, errors }, { connections: ESTABLISHED, lost: 0, errors: {} });
    assert.equal(counts.refused, 0);
  });

  test('without a table some are lost', async () => {
    // A quarter of 100.
    const { connections, lost } = await underFlood('no-table', 100, 2 * PART);
    assert.equal(connections, 100);
    assert.ok(lost > 0);
  });
});
