/**
 * `hushlb lab` as a process, as a user starts it, and what there is of a run on this machine. When the tests of the file
 * that imports it are over, it clears what their runs have left. Not a test.
 */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { after } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { HUSHLB } from '../../lab/processes.ts';
import { removeRun, runDirectory } from '../../lab/runs.ts';

const PATIENCE_MS = 60_000;

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface StartedLab {
  readonly pid: number;
  readonly ended: Promise<Ended>;
  kill(signal: NodeJS.Signals): void;
}

const started: number[] = [];
after(() => {
  for (const pid of started) removeRun(String(pid));
});

/** Starts `hushlb lab OPTIONS`. */
export function lab(...options: readonly string[]): StartedLab {
  const child = spawn(process.execPath, [HUSHLB, 'lab', ...options], { stdio: ['ignore', 'pipe', 'pipe'] });
  const pid = child.pid as number;
  started.push(pid);
  const output = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (text: string) => {
      output[name] += text;
    });
  }
  const ended = new Promise<Ended>((resolve) => child.once('close', (code) => resolve({ code, ...output })));
  return { pid, ended, kill: (signal) => void child.kill(signal) };
}

export function namespacesOf(pid: number): string[] {
  return readdirSync('/run/netns').filter((name) => name.startsWith(`hushlb-${pid}-`));
}

/** Everything on this machine that carries the run's id. */
export function traces(pid: number): string[] {
  // Programs of a run have its directory or one of its namespaces in their command line; the lab itself has not.
  const processes = spawnSync('pgrep', ['-f', `hushlb-${pid}[-/]`], { encoding: 'utf8' })
    .stdout.split('\n')
    .filter(Boolean);
  const files = existsSync(runDirectory(String(pid))) ? [runDirectory(String(pid))] : [];
  return [...namespacesOf(pid), ...processes, ...files];
}

export async function until(what: string, isSo: () => boolean): Promise<void> {
  const deadline = Date.now() + PATIENCE_MS;
  while (!isSo()) {
    assert.ok(Date.now() < deadline, `waited in vain for ${what}`);
    await sleep(20);
  }
}
