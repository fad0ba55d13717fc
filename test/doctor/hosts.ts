/**
 * The lab's LAN as hosts are before anybody has done anything for hushlb, for doctor's tests: a client, a router, a balancer, and
 * two backends that serve HTTP; what README has one do is run from README itself. Not a test.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before } from 'node:test';
import { fileURLToPath } from 'node:url';
import { buildNetwork, type Network } from '../../lab/network.ts';
import { type HostProcess, HUSHLB, labProgram, logMessage, startProcess } from '../../lab/processes.ts';
import { openRun, removeRun } from '../../lab/runs.ts';
import { sharedLan } from '../../lab/topology.ts';
import { until } from '../io/two-hosts.ts';
import { never, PATIENCE_MS } from '../lb/lan.ts';

const README = readFileSync(fileURLToPath(new URL('../../../README.md', import.meta.url)), 'utf8');

/** The first block of a language after a text of README's. */
export function block(after: string, language: string): string {
  const [, text] = README.slice(README.indexOf(after)).split(`\`\`\`${language}\n`);
  return text.slice(0, text.indexOf('```'));
}

export interface Hosts {
  /** Its namespace. */
  at(host: string): string;
  /** The balancer's configuration: README's. */
  file(): string;
  /** Runs a shell's command to its end and returns what it printed. */
  run(host: string, command: string): string;
  /** Starts a program that ends with the suite at the latest. */
  start(host: string, name: string, command: readonly string[]): HostProcess;
  stop(host: string, name: string): Promise<void>;
  /** A command that stays, as doctor and README print it; resolves when it is ready. */
  startHushlb(host: string, name: string, command: string): Promise<void>;
  /** Starts its web server on port 80. */
  serve(host: string): Promise<void>;
  /** What README has one do on backends and router. */
  followReadme(): Promise<void>;
}

/** Has the hosts there before the tests of the suite that calls it, and gone after them. */
export function useHosts(): Hosts {
  let runId: string;
  let network: Network;
  let directory: string;
  let file: string;
  const programs = new Map<string, HostProcess>();

  const at = (host: string) => network.namespace(host);
  const run = (host: string, command: string) => {
    return execFileSync('ip', ['netns', 'exec', at(host), 'sh', '-ec', command], { encoding: 'utf8', stdio: 'pipe' });
  };
  const start = (host: string, name: string, command: readonly string[]): HostProcess => {
    const program = startProcess({ name, namespace: at(host), command, onUnexpectedEnd: () => {} });
    programs.set(`${host} ${name}`, program);
    return program;
  };
  const stop = async (host: string, name: string): Promise<void> => programs.get(`${host} ${name}`)?.stop();
  /** `hushlb …` as doctor and README print it. */
  const startHushlb = async (host: string, name: string, command: string): Promise<void> => {
    const [, ...words] = command.replace(/ +#.*/, '').replace('hushlb.yaml', file).split(' ');
    const program = start(host, name, [process.execPath, HUSHLB, ...words, '--log-format', 'json']);
    await program.waitForLine((line) => logMessage(line) === 'ready', PATIENCE_MS, never);
  };
  const serve = async (host: string): Promise<void> => {
    start(host, 'web', [
      process.execPath,
      labProgram('http-server'),
      '--name',
      host,
      '--family',
      '4',
      '--port',
      '80',
      '--idle',
      '60000',
    ]);
    await until(`${host} listens`, () => / 0A /.test(run(host, "grep ':0050 ' /proc/net/tcp /proc/net/tcp6 || true")));
  };

  const followReadme = async (): Promise<void> => {
    const setUp = async (host: string): Promise<void> => {
      for (const line of block('On each backend', 'sh').trim().split('\n')) {
        if (line.startsWith('hushlb ')) await startHushlb(host, 'decap', line);
        else run(host, line);
      }
    };
    await Promise.all(['b1', 'b2'].map(setUp));
    run('router', block('On the router', 'sh'));
  };

  before(async () => {
    runId = openRun();
    directory = mkdtempSync(join(tmpdir(), 'hushlb-test-'));
    file = join(directory, 'hushlb.yaml');
    network = buildNetwork(runId, sharedLan(2));
    // As a host is before anybody has done anything for hushlb.
    for (const host of ['b1', 'b2']) {
      run(host, 'ip address del 198.18.10.1/32 dev lo');
      run(
        host,
        'sysctl -qw net.ipv4.conf.all.arp_ignore=0 net.ipv4.conf.all.arp_announce=0 net.ipv4.conf.all.rp_filter=1',
      );
    }
    run('router', 'ip route del 198.18.10.1/32');
    await Promise.all(['b1', 'b2'].map(serve));
    writeFileSync(file, `${block('On the balancer', 'yaml')}admin: { socket: ${directory}/x.sock }\n`, { mode: 0o644 });
  });

  after(async () => {
    await Promise.all([...programs.values()].map((program) => program.stop()));
    removeRun(runId);
    rmSync(directory, { recursive: true, force: true });
  });

  return { at, file: () => file, run, start, stop, startHushlb, serve, followReadme };
}
