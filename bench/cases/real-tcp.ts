/**
 * Case `real-tcp`: what a client of real connections gets through `hushlb run`, and what it gets straight, through the kernel's
 * stateful NAT, and through two proxies of connections. wrk asks nginx; all subjects stand ready and are loaded in turn.
 */
import type { LabError } from '../../lab/errors.ts';
import type { HostProcess } from '../../lab/processes.ts';
import { openRun, removeRun, runDirectory } from '../../lab/runs.ts';
import type { BenchCase, CaseContext } from '../case.ts';
import { interleave } from '../rounds.ts';
import { buildTcpNetwork, CLIENT } from '../tcp/network.ts';
import { type LoadName, type Measured, present } from '../tcp/results.ts';
import { findSubjects, LARGE, SMALL, type Subject } from '../tcp/subjects.ts';
import { runWrk, type WrkReport } from '../tcp/wrk.ts';

const CONNECTIONS = 64;

interface Load {
  readonly name: LoadName;
  readonly path: string;
  readonly keepAlive: boolean;
  /** Of the case's time. */
  readonly share: number;
}

const LOADS: readonly Load[] = [
  { name: 'requests', path: SMALL, keepAlive: true, share: 0.5 },
  { name: 'connections', path: SMALL, keepAlive: false, share: 0.25 },
  { name: 'transfer', path: LARGE, keepAlive: true, share: 0.25 },
];

export interface TcpPlan {
  readonly atMost: number;
  readonly loadMs: number;
  readonly warmUpMs: number;
}

export const realTcp: BenchCase = {
  name: 'real-tcp',
  title: 'Real TCP',
  about:
    `wrk with ${CONNECTIONS} connections against two nginx, in network namespaces as the lab has them: straight (the router spreads ` +
    'connections over the backends), through hushlb with direct server return, through nftables DNAT with masquerade, and through ' +
    'proxies that end the client’s connections and open their own. Client, router, balancer and backends share the machine’s cores: ' +
    'a request costs what all of them need for it.',
  needsRoot: true,
  seconds: { quick: 14, full: 110 },
  async run(context) {
    const { subjects, missing } = findSubjects();
    const plan: TcpPlan = context.quick
      ? { atMost: 3, loadMs: 300, warmUpMs: 200 }
      : { atMost: 15, loadMs: 1000, warmUpMs: 500 };
    const measured = subjects === undefined ? [] : await measureRealTcp(subjects, plan, context);
    return present(measured, subjects ?? [], missing);
  },
};

export async function measureRealTcp(
  subjects: readonly Subject[],
  plan: TcpPlan,
  { progress, secondsLeft }: Pick<CaseContext, 'progress' | 'secondsLeft'>,
): Promise<Measured[]> {
  const failure = new AbortController();
  const { signal } = failure;
  const runId = openRun();
  const onExit = (): void => void removeRun(runId);
  process.once('exit', onExit);
  const processes: HostProcess[] = [];
  try {
    progress('building the network');
    const network = buildTcpNetwork(runId);
    progress('starting servers and balancers');
    const stage = {
      network,
      directory: runDirectory(runId),
      signal,
      started: (each: HostProcess) => void processes.push(each),
      onUnexpectedEnd: (error: LabError) => failure.abort(error),
    };
    await Promise.all(subjects.map((subject) => subject.start(stage)));
    const namespace = network.namespace(CLIENT);
    const ask = async ({ name, address }: Subject, { path, keepAlive }: Load, ms: number): Promise<WrkReport> => {
      const url = `http://${address}${path}`;
      const report = await runWrk({ namespace, url, connections: CONNECTIONS, keepAlive, ms });
      signal.throwIfAborted();
      if (report.requests === 0) throw new Error(`${name}: no request was answered`);
      return report;
    };
    for (const subject of subjects) {
      progress(`warming up ${subject.name}`);
      await ask(subject, LOADS[0], plan.warmUpMs);
    }
    const all = secondsLeft();
    const measured: Measured[] = [];
    let share = 0;
    for (const load of LOADS) {
      share += load.share;
      const end = all * (1 - share);
      const reports = new Map(subjects.map(({ key }): [string, WrkReport[]] => [key, []]));
      // A round more than there is time for would be too much.
      const roundSeconds = (subjects.length * (plan.loadMs + 100)) / 1000;
      const limits = { atLeast: 1, atMost: plan.atMost, hasTime: () => secondsLeft() > end + roundSeconds };
      await interleave(subjects, limits, async (subject) => {
        progress(`${load.name} through ${subject.name}`);
        const report = await ask(subject, load, plan.loadMs);
        reports.get(subject.key)?.push(report);
        return report.requests;
      });
      for (const { key } of subjects) measured.push({ key, load: load.name, reports: reports.get(key) ?? [] });
    }
    return measured;
  } finally {
    // Whoever still waits for a part of it.
    failure.abort();
    for (const each of processes.reverse()) await each.stop();
    removeRun(runId);
    process.off('exit', onExit);
  }
}
