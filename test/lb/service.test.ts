/**
 * `hushlb run` as a service: what it tells the service manager, for which a program stands in that prints each datagram. The
 * watchdog is starved for real: one worker's thread is stopped, as a hang would.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type HostProcess, HUSHLB } from '../../lab/processes.ts';
import { needsRoot } from '../io/two-hosts.ts';
import { backendYaml, configuration, never, PATIENCE_MS, ready, useLan } from './lan.ts';

const script = (name: string) => fileURLToPath(new URL(`../../../test/lb/${name}`, import.meta.url));
const GOOD = configuration([backendYaml('b1')]);
/** Half of it is what the watchdog is told at. */
const WATCHDOG_MS = 600;

/** What systemd gets told. */
interface Manager {
  readonly told: readonly string[];
  /** The first message from the `from`th on that has the line. */
  waitFor(line: string | RegExp, from?: number): Promise<string>;
}

describe('hushlb run as a service', { skip: needsRoot }, () => {
  const lan = useLan(['b1']);

  async function manager(address: string): Promise<Manager> {
    const told: string[] = [];
    let wake = (): void => {};
    const ear = lan.start('lb', ['python3', script('notify_receiver.py'), address], (line) => {
      const message: string = JSON.parse(line);
      if (message !== 'listening') told.push(message);
      wake();
    });
    await ear.waitForLine((line) => line === '"listening"', PATIENCE_MS, never);
    return {
      told,
      async waitFor(line, from = 0) {
        const deadline = performance.now() + PATIENCE_MS;
        const has = (message: string) =>
          message.split('\n').some((each) => (typeof line === 'string' ? each === line : line.test(each)));
        for (;;) {
          const found = told.slice(from).find(has);
          if (found !== undefined) return found;
          assert.ok(performance.now() < deadline, `never told ${line}, but: ${JSON.stringify(told)}`);
          await new Promise<void>((resolve) => {
            wake = resolve;
            setTimeout(resolve, 100);
          });
        }
      },
    };
  }

  function startService(environment: readonly string[], yaml = GOOD, onLine?: (line: string) => void): HostProcess {
    lan.write(yaml);
    const run = [process.execPath, HUSHLB, 'run', '-c', lan.file(), '--log-format', 'json'];
    return lan.start('lb', ['env', ...environment, ...run], onLine);
  }

  test('ready when packets flow, a status in one line, reloads, the end; by an abstract address', async () => {
    const address = `@hushlb-test-${process.pid}`;
    const systemd = await manager(address);
    const balancer = startService([`NOTIFY_SOCKET=${address}`]);
    const { pid } = await ready(balancer);
    assert.equal(await systemd.waitFor('READY=1'), 'READY=1\nSTATUS=1 service, 1 of 1 backends up');
    assert.ok(systemd.told.length === 1 && lan.get('client', 'http://198.18.10.1/')[0] === 'b1');

    const uptimeUs = (): bigint => process.hrtime.bigint() / 1000n;
    const hangUp = (): void => void process.kill(pid, 'SIGHUP');
    const ask = (): void => void lan.inHost('lb', process.execPath, HUSHLB, 'reload', '--socket', lan.socket());
    for (const [text, reload] of [
      [GOOD, hangUp],
      [GOOD, ask],
      ['services: []', hangUp],
    ] as const) {
      const from: number = systemd.told.length;
      const before = uptimeUs();
      lan.write(text);
      reload();
      const begin = await systemd.waitFor('RELOADING=1', from);
      await systemd.waitFor('READY=1', from);
      const at = BigInt(/^RELOADING=1\nMONOTONIC_USEC=(\d+)$/.exec(begin)?.[1] ?? 0);
      assert.ok(at >= before && at <= uptimeUs(), begin);
      assert.deepEqual(systemd.told.slice(from), [begin, 'READY=1'], 'also when it is refused: the old one runs');
    }

    lan.write(configuration([backendYaml('b1', ', state: draining')]));
    process.kill(pid, 'SIGHUP');
    await systemd.waitFor('STATUS=1 service, 1 of 1 backends up, 1 draining');
    await balancer.stop();
    assert.equal(await systemd.waitFor(/^STOPPING=1/), 'STOPPING=1\nSTATUS=stopping');
    assert.ok(!systemd.told.some((message) => message.includes('WATCHDOG')), 'nobody asked for it');
  });

  test('the watchdog is told while all workers turn, and not while one hangs', async () => {
    const address = `${lan.file()}.notify`;
    const systemd = await manager(address);
    let hungLooks = 0;
    // On a CPU of its own, so that its thread is known.
    const balancer = startService(
      [`NOTIFY_SOCKET=${address}`, `WATCHDOG_USEC=${WATCHDOG_MS * 1000}`],
      `cpus: [1]\n${GOOD}`,
      (line) => {
        if (line.includes('workers hang')) hungLooks++;
      },
    );
    const { pid } = await ready(balancer);
    const pings = () => systemd.told.filter((message) => message === 'WATCHDOG=1').length;
    const untilPings = async (count: number) => {
      while (pings() < count) await systemd.waitFor('WATCHDOG=1', systemd.told.length);
    };
    await untilPings(3);

    const thread = threadOn(pid, '1');
    const hang = spawn('python3', [script('stop_thread.py'), thread], { stdio: ['pipe', 'pipe', 'inherit'] });
    try {
      await once(hang.stdout, 'data');
      const seen = hungLooks;
      const untilLooks = async (count: number) => {
        const deadline = performance.now() + PATIENCE_MS;
        while (hungLooks < seen + count) {
          assert.ok(performance.now() < deadline, 'the hanging worker is noticed');
          await new Promise((resolve) => setTimeout(resolve, 20));
        }
      };
      // What was told before it was stopped may still be on its way.
      await untilLooks(3);
      const before = pings();
      await untilLooks(5);
      assert.equal(pings(), before);
    } finally {
      hang.stdin.end();
      await once(hang, 'exit');
    }
    await untilPings(pings() + 2);
  });

  test("another process's watchdog is not fed, and an address that is none is said", async () => {
    const balancer = startService(['NOTIFY_SOCKET=vsock:2:1234', 'WATCHDOG_USEC=1000', 'WATCHDOG_PID=1']);
    await balancer.waitForLine((line) => line.includes('the service manager is told nothing'), PATIENCE_MS, never);
    await ready(balancer);
  });
});

function threadOn(pid: number, cpu: string): string {
  const thread = readdirSync(`/proc/${pid}/task`).find((id) =>
    new RegExp(`^Cpus_allowed_list:\\s*${cpu}$`, 'm').test(readFileSync(`/proc/${pid}/task/${id}/status`, 'utf8')),
  );
  assert.ok(thread !== undefined, 'a worker is pinned');
  return thread;
}
