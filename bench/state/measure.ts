/**
 * Case `stateful-stateless` from beginning to end, by a plan: events, then throughput, as far as there is time. What it returns
 * is told by state/results.ts.
 */
import { readFileSync } from 'node:fs';
import type { CaseContext } from '../case.ts';
import { BEGINNING, eventsWith, FLOODS, measureEvent, type Outcome, type StateEvent } from './events.ts';
import { openStage, type Stage } from './stage.ts';
import type { SubjectKey } from './subject.ts';
import { measureThroughput } from './throughput.ts';

export interface StatePlan {
  /** Of each subject, for each event but the floods. */
  readonly connections: number;
  readonly flood: { readonly connections: number; readonly syns: number; readonly seconds: number };
  /** Connections that hushlb's tables have room for: a quarter of the flood. */
  readonly capacity: number;
  /** `seconds`: with less left it is left out. */
  readonly throughput: {
    readonly flows: number;
    readonly packets: number;
    readonly atMost: number;
    readonly seconds: number;
  };
}

/** A flood's connections are opened and used again within that, for one subject. */
const AROUND_A_FLOOD_S = 0.5;
const SHORTEST_FLOOD_S = 0.5;

export interface StateResult {
  readonly plan: StatePlan;
  readonly keys: readonly SubjectKey[];
  /** Of the events, those that there was time for. */
  readonly events: readonly StateEvent[];
  readonly leftOut: readonly StateEvent[];
  readonly outcomes: readonly Outcome[];
  /** Millions of packets a second by the place of the subject; undefined where there was no time. */
  readonly mpps: readonly (readonly number[])[] | undefined;
  /** The machine's nf_conntrack_max; undefined where it has none. */
  readonly natCapacity: number | undefined;
}

export async function measureState(
  keys: readonly SubjectKey[],
  plan: StatePlan,
  context: Pick<CaseContext, 'progress' | 'secondsLeft'>,
): Promise<StateResult> {
  context.progress('building the network');
  const stage = await openStage(keys, BEGINNING, plan.capacity);
  try {
    // Whatever ends too early ends the case.
    return await Promise.race([measureOn(stage, keys, plan, context), stage.broken]);
  } finally {
    await stage.close();
  }
}

async function measureOn(
  stage: Stage,
  keys: readonly SubjectKey[],
  plan: StatePlan,
  { progress, secondsLeft }: Pick<CaseContext, 'progress' | 'secondsLeft'>,
): Promise<StateResult> {
  const events: StateEvent[] = [];
  const leftOut: StateEvent[] = [];
  const outcomes: Outcome[] = [];
  let floodsLeft = FLOODS.length * keys.length;
  const floodsSeconds = floodsLeft * (plan.flood.seconds / 2 + AROUND_A_FLOOD_S);
  const seconds = (): number => {
    const share = (secondsLeft() - plan.throughput.seconds) / floodsLeft-- - AROUND_A_FLOOD_S;
    return Math.max(SHORTEST_FLOOD_S, Math.min(plan.flood.seconds, share));
  };
  for (const event of eventsWith({ syns: plan.flood.syns, seconds })) {
    // The floods come last, and are worth more than the others: half of the time that they may take is kept for them.
    if (event.alone !== true && secondsLeft() < floodsSeconds) {
      leftOut.push(event);
      continue;
    }
    progress(event.name);
    const { connections } = event.alone === true ? plan.flood : plan;
    outcomes.push(...(await measureEvent(event, stage, connections)));
    events.push(event);
  }
  let mpps: number[][] | undefined;
  const { flows, packets, atMost, seconds: needed } = plan.throughput;
  if (secondsLeft() > needed) {
    progress('throughput');
    const rounds = { atLeast: 1, atMost, hasTime: () => secondsLeft() > needed / 3 };
    mpps = await measureThroughput(stage, { flows, packets, rounds });
  }
  return { plan, keys, events, leftOut, outcomes, mpps, natCapacity: readNatCapacity() };
}

/** It holds in each network namespace, and can be set in none but the machine's own. */
function readNatCapacity(): number | undefined {
  try {
    return Number(readFileSync('/proc/sys/net/netfilter/nf_conntrack_max', 'utf8'));
  } catch {
    return undefined;
  }
}
