/** A running balancer takes over another configuration: `hushlb run` in the lab's namespaces, real kernels and HTTP. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import { startBackend } from '../../lab/backends.ts';
import { buildNetwork, type Network } from '../../lab/network.ts';
import { type HostProcess, HUSHLB, logMessage, startProcess } from '../../lab/processes.ts';
import { openRun, removeRun } from '../../lab/runs.ts';
import { backendAddress, backendNames, sharedLan, VIP } from '../../lab/topology.ts';

const isRoot = process.getuid?.() === 0;
const never = new AbortController().signal;
const BACKENDS = backendNames(3);
const PATIENCE_MS = 10_000;

interface LogLine {
  readonly msg: string;
  readonly problem?: string;
  readonly generation?: number;
  readonly [key: string]: unknown;
}

describe('reload', { skip: isRoot ? false : 'needs root for network namespaces' }, () => {
  let runId: string;
  let network: Network;
  let directory: string;
  let file: string;
  const programs: HostProcess[] = [];
  const balancers: HostProcess[] = [];
  let log: LogLine[] = [];

  before(async () => {
    runId = openRun();
    directory = mkdtempSync(join(tmpdir(), 'hushlb-test-'));
    file = join(directory, 'hushlb.yaml');
    network = buildNetwork(runId, sharedLan(BACKENDS.length));
    await Promise.all(
      BACKENDS.map((name) =>
        startBackend(
          {
            name,
            namespace: network.namespace(name),
            port: 80,
            directory,
            onUnexpectedEnd: (error) => assert.fail(error.message),
            started: (program) => programs.push(program),
          },
          never,
        ),
      ),
    );
  });

  afterEach(async () => {
    await Promise.all(balancers.splice(0).map((balancer) => balancer.stop()));
  });

  after(async () => {
    await Promise.all(programs.map((program) => program.stop()));
    removeRun(runId);
    rmSync(directory, { recursive: true, force: true });
  });

  const yaml = (name: string, settings = '') => `{ name: ${name}, address: ${backendAddress(name)}${settings} }`;

  function write(backends: readonly string[], { top = '', service = '', more = '' } = {}): void {
    const web = `  - name: web\n    vip: ${VIP}\n    port: 80\n    ${service}\n    backends: [${backends.join(', ')}]\n`;
    writeFileSync(file, `interface: eth0\n${top}\nservices:\n${web}${more}`);
  }

  async function start(): Promise<HostProcess> {
    log = [];
    const balancer = startProcess({
      name: 'the balancer',
      namespace: network.namespace('lb'),
      command: [process.execPath, HUSHLB, 'run', '-c', file, '--log-format', 'json'],
      onUnexpectedEnd: () => {},
      onLine: (line) => {
        if (line.startsWith('{')) log.push(JSON.parse(line) as LogLine);
      },
    });
    balancers.push(balancer);
    return balancer;
  }

  async function ready(balancer: HostProcess): Promise<number> {
    const line = await balancer.waitForLine((text) => logMessage(text) === 'ready', PATIENCE_MS, never);
    return Number(JSON.parse(line).pid);
  }

  /** Asks for a reload and waits for what comes of it. */
  async function reloaded(pid: number): Promise<LogLine> {
    const isResult = ({ msg }: LogLine) => msg === 'reloaded' || msg === 'reload refused, nothing changed';
    const before = log.length;
    process.kill(pid, 'SIGHUP');
    const deadline = performance.now() + PATIENCE_MS;
    for (;;) {
      const line = log.slice(before).find(isResult);
      if (line !== undefined) return line;
      assert.ok(performance.now() < deadline, 'a reload ends');
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  }

  function inHost(host: string, ...command: string[]): string {
    return execFileSync('ip', ['netns', 'exec', network.namespace(host), ...command], {
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: PATIENCE_MS,
    }).toString();
  }

  function get(host: string, url: string, count = 1): string[] {
    const script = `
      const get = () => fetch(process.argv[1], { signal: AbortSignal.timeout(2000), headers: { connection: 'close' } })
        .then((response) => response.text()).catch((error) => 'failed: ' + (error.cause?.code ?? error.name));
      const answers = [];
      for (let i = 0; i < ${count}; i++) answers.push((await get()).trim());
      console.log(answers.join('\\n'));
      process.exit();`;
    return inHost(host, process.execPath, '--input-type=module', '-e', script, url).trim().split('\n');
  }

  const answering = () => new Set(get('client', `http://${VIP}/`, 30));

  test('backends are added, removed and drained', async () => {
    write([yaml('b1'), yaml('b2')]);
    const pid = await ready(await start());
    assert.deepEqual(answering(), new Set(['b1', 'b2']));

    write([yaml('b3'), yaml('b1'), yaml('b2')]);
    const { generation, added, removed, changed, moved } = await reloaded(pid);
    assert.ok(Number(generation) > 1);
    assert.deepEqual({ added, removed, changed }, { added: ['web/b3'], removed: [], changed: [] });
    const share = (moved as Record<string, number>).web;
    assert.ok(share > 0.3 && share < 0.4, `a third of the slots goes to the third backend, moved ${share}`);
    assert.deepEqual(answering(), new Set(BACKENDS));

    write([yaml('b3'), yaml('b1', ', state: draining')]);
    const second = await reloaded(pid);
    assert.deepEqual(second.removed, ['web/b2']);
    assert.deepEqual(second.changed, ['web/b1']);
    assert.deepEqual(answering(), new Set(['b3']));

    const third = await reloaded(pid);
    assert.equal(third.msg, 'reloaded');
    assert.deepEqual([third.added, third.removed, third.changed, third.moved], [[], [], [], {}]);
  });
});
