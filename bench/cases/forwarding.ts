/**
 * Case `forwarding`: packets a second on a veth pair through `hushlb run`, beside what it can be compared with: its own device
 * when it merely reflects, the same two in C, a reflector in C on a packet socket, the wire's limit, the kernel's forwarding and its
 * stateful NAT. All stand ready at the same time, each on a wire of its own, and are loaded in turn.
 */
import { setTimeout } from 'node:timers/promises';
import { inNamespace } from '../../io/namespace.ts';
import type { BenchCase, CaseContext, CaseResult, Cell, ResultTable, Target } from '../case.ts';
import { machineBusySeconds, processSeconds } from '../forwarding/cpu-time.ts';
import type { LoadResult } from '../forwarding/load.ts';
import { type BenchNetwork, buildBenchNetwork } from '../forwarding/network.ts';
import { FCS, FULL_POINTS, MAIN_POINT, type Point } from '../forwarding/points.ts';
import {
  findSubjects,
  pinned,
  RATIOS,
  type RunningSubject,
  type Subject,
  type SubjectKey,
} from '../forwarding/subjects.ts';
import { type LineProcess, startLineProcess } from '../line-process.ts';
import { figure, interleave, ratios } from '../rounds.ts';

/** hushlb and its devices: run by V8, which compiles them on the core that they run on; at first they are not yet what they will be. */
const OWN: readonly SubjectKey[] = ['reflect', 'hushlb', 'hushlb-packet', 'reflect-packet'];
const COMPILE_MS = 1500;

const LOAD = new URL('../forwarding/load.js', import.meta.url).pathname;

/** One subject at one point: what each round gave. */
export interface Measured {
  readonly point: Point;
  readonly key: SubjectKey;
  readonly mpps: readonly number[];
  /** CPU seconds a million packets. */
  readonly processCpu: readonly number[];
  readonly machineCpu: readonly number[];
}

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

function present(
  measured: readonly Measured[],
  subjects: readonly Subject[],
  missing: readonly string[],
  quick: boolean,
): CaseResult {
  const points = [...new Set(measured.map(({ point }) => point))];
  const at = (point: Point, key: SubjectKey): Measured | undefined =>
    measured.find((each) => each.point === point && each.key === key);
  const pointName = ({ frameBytes, flows }: Point): string => `${frameBytes} bytes, ${flows.toLocaleString('en')}`;
  const ratio = (point: Point, over: SubjectKey, under: SubjectKey): number[] | undefined => {
    const [a, b] = [at(point, over), at(point, under)];
    return a === undefined || b === undefined ? undefined : ratios(a.mpps, b.mpps);
  };
  const ratioCell = (point: Point, [, over, under]: (typeof RATIOS)[number]): Cell => {
    const values = ratio(point, over, under);
    return values === undefined ? null : figure(values, 2);
  };
  const mppsTable = (
    { title, says }: Pick<ResultTable, 'title' | 'says'>,
    columns: readonly Point[],
    name: (point: Point) => string,
  ): ResultTable => ({
    title,
    says,
    head: ['subject', ...columns.map(name)],
    rows: subjects.map((subject) => [subject.name, ...columns.map((point) => mppsCell(at(point, subject.key)))]),
  });
  const target = (what: string, limit: number, over: SubjectKey, under: SubjectKey): Target => {
    const values = ratio(MAIN_POINT, over, under);
    return {
      what,
      bound: 'at least',
      limit,
      unit: 'times',
      digits: 2,
      measured: values === undefined ? undefined : figure(values, 2).median,
      ...(values === undefined ? { why: 'a subject was left out' } : {}),
    };
  };
  return {
    tables: [
      mppsTable(
        {
          title: `Millions of packets a second, ${MAIN_POINT.frameBytes}-byte frames, by flows`,
          says: 'What one core of hushlb takes beside the wire’s limit, C and the kernel; and what remembering more flows costs each.',
        },
        points.filter(({ frameBytes }) => frameBytes === MAIN_POINT.frameBytes),
        ({ flows }) => flows.toLocaleString('en'),
      ),
      ...(quick
        ? []
        : [
            mppsTable(
              {
                title: `Millions of packets a second, ${MAIN_POINT.flows.toLocaleString('en')} flows, by frame size`,
                says: 'What copying longer frames costs: all that is not XDP_TX copies each of them, but for the kernel’s own paths.',
              },
              points.filter(({ flows }) => flows === MAIN_POINT.flows),
              ({ frameBytes }) => `${frameBytes} bytes`,
            ),
          ]),
      {
        title: 'Ratios, round by round, by frame size and flows',
        says: 'What each step costs: above 1 the first of the two is ahead; moving frames in TypeScript, deciding, and both in C.',
        head: ['one over the other', ...points.map(pointName)],
        rows: RATIOS.map((pair) => [pair[0], ...points.map((point) => ratioCell(point, pair))]),
      },
      {
        title: `CPU seconds a million packets, ${pointName(MAIN_POINT)} flows`,
        says: 'What a packet costs: 1 CPU second a million is 1 µs a packet. Less is better.',
        head: ['subject', 'its process', 'the machine'],
        rows: subjects.map(({ key, name }) => {
          const found = at(MAIN_POINT, key);
          if (found === undefined) return [name, null, null];
          const own = found.processCpu.length > 0 && key !== 'xdp-tx' ? figure(found.processCpu, 2) : 'in the kernel';
          return [name, own, figure(found.machineCpu, 2)];
        }),
      },
    ],
    charts: [
      {
        name: 'forwarding',
        title: `Forwarding on a veth pair, ${MAIN_POINT.frameBytes}-byte frames, ${MAIN_POINT.flows.toLocaleString('en')} flows`,
        kind: 'bars',
        unit: 'million packets a second: more is better (blue: hushlb)',
        categoryName: '',
        categories: subjects.map(({ name }) => name),
        own: subjects.filter(({ key }) => OWN.includes(key)).map(({ name }) => name),
        digits: 2,
        series: [{ name: 'Mpps', values: subjects.map(({ key }) => at(MAIN_POINT, key)).map(medianOf) }],
      },
    ],
    targets: [
      target('hushlb over its device reflecting, 64 B', 0.97, 'hushlb', 'reflect'),
      target('its device reflecting over C, 64 B', 0.95, 'reflect', 'c'),
      target('its af-packet device reflecting over C of the same kind, 64 B', 0.8, 'reflect-packet', 'c-packet'),
    ],
    notes: [
      ...missing,
      '“Its process” is user and system time of all its threads; the soft interrupts that receive the frames run on core 0, those that ' +
        'hand on what was sent on core 1. “The machine” is everything on all cores: generator, sink and soft interrupts too.',
      'nftables DNAT gets no more flows than nf_conntrack_max of the machine allows.',
      'Reflectors only swap MAC addresses; hushlb run and the balancer in C decide, remember and encapsulate. What the balancer in C ' +
        'keeps of its reflector is what any decision could. The portable device is not measured.',
    ],
  };
}

function mppsCell(measured: Measured | undefined): Cell {
  return measured === undefined ? null : figure(measured.mpps, 3);
}

function medianOf(measured: Measured | undefined): number | null {
  return measured === undefined ? null : Number(figure(measured.mpps, 3).median.toFixed(3));
}
