/**
 * Puts case `stateful-stateless` up: network, backends, flood, and for each subject a balancer and a client; and takes all of it
 * down again, whatever happens.
 */
import { attachDecap } from '../../dsr/decap.ts';
import { inNamespace } from '../../io/namespace.ts';
import { requireLink } from '../../io/xdp.ts';
import { startBackend } from '../../lab/backends.ts';
import { buildNetwork, type Network } from '../../lab/network.ts';
import type { HostProcess } from '../../lab/processes.ts';
import { findProgram } from '../../lab/programs.ts';
import { openRun, removeRun, runDirectory } from '../../lab/runs.ts';
import { ip } from '../forwarding/network.ts';
import { pinned } from '../forwarding/subjects.ts';
import { type LineProcess, startLineProcess } from '../line-process.ts';
import { startHushlb } from './hushlb.ts';
import type { LoadKind } from './load.ts';
import { startNat } from './nat.ts';
import { BACKENDS, PORT, type Seat, SINK, SPOOFED, seatOf, topologyFor } from './network.ts';
import { startSink } from './sink.ts';
import type { Setup, Subject, SubjectKey } from './subject.ts';

interface Closable {
  close(): void;
}

export interface Actor {
  readonly subject: Subject;
  readonly client: LineProcess;
  readonly seat: Seat;
}

export interface Stage {
  readonly actors: readonly Actor[];
  /** Sends made-up packets at a subject's balancer; resolves with the seconds that it took. */
  send(actor: Actor, load: Load): Promise<number>;
  /** Packets that have arrived at the sink. */
  arrived(): number;
  /** Rejects when something ends that should not; never resolves. */
  readonly broken: Promise<never>;
  close(): Promise<void>;
}

export interface Load {
  readonly kind: LoadKind;
  /** Different sources, one after the other and from the first again. */
  readonly flows: number;
  readonly packets: number;
}

/** Longer than any event. */
const SERVER_IDLE_MS = 120_000;

const CLIENT = new URL('client.js', import.meta.url).pathname;
const LOAD = new URL('load.js', import.meta.url).pathname;

/** The subjects that this machine can run. */
export function findKeys(): readonly SubjectKey[] {
  return ['stateless', 'no-table', 'stateful', ...(findProgram('nft') === undefined ? [] : (['nat'] as const))];
}

/** hushlb's tables have room for `capacity` connections; nf_conntrack's limit is the machine's. */
export async function openStage(keys: readonly SubjectKey[], setup: Setup, capacity: number): Promise<Stage> {
  const runId = openRun();
  const onExit = (): void => void removeRun(runId);
  process.once('exit', onExit);
  const failure = new AbortController();
  const servers: HostProcess[] = [];
  const lines: LineProcess[] = [];
  const programs: Closable[] = [];
  const subjects: Subject[] = [];
  const close = async (): Promise<void> => {
    await Promise.all([...subjects.map((each) => each.stop()), ...lines.map((each) => each.end())]);
    await Promise.all(servers.map((each) => each.stop()));
    for (const program of programs) program.close();
    removeRun(runId);
    process.off('exit', onExit);
  };
  const startLines = async (network: Network, host: string, command: readonly string[]): Promise<LineProcess> => {
    const started = inNamespace(network.namespace(host), () => startLineProcess(`the program on ${host}`, command));
    lines.push(started);
    await started.next();
    return started;
  };
  try {
    const seats = keys.map((key, i) => seatOf(i, key === 'nat'));
    const network = buildNetwork(runId, topologyFor(seats));
    ip(network.namespace('router'), [`route add blackhole ${SPOOFED}`]);
    const directory = runDirectory(runId);
    const startActor = async (key: SubjectKey, seat: Seat): Promise<Actor> => {
      const client = await startLines(network, 'client', [process.execPath, CLIENT]);
      const place = { network, directory, seat, client, capacity };
      const subject = await (key === 'nat' ? startNat(place, setup) : startHushlb(key, place, setup));
      subjects.push(subject);
      return { subject, client, seat };
    };
    const startServer = (name: string): Promise<void> => {
      const namespace = network.namespace(name);
      programs.push(inNamespace(namespace, () => attachDecap({ interfaceName: 'eth0', encap: 'ipip' })));
      return startBackend(
        {
          name,
          namespace,
          port: PORT,
          idleTimeoutMs: SERVER_IDLE_MS,
          encap: null,
          directory,
          onUnexpectedEnd: (error) => failure.abort(error),
          started: (server) => servers.push(server),
        },
        failure.signal,
      );
    };
    const sink = startSink(network.namespace(SINK));
    programs.push(sink);
    const [load, ...actors] = await Promise.all([
      startLines(network, 'router', pinned(0, [process.execPath, LOAD])),
      ...keys.map((key, i) => startActor(key, seats[i])),
      ...BACKENDS.map(startServer),
    ]);
    const broken = new Promise<never>((_, reject) => {
      failure.signal.addEventListener('abort', () => reject(failure.signal.reason));
    });
    broken.catch(() => {});
    return {
      actors: actors.filter((actor) => actor !== undefined),
      async send({ subject: { host }, seat: { vip } }, { kind, flows, packets }) {
        const { mac } = inNamespace(network.namespace(host), () => requireLink('eth0'));
        return Number(await load.ask([host, macText(mac), vip, kind, flows, packets].join(' ')));
      },
      arrived: sink.arrived,
      broken,
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

function macText(mac: Uint8Array | undefined): string {
  return Array.from(mac ?? [], (byte) => byte.toString(16).padStart(2, '0')).join(':');
}
