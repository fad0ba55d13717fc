/**
 * hushlb as a subject of case `stateful-stateless`: `hushlb run` as a user would run it, SIGHUP for another configuration,
 * SIGKILL for a crash. What it counts is read from its metrics, over the network.
 */
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { inNamespace } from '../../io/namespace.ts';
import { replaceRoute } from '../../lab/network.ts';
import { type LineProcess, startLineProcess } from '../line-process.ts';
import { backendAddress, balancerAddress, PORT } from './network.ts';
import type { Counts, Place, Setup, Subject, SubjectKey } from './subject.ts';

const HUSHLB = new URL('../../cli/main.js', import.meta.url).pathname;
const METRICS_PORT = 9108;
/** conntrack/table.ts: two slots of four words for each connection of the capacity. */
const BYTES_A_CONNECTION = 32;

export async function startHushlb(key: SubjectKey, place: Place, setup: Setup): Promise<Subject> {
  const { network, directory, seat, client, capacity } = place;
  let current = setup;
  let [host] = seat.balancers;
  let running = await start(host);
  // It stands by from the beginning, as spare balancers do, and starts while nobody waits for it.
  let spare: Promise<LineProcess> | undefined = start(seat.balancers[1]);
  spare.catch(() => {});

  function write(on: string): string {
    const file = join(directory, `${on}.yaml`);
    writeFileSync(`${file}.new`, configuration(key, place, on, current));
    renameSync(`${file}.new`, file);
    return file;
  }

  async function start(on: string): Promise<LineProcess> {
    const command = [process.execPath, HUSHLB, 'run', '-c', write(on), '--log-format', 'json'];
    const started = inNamespace(network.namespace(on), () =>
      startLineProcess(`hushlb on ${on}`, command, { answersOn: 'stderr' }),
    );
    await said(started, /^ready$/);
    return started;
  }

  async function reload(hushlb: LineProcess, on: string): Promise<void> {
    write(on);
    hushlb.child.kill('SIGHUP');
    const answer = await said(hushlb, /^reload(ed|.* refused)/);
    if (answer !== 'reloaded') throw new Error(`hushlb on ${on}: ${answer}`);
  }

  async function kill(): Promise<void> {
    running.child.kill('SIGKILL');
    await running.end();
  }

  return {
    key,
    get host() {
      return host;
    },
    async configure(next) {
      if (next.idleTimeoutMs === current.idleTimeoutMs && `${next.backends}` === `${current.backends}`) return;
      current = next;
      await reload(running, host);
    },
    async restart() {
      await kill();
      running = await start(host);
    },
    async failOver() {
      if (spare === undefined) throw new Error(`${seat.vip} has no spare balancer any more`);
      const next = await spare;
      spare = undefined;
      [, host] = seat.balancers;
      await reload(next, host);
      await kill();
      running = next;
      replaceRoute(network, 'router', { to: `${seat.vip}/32`, via: balancerAddress(host) });
    },
    counts: async () => countsIn(JSON.parse(await client.ask(`fetch ${metricsUrl(host)}`)) as string),
    async memory() {
      const status = readFileSync(`/proc/${running.child.pid}/status`, 'utf8');
      const resident = Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024;
      return { resident, table: key === 'no-table' ? 0 : capacity * BYTES_A_CONNECTION };
    },
    async stop() {
      await Promise.all([running.end(), spare?.then((process) => process.end()).catch(() => {})]);
    },
  };
}

function configuration(key: SubjectKey, { seat, capacity }: Place, host: string, setup: Setup): string {
  return stringify({
    interface: 'eth0',
    mode: key === 'stateful' ? 'stateful' : 'stateless',
    metrics: { listen: `${balancerAddress(host)}:${METRICS_PORT}` },
    admin: false,
    services: [
      {
        name: 'web',
        vip: seat.vip,
        port: PORT,
        conntrack: key === 'no-table' ? { enabled: false } : { idleTimeout: `${setup.idleTimeoutMs}ms`, capacity },
        backends: setup.backends.map((name) => ({ name, address: backendAddress(name) })),
      },
    ],
  });
}

/** The next message of its log that is what is waited for. */
async function said(hushlb: LineProcess, what: RegExp): Promise<string> {
  for (;;) {
    const line = await hushlb.next();
    const { msg = '' } = line.startsWith('{') ? (JSON.parse(line) as { msg?: string }) : {};
    if (what.test(msg)) return msg;
  }
}

function metricsUrl(host: string): string {
  return `http://${balancerAddress(host)}:${METRICS_PORT}/metrics`;
}

/** From the text of Prometheus. */
export function countsIn(text: string): Counts {
  const sum = (metric: string, labels = ''): number =>
    text
      .split('\n')
      .filter((line) => line.startsWith(`hushlb_${metric}{`) && line.includes(labels))
      .reduce((total, line) => total + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);
  return {
    entries: sum('conntrack_entries'),
    syns: sum('conntrack_misses_total', 'kind="syn"'),
    evicted: sum('conntrack_evicted_total'),
    refused: sum('conntrack_refused_total'),
    resets: sum('resets_sent_total'),
  };
}
