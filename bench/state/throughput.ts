/**
 * Packets a second through each balancer of case `stateful-stateless`, at overload: 64-byte frames of flows that its table
 * knows, to a sink in place of the backends. Called between events.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { interleave, type RoundLimits } from '../rounds.ts';
import { BEGINNING } from './events.ts';
import { SINK } from './network.ts';
import type { Actor, Stage } from './stage.ts';

export interface ThroughputPlan {
  readonly flows: number;
  /** Sent a round. */
  readonly packets: number;
  readonly rounds: RoundLimits;
}

/** What a balancer's receive ring holds: of so many at once none is lost, so that every flow is opened. */
const BURST = 2048;
/** For the last packets to arrive. */
const DRAIN_MS = 20;

/** Millions a second, a value a round, in the order of the stage's actors. */
export async function measureThroughput(stage: Stage, { flows, packets, rounds }: ThroughputPlan): Promise<number[][]> {
  const { actors } = stage;
  await Promise.all(actors.map(({ subject }) => subject.configure({ ...BEGINNING, backends: [SINK] })));
  // The flood is forgotten: nf_conntrack's table is full of it.
  await Promise.all(actors.map(({ subject }) => (subject.key === 'nat' ? subject.restart() : undefined)));
  for (const actor of actors) await openFlows(stage, actor, flows);
  return await interleave(actors, rounds, async (actor: Actor) => {
    await sleep(DRAIN_MS);
    const before = stage.arrived();
    const seconds = await stage.send(actor, { kind: 'traffic', flows, packets });
    await sleep(DRAIN_MS);
    return (stage.arrived() - before) / seconds / 1e6;
  });
}

async function openFlows(stage: Stage, actor: Actor, flows: number): Promise<void> {
  // nf_conntrack takes up a flow by its ACK; after a SYN without an answer it would call the ACK invalid.
  const kind = actor.subject.key === 'nat' ? 'traffic' : 'open';
  for (let sent = 0; sent < flows; sent += BURST) {
    await stage.send(actor, { kind, flows, packets: BURST });
    await sleep(DRAIN_MS);
  }
}
