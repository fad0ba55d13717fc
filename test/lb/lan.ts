/**
 * The lab's LAN for tests that run hushlb as a process on it: a client, a router, the balancer's host, and backends that
 * serve HTTP behind a tunnel. One network for all tests of a suite; what a test starts ends with it. Not a test.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before } from 'node:test';
import { type Addresses, IPV4 } from '../../lab/addresses.ts';
import { startBackend } from '../../lab/backends.ts';
import { buildNetwork, type Network } from '../../lab/network.ts';
import { type HostProcess, HUSHLB, logMessage, startProcess } from '../../lab/processes.ts';
import { openRun, removeRun } from '../../lab/runs.ts';
import { sharedLan } from '../../lab/topology.ts';

export const PATIENCE_MS = 30_000;
const COMMAND_TIMEOUT_MS = 60_000;
export const never = new AbortController().signal;

/** `count` connections one after the other, each with a body or the reason why there was none. */
const GET_ALL = `
  const get = (url, patienceMs) => fetch(url, { signal: AbortSignal.timeout(patienceMs), headers: { connection: 'close' } })
    .then((response) => response.text()).catch((error) => 'failed: ' + (error.cause?.code ?? error.name));
  async function getAll(url, count, patienceMs) {
    const answers = [];
    for (let i = 0; i < count; i++) answers.push((await get(url, patienceMs)).trim());
    return answers;
  }`;

/** Does that for each line that it reads. */
const ASKER = `
  import { createInterface } from 'node:readline';
  ${GET_ALL}
  createInterface({ input: process.stdin }).on('line', async (line) => {
    const [id, url, count, patienceMs] = JSON.parse(line);
    console.log(JSON.stringify([id, await getAll(url, count, patienceMs)]));
  });`;

export interface Lan {
  namespace(host: string): string;
  /** The path of the file that `startBalancer` reads. */
  file(): string;
  /** The admin socket of a configuration that says nothing of one. */
  socket(): string;
  write(configuration: string): void;
  /** Starts a program that ends with the test at the latest. */
  start(host: string, command: readonly string[], onLine?: (line: string) => void): HostProcess;
  /** `hushlb run` with a JSON log. */
  startBalancer(onLine?: (line: string) => void): HostProcess;
  /** Runs a command to its end and returns what it printed. */
  inHost(host: string, ...command: string[]): string;
  /** What GETs from `host` bring, `count` connections one after the other: the answer, or why there was none. */
  get(host: string, url: string, count?: number, patienceMs?: number): string[];
  /** As `get`, by one process for all that a suite asks from this host. */
  ask(host: string, url: string, count?: number, patienceMs?: number): Promise<string[]>;
  /** An XDP program is attached to the balancer's interface. */
  isAttached(): boolean;
}

/** Has the network there before the tests of the suite that calls it, and gone after them. */
export function useLan(backends: readonly string[], { family }: Addresses = IPV4): Lan {
  let runId: string;
  let network: Network;
  let directory: string;
  const servers: HostProcess[] = [];
  const programs: HostProcess[] = [];
  const askers = new Map<string, HostProcess>();

  before(async () => {
    runId = openRun();
    directory = mkdtempSync(join(tmpdir(), 'hushlb-test-'));
    network = buildNetwork(runId, sharedLan(backends.length, { family }));
    const onUnexpectedEnd = (error: Error) => assert.fail(error.message);
    const started = (program: HostProcess) => void servers.push(program);
    await Promise.all(
      backends.map((name) => {
        const namespace = network.namespace(name);
        return startBackend({ name, namespace, family, port: 80, directory, onUnexpectedEnd, started }, never);
      }),
    );
  });

  afterEach(async () => {
    await Promise.all(programs.splice(0).map((program) => program.stop()));
  });

  after(async () => {
    await Promise.all(servers.map((program) => program.stop()));
    removeRun(runId);
    rmSync(directory, { recursive: true, force: true });
  });

  const file = () => join(directory, 'hushlb.yaml');
  const socket = () => join(directory, 'admin.sock');

  function start(host: string, command: readonly string[], onLine: (line: string) => void = () => {}): HostProcess {
    const namespace = network.namespace(host);
    const program = startProcess({ name: command[1], namespace, command, onLine, onUnexpectedEnd: () => {} });
    programs.push(program);
    return program;
  }

  function startAsker(host: string): HostProcess {
    const command = [process.execPath, '--input-type=module', '-e', ASKER];
    const namespace = network.namespace(host);
    const program = startProcess({ name: 'asker', namespace, command, onLine: () => {}, onUnexpectedEnd: () => {} });
    servers.push(program);
    return program;
  }

  function inHost(host: string, ...command: string[]): string {
    return execFileSync('ip', ['netns', 'exec', network.namespace(host), ...command], {
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: COMMAND_TIMEOUT_MS,
    }).toString();
  }

  return {
    namespace: (host) => network.namespace(host),
    file,
    socket,
    write(configuration) {
      // Namespaces share a file system: another test's balancer, on an interface of that name, would have the same one.
      const admin = /^admin:/m.test(configuration) ? '' : `admin: { socket: ${socket()} }\n`;
      writeFileSync(file(), `${admin}${configuration}`);
    },
    start,
    startBalancer(onLine) {
      return start('lb', [process.execPath, HUSHLB, 'run', '-c', file(), '--log-format', 'json'], onLine);
    },
    inHost,
    get(host, url, count = 1, patienceMs = PATIENCE_MS) {
      const script = `${GET_ALL}
        console.log((await getAll(process.argv[1], ${count}, ${patienceMs})).join('\\n'));
        process.exit();`;
      return inHost(host, process.execPath, '--input-type=module', '-e', script, url).trim().split('\n');
    },
    async ask(host, url, count = 1, patienceMs = PATIENCE_MS) {
      const asker = askers.get(host) ?? startAsker(host);
      askers.set(host, asker);
      const id = randomUUID();
      asker.write(JSON.stringify([id, url, count, patienceMs]));
      const line = await asker.waitForLine((text) => text.includes(id), COMMAND_TIMEOUT_MS, never);
      return JSON.parse(line)[1];
    },
    isAttached: () => /\bxdp\b|prog\/xdp|xdpgeneric/.test(inHost('lb', 'ip', '-d', 'link', 'show', 'eth0')),
  };
}

export interface ReadyLine {
  readonly pid: number;
  readonly xdp: string;
}

/** Resolves with its log line when it forwards. */
export async function ready(balancer: HostProcess): Promise<ReadyLine> {
  return JSON.parse(await balancer.waitForLine((line) => logMessage(line) === 'ready', PATIENCE_MS, never));
}

export function backendYaml(name: string, settings = '', { backend }: Addresses = IPV4): string {
  return `{ name: ${name}, address: "${backend(name)}"${settings} }`;
}

export interface ConfigurationLines {
  readonly top?: string;
  /** Of the service `web`. */
  readonly service?: string;
  /** Whole services. */
  readonly more?: string;
  /** Of the network that it is for. */
  readonly addresses?: Addresses;
}

/** A service `web` on VIP:80 with backends in YAML, and further lines of YAML. */
export function configuration(
  backends: readonly string[],
  { top = '', service = '', more = '', addresses = IPV4 }: ConfigurationLines = {},
): string {
  const web = `  - name: web\n    vip: "${addresses.vip}"\n    port: 80\n    ${service}\n    backends: [${backends.join(', ')}]\n`;
  return `interface: eth0\n${top}\nservices:\n${web}${more}`;
}
