/**
 * What happens to the balancers of case `stateful-stateless` while connections are open, and how many of these are lost by it:
 * opened and used once before, used once more afterwards.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Answer } from '../../lab/http-connection.ts';
import type { Actor, Stage } from './stage.ts';
import type { Counts, Memory, Setup, SubjectKey } from './subject.ts';

export type EventKey = 'nothing' | 'idle' | 'added' | 'removed' | 'restarted' | 'failed-over' | 'flood' | 'flood-added';

export const FLOODS: readonly EventKey[] = ['flood', 'flood-added'];

export interface StateEvent {
  readonly key: EventKey;
  readonly name: string;
  /** In force before connections are opened. */
  readonly setup: Setup;
  /** To one at a time, because it takes all of the machine. */
  readonly alone?: true;
  /** What the balancer counts begins at 0 again. */
  readonly countsAnew?: true;
  happen(actor: Actor, stage: Stage): Promise<void>;
}

export interface FloodPlan {
  /** Spoofed SYNs that the balancer is to take in; what is lost before it is not counted. */
  readonly syns: number;
  /** It ends earlier where that takes longer; asked when a flood begins. */
  seconds(): number;
}

const THREE = ['b1', 'b2', 'b3'];
/** The backend that comes and goes. */
const GUEST = 'b4';
const FOUR = [...THREE, GUEST];
const IDLE_MS = 1000;
/** More than are sent: none comes twice. */
const SPOOFED_SOURCES = 1 << 24;
/** The kernel sends a part at once, then the balancer's counter is read; as few parts as may be, for it rests in between. */
const FIRST_PART = 16_384;
const PART_S = 0.5;
/** Of what is sent, the least that a balancer is expected to take. */
const LEAST_SHARE = 0.05;

/** A quiet worker of hushlb looks at its tables every 100 ms, and only then is what they counted in its metrics. */
const TABLES_READ_MS = 150;

export const BEGINNING: Setup = { backends: THREE, idleTimeoutMs: 60_000 };

/** In the order in which they happen: each leaves the balancers so that the next one can. */
export function eventsWith({ syns, seconds }: FloodPlan): readonly StateEvent[] {
  return [
    { key: 'nothing', name: 'nothing happens', setup: BEGINNING, happen: async () => {} },
    {
      key: 'idle',
      name: 'idle-expired',
      setup: { ...BEGINNING, idleTimeoutMs: IDLE_MS },
      happen: () => sleep(IDLE_MS * 1.25),
    },
    {
      key: 'failed-over',
      name: 'balancer failed over',
      setup: BEGINNING,
      countsAnew: true,
      happen: ({ subject }) => subject.failOver(),
    },
    {
      key: 'added',
      name: 'backend added',
      setup: BEGINNING,
      happen: ({ subject }) => subject.configure({ ...BEGINNING, backends: FOUR }),
    },
    {
      key: 'removed',
      name: 'backend removed',
      setup: { ...BEGINNING, backends: FOUR },
      happen: ({ subject }) => subject.configure(BEGINNING),
    },
    {
      key: 'restarted',
      name: 'balancer restarted',
      setup: BEGINNING,
      countsAnew: true,
      happen: ({ subject }) => subject.restart(),
    },
    {
      key: 'flood',
      name: `flood of ${syns.toLocaleString('en')} SYNs`,
      setup: BEGINNING,
      alone: true,
      happen: (actor, stage) => flood(actor, stage, { syns, seconds }),
    },
    {
      key: 'flood-added',
      name: 'flood, backend added',
      setup: BEGINNING,
      alone: true,
      happen: (actor, stage) =>
        flood(actor, stage, { syns, seconds }, () => actor.subject.configure({ ...BEGINNING, backends: FOUR })),
    },
  ];
}

/** `halfway` begins when half of the SYNs are taken in, or half of the time is over, and the flood goes on until it is done. */
async function flood(
  actor: Actor,
  stage: Stage,
  { syns, seconds }: FloodPlan,
  halfway: () => Promise<void> = async () => {},
): Promise<void> {
  const { subject } = actor;
  const before = (await subject.counts()).syns;
  const start = performance.now();
  const limitMs = seconds() * 1000;
  const elapsedMs = (): number => performance.now() - start;
  let change: Promise<void> | undefined;
  let isChanged = false;
  let taken = 0;
  for (let packets = FIRST_PART; (taken < syns || !isChanged) && elapsedMs() < limitMs; ) {
    const sending = await stage.send(actor, { kind: 'spoofed', flows: SPOOFED_SOURCES, packets });
    const nowTaken = (await subject.counts()).syns - before;
    if (change === undefined && (nowTaken >= syns / 2 || elapsedMs() >= limitMs / 2)) {
      change = halfway().then(() => {
        isChanged = true;
      });
      // Whoever awaits it below is told.
      change.catch(() => {});
    }
    const goal = change === undefined ? syns / 2 : syns;
    const wanted = (goal - nowTaken) / Math.max((nowTaken - taken) / packets, LEAST_SHARE);
    packets = Math.ceil(Math.max(FIRST_PART, Math.min(wanted, (packets / sending) * PART_S)));
    taken = nowTaken;
  }
  await (change ?? halfway());
}

export interface Outcome {
  readonly event: EventKey;
  readonly subject: SubjectKey;
  /** Connections that had an answer before, whose backend is there afterwards too. */
  readonly connections: number;
  /** Of these, those without an answer afterwards. */
  readonly lost: number;
  /** The same of connections to a backend that was removed. */
  readonly removed: { readonly connections: number; readonly lost: number };
  /** Why: ECONNRESET and its like, with their numbers, of all that were lost. */
  readonly errors: Readonly<Record<string, number>>;
  /** What the balancer counted meanwhile, and what its table holds afterwards. */
  readonly counts: Counts;
  readonly memory: Memory;
  /** How long the event took. */
  readonly seconds: number;
}

export async function measureEvent(event: StateEvent, stage: Stage, connections: number): Promise<Outcome[]> {
  const work = stage.actors.map((actor) => (): Promise<Outcome> => measureOne(event, actor, stage, connections));
  if (event.alone !== true) return await Promise.all(work.map((each) => each()));
  const outcomes: Outcome[] = [];
  for (const each of work) outcomes.push(await each());
  return outcomes;
}

async function measureOne(event: StateEvent, actor: Actor, stage: Stage, connections: number): Promise<Outcome> {
  const { subject, client, seat } = actor;
  await subject.configure(event.setup);
  // nf_conntrack that is full of the flood before takes nobody in.
  if (FLOODS.includes(event.key) && subject.key === 'nat') await subject.restart();
  const first = JSON.parse(await client.ask(`open ${seat.vip} ${connections}`)) as Answer[];
  const before = await subject.counts();
  const start = performance.now();
  await event.happen(actor, stage);
  const seconds = (performance.now() - start) / 1000;
  const second = JSON.parse(await client.ask('use')) as Answer[];
  if (event.alone === true) await sleep(TABLES_READ_MS);
  const after = await subject.counts();
  const memory = await subject.memory();
  await client.ask('close');
  const counts = event.countsAnew === true ? after : difference(after, before);
  return { event: event.key, subject: subject.key, ...tally(event.key, first, second), counts, memory, seconds };
}

function difference(after: Counts, before: Counts): Counts {
  return {
    entries: after.entries,
    syns: after.syns - before.syns,
    evicted: after.evicted - before.evicted,
    refused: after.refused - before.refused,
    resets: after.resets === undefined ? undefined : after.resets - (before.resets ?? 0),
  };
}

export function tally(
  event: EventKey,
  first: readonly Answer[],
  second: readonly Answer[],
): Pick<Outcome, 'connections' | 'lost' | 'removed' | 'errors'> {
  const errors: Record<string, number> = {};
  const own = { connections: 0, lost: 0 };
  const removed = { connections: 0, lost: 0 };
  for (const [i, { status, backend }] of first.entries()) {
    if (status === null) continue;
    const group = event === 'removed' && backend === GUEST ? removed : own;
    group.connections++;
    const { error, status: later } = second[i];
    if (error === null && later === 200) continue;
    group.lost++;
    const why = error ?? `${later}`;
    errors[why] = (errors[why] ?? 0) + 1;
  }
  return { ...own, removed, errors };
}
