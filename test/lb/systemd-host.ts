/**
 * A real systemd as PID 1 on a host of a test's network: boots in a container of its own (boot_systemd.sh), whose files are an
 * overlay of the machine's, so that nothing on the machine changes. Ends with the suite, and with its process at the latest. Not a
 * test.
 */
import assert from 'node:assert/strict';
import { type ChildProcessByStdio, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';

const REPOSITORY = fileURLToPath(new URL('../../..', import.meta.url));
const SCRIPT = join(REPOSITORY, 'test/lb/boot_systemd.sh');

const BOOT_PATIENCE_MS = 60_000;
const COMMAND_TIMEOUT_MS = 60_000;
export const POLL_MS = 50;

/** How a command ended, and what it printed on both streams. */
export interface Answer {
  readonly status: number | null;
  readonly text: string;
}

export interface SystemdHost {
  /** Where the machine finds a file of the container. */
  path(file: string): string;
  /** The words that run a command as root in the container. */
  entering(...command: string[]): string[];
  ask(command: readonly string[]): Answer;
  /** The same of a command that works: what it printed. */
  run(...command: string[]): string;
  /** `systemctl show` of a property of a unit. */
  property(unit: string, name: string): string;
  end(): Promise<void>;
}

export async function bootSystemd(namespace: string): Promise<SystemdHost> {
  const directory = mkdtempSync(join(tmpdir(), 'hushlb-test-'));
  const script = ['sh', SCRIPT, 'outside', directory, namespace, `hushlb-${process.pid}`, REPOSITORY, process.execPath];
  const container: ChildProcessByStdio<Writable, Readable, Readable> = spawn(
    'unshare',
    ['--mount', '--propagation', 'private', ...script],
    { stdio: 'pipe', detached: true },
  );
  const ended = once(container, 'exit');
  let said = '';
  container.stderr.on('data', (data) => (said += data));
  const end = async (): Promise<void> => {
    container.stdin.end();
    await ended;
    rmSync(directory, { recursive: true });
  };

  try {
    const pid = await Promise.race([
      once(container.stdout, 'data').then(([line]) => Number(line)),
      ended.then(() => 0),
      new Promise<number>((resolve) => setTimeout(resolve, BOOT_PATIENCE_MS, 0).unref()),
    ]);
    assert.ok(pid > 0, `no container: ${said}`);
    const entering = (...command: string[]): string[] => {
      const enter = ['nsenter', '--all', '--target', String(pid), '--'];
      return [...enter, 'env', '-i', 'PATH=/usr/local/bin:/usr/sbin:/usr/bin', ...command];
    };
    const ask = (command: readonly string[]): Answer => {
      const [enter, ...words] = entering(...command);
      const { status, stdout, stderr } = spawnSync(enter, words, { encoding: 'utf8', timeout: COMMAND_TIMEOUT_MS });
      return { status, text: `${stdout}${stderr}`.trim() };
    };
    const run = (...command: string[]): string => {
      const { status, text } = ask(command);
      assert.equal(status, 0, `${command.join(' ')}: ${text}`);
      return text;
    };
    const booted = (): boolean => /^(running|degraded)$/.test(ask(['systemctl', 'is-system-running']).text);
    await until(booted, () => `it boots: ${said}`);
    return {
      path: (file) => `/proc/${pid}/root${file}`,
      entering,
      ask,
      run,
      property: (unit, name) => run('systemctl', 'show', '--value', '--property', name, unit),
      end,
    };
  } catch (error) {
    await end();
    throw error;
  }
}

/** Looks again and again. */
export async function until(isSo: () => boolean | Promise<boolean>, what: () => string): Promise<void> {
  const deadline = performance.now() + BOOT_PATIENCE_MS;
  while (!(await isSo())) {
    assert.ok(performance.now() < deadline, `never: ${what()}`);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}
