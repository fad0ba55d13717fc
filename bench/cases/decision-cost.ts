/**
 * Case `decision-cost`: nanoseconds a packet from parsing to encapsulation, no device: the real forwarder, a batch of 64 at a
 * time, beside the same algorithm in C. The C program's work is the same to the byte (test/bench/decision-yardstick.test.ts).
 */
import { join } from 'node:path';
import type { BenchCase, CaseContext, Cell, Figure, ResultTable } from '../case.ts';
import { decisionState } from '../decision/balancer.ts';
import {
  BATCH,
  type DecisionMode,
  decisionConfig,
  IPV6,
  MODES,
  modeNamed,
  rewritesFrames,
  SMALLEST_CAPACITY,
} from '../decision/modes.ts';
import { type Decision, FAMILY_FLOWS, present, STARTS_SIDE_BY_SIDE } from '../decision/results.ts';
import { buildRevision } from '../decision/revision.ts';
import { writeStateFile } from '../decision/state-file.ts';
import { type LineProcess, startLineProcess } from '../line-process.ts';
import { figure, interleave, ratios } from '../rounds.ts';
import { compileYardstick, type Yardstick } from '../yardstick/compile.ts';

const ALL_FLOWS = [1_000, 10_000, 100_000, 1_000_000, 4_000_000];
/** Of a quick run: three sizes for `stateless`, one for the other modes. */
const QUICK_FLOWS = [1_000, 10_000, 1_000_000];
const QUICK_OTHERS = 10_000;
/** Enough for V8 to compile everything in its last tier. */
const WARM_UP_PACKETS = 1_500_000;

/** At its capacity a table lets 0.4 % of its flows go; a round may meet most of those. */
const LEAST_HITS = 0.97;

const SUBJECT = new URL('../decision/subject.js', import.meta.url).pathname;

interface Rounds {
  readonly packets: number;
  readonly atMost: number;
}

export const decisionCost: BenchCase = {
  name: 'decision-cost',
  title: 'Decision cost',
  about:
    'Nanoseconds a packet: parse, service, hash, connection table, next hop, encapsulation; no device. Batches of 64 ACKs of ' +
    'known connections, one core, IPIP but for the row L2, tables with room for exactly the flows, on huge pages. Putting the ' +
    'flow into the frame (three stores) is counted in, in TypeScript and in C. Time is CPU time of the thread.',
  needsRoot: false,
  seconds: { quick: 25, full: 165 },
  async run(context) {
    const other = context.against === undefined ? undefined : buildRevision(context.against, context.folder);
    const yardstick = compileYardstick('decision', context.folder);
    const pairs = MODES.flatMap(({ name }) => flowsOf(name, context.quick).map((flows) => ({ name, flows })));
    const rounds = context.quick ? { packets: 500_000, atMost: 5 } : { packets: 1_000_000, atMost: 11 };
    const families = await measureFamilies(rounds, context);
    const decisions: Decision[] = [];
    for (const [done, { name, flows }] of pairs.entries()) {
      context.progress(`${name}, ${flows.toLocaleString('en')} flows`);
      const share = context.secondsLeft() / (pairs.length - done);
      decisions.push(await measureDecision(modeNamed(name), flows, yardstick, rounds, share, context.folder));
    }
    const result = present(decisions, families, yardstick, context);
    if (other === undefined) return result;
    return { ...result, tables: [...result.tables, await measureAgainst(other, rounds, context)] };
  },
};

/** Of mode `stateless` alone: the other revision and this one by turns. */
async function measureAgainst(
  other: string,
  rounds: Rounds,
  { progress, against = '', quick }: CaseContext,
): Promise<ResultTable> {
  const [{ name }] = MODES;
  const rows: Cell[][] = [];
  for (const flows of quick ? [QUICK_OTHERS] : QUICK_FLOWS) {
    progress(`${name}, ${flows.toLocaleString('en')} flows, ${against} and now`);
    const commands = [subjectCommand(name, flows, other), subjectCommand(name, flows)];
    const [before, now] = await sideBySide(commands, flows, rounds);
    rows.push([flows.toLocaleString('en'), figure(before, 0), figure(now, 0), figure(ratios(now, before), 2)]);
  }
  const head = ['flows', against, 'now', 'ratio'];
  const says = 'Whether a decision costs more now than then: a ratio above 1 that its range does not touch.';
  return { title: `Mode ${name}, ns a packet, beside ${against}`, says, head, rows };
}

/** IPv6 over IPv4, in mode `stateless`, by turns. */
async function measureFamilies(rounds: Rounds, { progress }: CaseContext): Promise<Figure> {
  progress(`IPv4 and IPv6, ${FAMILY_FLOWS.toLocaleString('en')} flows`);
  const commands = [MODES[0].name, IPV6].map((name) => subjectCommand(name, FAMILY_FLOWS));
  const [ipv4, ipv6] = await sideBySide(commands, FAMILY_FLOWS, rounds);
  return figure(ratios(ipv6, ipv4), 2);
}

function subjectCommand(mode: string, flows: number, ...dist: string[]): string[] {
  return [process.execPath, SUBJECT, mode, `${flows}`, ...dist];
}

/** ns a packet of each command, started several times, round by round in turn. */
async function sideBySide(
  commands: readonly string[][],
  flows: number,
  { packets, atMost }: Rounds,
): Promise<number[][]> {
  const values = commands.map((): number[] => []);
  for (let start = 0; start < STARTS_SIDE_BY_SIDE; start++) {
    const subjects = commands.map((command) => startLineProcess(`decision-cost ${command[2]}`, command));
    try {
      for (const subject of subjects) await warmUp(subject, flows);
      const limits = { atLeast: 3, atMost, hasTime: () => true };
      const measured = await interleave(subjects, limits, async (subject) => {
        const { ns, packets: sent } = await packetsThrough(subject, 'run', packets);
        return ns / sent;
      });
      for (const [i, rounds] of measured.entries()) values[i].push(...rounds);
    } finally {
      await Promise.all(subjects.map((subject) => subject.end()));
    }
  }
  return values;
}

async function warmUp(subject: LineProcess, flows: number): Promise<void> {
  await packetsThrough(subject, 'open', flows);
  await packetsThrough(subject, 'run', Math.max(flows, WARM_UP_PACKETS));
}

function flowsOf(mode: string, quick: boolean): readonly number[] {
  if (!quick) return ALL_FLOWS;
  return mode === MODES[0].name ? QUICK_FLOWS : [QUICK_OTHERS];
}

/** One mode at one number of flows, in TypeScript and in C by turns, for `seconds` at most once three rounds are done. */
export async function measureDecision(
  mode: DecisionMode,
  flows: number,
  yardstick: Yardstick,
  rounds: Rounds,
  seconds: number,
  folder: string,
): Promise<Decision> {
  const end = performance.now() + seconds * 1000;
  const subjects = [startLineProcess(`decision-cost ${mode.name}`, subjectCommand(mode.name, flows))];
  if (yardstick.path !== undefined && mode.family !== 6) {
    const statePath = join(folder, 'state');
    writeStateFile(statePath, decisionState(decisionConfig(mode, Math.max(flows, SMALLEST_CAPACITY))));
    const restores = rewritesFrames(mode) ? '1' : '0';
    subjects.push(startLineProcess('decision yardstick', [yardstick.path, statePath, `${flows}`, restores]));
  }
  try {
    for (const subject of subjects) await warmUp(subject, flows);
    const limits = { atLeast: 3, atMost: rounds.atMost, hasTime: () => performance.now() < end };
    const [ours, inC] = await interleave(subjects, limits, async (subject) => {
      const { ns, packets, hits, connections } = await packetsThrough(subject, 'run', rounds.packets);
      const known = hits >= packets * LEAST_HITS && connections >= flows * LEAST_HITS;
      if (mode.table && !known) throw new Error(`${mode.name}: the table did not hold ${flows} flows`);
      return ns / packets;
    });
    return {
      mode: mode.name,
      flows,
      ours: figure(ours, 0),
      inC: inC === undefined ? null : figure(inC, 0),
      ratio: inC === undefined ? null : figure(ratios(ours, inC), 2),
    };
  } finally {
    await Promise.all(subjects.map((subject) => subject.end()));
  }
}

async function packetsThrough(
  subject: LineProcess,
  command: 'open' | 'run',
  wanted: number,
): Promise<{ ns: number; packets: number; hits: number; connections: number }> {
  const packets = Math.ceil(wanted / BATCH) * BATCH;
  const [ns, hits, connections] = (await subject.ask(`${command} ${packets}`)).split(' ').map(Number);
  return { ns, packets, hits, connections };
}
