/**
 * Case `stateful-stateless`: the same load through hushlb stateless, with its table and without, hushlb stateful and the
 * kernel's stateful NAT, and the same things happening to all of them: how many of the connections that are open get lost, how
 * many packets pass, how much memory that takes.
 */
import { readFileSync } from 'node:fs';
import type { BenchCase, CaseContext } from '../case.ts';
import { BEGINNING, eventsWith, type FloodPlan, measureEvent, type Outcome, type StateEvent } from '../state/events.ts';
import { presentState } from '../state/present.ts';
import { findKeys, openStage, type Stage } from '../state/stage.ts';
import type { SubjectKey } from '../state/subject.ts';
import { measureThroughput } from '../state/throughput.ts';

export interface StatePlan {
  /** Of each subject, for each event but the flood. */
  readonly connections: number;
  readonly flood: FloodPlan & { readonly connections: number };
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

const FULL: StatePlan = {
  connections: 1000,
  flood: { connections: 1000, syns: 1_000_000, seconds: 18 },
  capacity: 250_000,
  throughput: { flows: 50_000, packets: 500_000, atMost: 9, seconds: 12 },
};
const QUICK: StatePlan = {
  connections: 100,
  flood: { connections: 100, syns: 100_000, seconds: 1 },
  capacity: 25_000,
  throughput: { flows: 4096, packets: 200_000, atMost: 3, seconds: 1.5 },
};
/** A flood's connections are opened and used again within that, for one subject. */
const AROUND_A_FLOOD_S = 0.5;

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

export const statefulStateless: BenchCase = {
  name: 'stateful-stateless',
  title: 'Stateful against stateless',
  about:
    'Keep-alive HTTP connections between real kernels, opened and used once, then used again after something has happened to the ' +
    'balancer: lost is who gets no answer. All balancers stand on one network, with the same backends and as many connections ' +
    'each. Flood: SYNs from as many spoofed sources, made by the kernel, straight onto the balancer’s cable; hushlb’s tables have ' +
    'room for a quarter of them.',
  needsRoot: true,
  seconds: { quick: 14, full: 130 },
  async run(context) {
    return presentState(await measureState(findKeys(), context.quick ? QUICK : FULL, context));
  },
};

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
  const floodsSeconds = keys.length * (plan.flood.seconds + AROUND_A_FLOOD_S);
  for (const event of eventsWith(plan.flood)) {
    // The flood comes last, and is worth more than the others.
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
  const { flows, packets, atMost, seconds } = plan.throughput;
  if (secondsLeft() > seconds) {
    progress('throughput');
    const rounds = { atLeast: 1, atMost, hasTime: () => secondsLeft() > seconds / 3 };
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
