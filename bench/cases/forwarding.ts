/**
 * Case `forwarding`: packets a second on a veth pair through `hushlb run`, beside what it can be compared with: its own device
 * when it merely reflects, the same two in C, a reflector in C on a packet socket, the wire's limit, the kernel's forwarding and its
 * stateful NAT. All stand ready at the same time, each on a wire of its own, and are loaded in turn.
 */
import { setTimeout } from 'node:timers/promises';
import { inNamespace } from '../../io/namespace.ts';
import type { BenchCase, CaseContext } from '../case.ts';
import { machineBusySeconds, processSeconds } from '../forwarding/cpu-time.ts';
import type { LoadResult } from '../forwarding/load.ts';
import { type BenchNetwork, buildBenchNetwork } from '../forwarding/network.ts';
import { FCS, FULL_POINTS, MAIN_POINT, type Point } from '../forwarding/points.ts';
import { type Measured, OWN, present } from '../forwarding/results.ts';
import { findSubjects, pinned, type RunningSubject, type Subject } from '../forwarding/subjects.ts';
import { type LineProcess, startLineProcess } from '../line-process.ts';
import { interleave } from '../rounds.ts';

/** For V8 to compile hushlb and its devices on the core that they run on: at first they are not yet what they will be. */
const COMPILE_MS = 1500;

const LOAD = new URL('../forwarding/load.js', import.meta.url).pathname;

export interface ForwardingPlan {
  readonly points: readonly Point[];
  /**
   * How often all subjects are started anew. One start of the same program is up to an eighth faster than the next, for as
   * long as it runs: what V8 makes of it and where its memory lies differ.
   */
  readonly starts: number;
  /** Rounds a start, at most. */
  readonly atMost: number;
  readonly loadMs: number;
}

export const forwarding: BenchCase = {
  name: 'forwarding',
  title: 'Forwarding',
  about:
    'Millions of packets a second that come back over the veth pair that they went out on, at overload: the kernel’s generator ' +
    '(live frames, source address and port vary) floods from core 0, the subject’s process has core 1. All are started anew ' +
    'several times, because one start is faster than the next for as long as it runs. AF_XDP in copy mode, ' +
    'which is all that veth has. What the kernel does by itself (XDP_TX, forwarding, NAT) runs on core 0, beside the generator.',
  needsRoot: true,
  seconds: { quick: 32, full: 240 },
  async run(context) {
    const plan: ForwardingPlan = context.quick
      ? { points: [MAIN_POINT], starts: 1, atMost: 10, loadMs: 300 }
      : { points: FULL_POINTS, starts: 2, atMost: 5, loadMs: 400 };
    const { subjects, missing } = findSubjects(context.folder);
    const measured = await measureForwarding(subjects, plan, context);
    return present(measured, subjects, missing, context.quick);
  },
};

/** The rounds of all starts together; round by round the subjects' are of the same start. */
export async function measureForwarding(
  subjects: readonly Subject[],
  plan: ForwardingPlan,
  { progress, secondsLeft }: Pick<CaseContext, 'progress' | 'secondsLeft'>,
): Promise<Measured[]> {
  let measured: readonly Measured[] = [];
  for (let start = 0; start < plan.starts; start++) {
    const end = performance.now() + (secondsLeft() / (plan.starts - start)) * 1000;
    const context = { progress, secondsLeft: () => Math.max(0, end - performance.now()) / 1000 };
    const more = await measureStart(subjects, plan, context);
    measured = start === 0 ? more : measured.map((each, i) => joined(each, more[i] ?? each));
  }
  return [...measured];
}

function joined(a: Measured, b: Measured): Measured {
  return {
    ...a,
    mpps: [...a.mpps, ...b.mpps],
    processCpu: [...a.processCpu, ...b.processCpu],
    machineCpu: [...a.machineCpu, ...b.machineCpu],
  };
}

async function measureStart(
  subjects: readonly Subject[],
  { points, atMost, loadMs }: ForwardingPlan,
  { progress, secondsLeft }: Pick<CaseContext, 'progress' | 'secondsLeft'>,
): Promise<Measured[]> {
  progress('building the network');
  const network = buildBenchNetwork(subjects.length);
  const running: RunningSubject[] = [];
  let load: LineProcess | undefined;
  try {
    for (const [i, subject] of subjects.entries()) {
      progress(`starting ${subject.name}`);
      running.push(await subject.start(network.far[i]));
    }
    load = startLoad(network);
    await load.next();
    const bench = { subjects, running, network, load };
    for (const i of subjects.keys()) if (OWN.includes(subjects[i].key)) await flood(bench, i, MAIN_POINT, COMPILE_MS);
    const measured: Measured[] = [];
    for (const [done, point] of points.entries()) {
      progress(`${point.frameBytes} bytes, ${point.flows.toLocaleString('en')} flows`);
      const seconds = secondsLeft() / (points.length - done);
      measured.push(...(await measurePoint(bench, point, { atMost, loadMs, seconds })));
    }
    return measured;
  } finally {
    await load?.end();
    await Promise.all(running.map((subject) => subject.stop()));
    network.remove();
  }
}

function startLoad({ near, wires }: BenchNetwork): LineProcess {
  return inNamespace(near, () => startLineProcess('the load', pinned(0, [process.execPath, LOAD, ...wires])));
}

interface Bench {
  readonly subjects: readonly Subject[];
  readonly running: readonly RunningSubject[];
  readonly network: BenchNetwork;
  readonly load: LineProcess;
}

/** New flows come first and are not counted: tables fill. A million flows need their time. */
const WARM_UP_MS = 400;
const WARM_UP_PACKETS_A_FLOW = 3;
const MAX_WARM_UPS = 20;

async function flood({ network, load }: Bench, i: number, point: Point, ms: number): Promise<LoadResult> {
  const answer = await load.ask(`${network.wires[i]} ${point.flows} ${point.frameBytes - FCS} ${ms}`);
  return JSON.parse(answer) as LoadResult;
}

async function measurePoint(
  bench: Bench,
  point: Point,
  { atMost, loadMs, seconds }: { atMost: number; loadMs: number; seconds: number },
): Promise<Measured[]> {
  const { subjects, running } = bench;
  const end = performance.now() + seconds * 1000;
  const taking = [...subjects.keys()].filter((i) => point.flows <= subjects[i].maxFlows);
  for (const i of taking) {
    let { returned } = await flood(bench, i, point, WARM_UP_MS);
    const wanted = subjects[i].remembers ? point.flows * WARM_UP_PACKETS_A_FLOW : 1;
    for (let turns = 0; returned < wanted && turns < MAX_WARM_UPS; turns++) {
      returned += (await flood(bench, i, point, WARM_UP_MS)).returned;
    }
    if (returned === 0) throw new Error(`${subjects[i].name}: no packet came back`);
  }
  const processCpu = taking.map((): number[] => []);
  const machineCpu = taking.map((): number[] => []);
  const limits = { atLeast: 2, atMost, hasTime: () => performance.now() < end };
  const mpps = await interleave([...taking.keys()], limits, async (place) => {
    const i = taking[place];
    const { pid } = running[i];
    // The last subject's frames have all come back.
    await setTimeout(20);
    const before = { process: pid === undefined ? 0 : processSeconds(pid), machine: machineBusySeconds() };
    const { returned, seconds: elapsed } = await flood(bench, i, point, loadMs);
    // Of a subject that got no core for the whole time, one packet.
    const millions = Math.max(returned, 1) / 1e6;
    if (pid !== undefined) processCpu[place].push((processSeconds(pid) - before.process) / millions);
    machineCpu[place].push((machineBusySeconds() - before.machine) / millions);
    return millions / elapsed;
  });
  return taking.map((i, place) => ({
    point,
    key: subjects[i].key,
    mpps: mpps[place],
    processCpu: processCpu[place],
    machineCpu: machineCpu[place],
  }));
}
