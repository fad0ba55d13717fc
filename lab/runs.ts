/**
 * One `hushlb lab run` is a run: what it leaves on the machine carries its id, the pid of its process, so that two labs
 * never meet and whoever comes later can tell whether the owner still lives.
 *
 *     /run/netns/hushlb-4711-client …     its namespaces, one a host
 *     /run/hushlb-4711/                   its files: configurations, logs, and `owner`
 *
 * lab/experiment.ts opens and closes runs, `hushlb lab clean` finds what a kill -9 left.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { LabError } from './errors.ts';

const NAMESPACES = '/run/netns';
const RUN_DIRECTORIES = '/run';
const OWN_NAME = /^hushlb-(\d+)(?:-|$)/;
const KILL_PATIENCE_MS = 2000;

export function namespaceName(runId: string, host: string): string {
  return `hushlb-${runId}-${host}`;
}

export function runDirectory(runId: string): string {
  return `${RUN_DIRECTORIES}/hushlb-${runId}`;
}

/** Opens the run of this process and returns its id. Leftovers of an earlier process with the same pid are cleared. */
export function openRun(): string {
  const runId = String(process.pid);
  removeRun(runId);
  mkdirSync(runDirectory(runId), { mode: 0o700 });
  writeFileSync(`${runDirectory(runId)}/owner`, startTime(process.pid) ?? '');
  return runId;
}

/** What `removeRun` found and took away. */
export interface Removal {
  readonly namespaces: number;
  readonly processes: number;
  readonly directory: boolean;
}

/**
 * Ends every process in the run's namespaces, then removes these and the run's files. Synchronous, so that it also works
 * from an 'exit' handler; harmless where there is nothing left.
 */
export function removeRun(runId: string): Removal {
  const namespaces = list(NAMESPACES).filter((name) => name.startsWith(`hushlb-${runId}-`));
  const processes = killAll(namespaces);
  ipBatch(namespaces.map((name) => `netns del ${name}`));
  const directory = list(RUN_DIRECTORIES).includes(`hushlb-${runId}`);
  rmSync(runDirectory(runId), { recursive: true, force: true });
  return { namespaces: namespaces.length, processes, directory };
}

export interface FoundRun {
  readonly runId: string;
  readonly ownerAlive: boolean;
}

/** All runs that have left something on this machine, also those that go on right now. */
export function findRuns(): FoundRun[] {
  const ids = [...list(NAMESPACES), ...list(RUN_DIRECTORIES)].flatMap((name) => OWN_NAME.exec(name)?.[1] ?? []);
  return [...new Set(ids)].map((runId) => ({ runId, ownerAlive: ownerAlive(runId) }));
}

function ownerAlive(runId: string): boolean {
  const started = startTime(Number(runId));
  if (started === undefined) return false;
  try {
    // A pid is given out again after a while; its process's start time tells the two apart.
    return readFileSync(`${runDirectory(runId)}/owner`, 'utf8') === started;
  } catch {
    return true; // it is just opening the run
  }
}

/** When the process was started, in clock ticks since boot: field 22 of proc_pid_stat(5). Undefined if it is gone. */
function startTime(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // Field 2, the program's name, may hold spaces and parentheses; the last parenthesis ends it.
    const [state, ...rest] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return state === 'Z' ? undefined : rest[18];
  } catch {
    return undefined;
  }
}

function killAll(namespaces: readonly string[]): number {
  const listPids = (): number[] =>
    ipBatch(namespaces.map((name) => `netns pids ${name}`))
      .split('\n')
      .filter((line) => line !== '')
      .map(Number);
  const pids = listPids();
  for (const pid of pids) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // It ended in the meantime.
    }
  }
  const deadline = Date.now() + KILL_PATIENCE_MS;
  while (listPids().length > 0 && Date.now() < deadline) Atomics.wait(STILL, 0, 0, 20);
  return pids.length;
}

const STILL = new Int32Array(new SharedArrayBuffer(4));

/** Runs all commands, also after one that fails: what is to be removed may be gone already. */
function ipBatch(commands: readonly string[]): string {
  if (commands.length === 0) return '';
  return spawnSync('ip', ['-force', '-batch', '-'], { input: commands.join('\n'), encoding: 'utf8' }).stdout ?? '';
}

function list(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

/** The lab makes namespaces and starts programs in them: says in one line what is missing for that. */
export function checkPrerequisites(): void {
  if (process.getuid?.() !== 0) {
    throw new LabError('LAB_NOT_ROOT', 'the lab makes network namespaces, which only root may: run it with sudo');
  }
  if (spawnSync('ip', ['-V']).error !== undefined) {
    throw new LabError('LAB_PROGRAM_MISSING', 'the program ip is missing: install iproute2 (apt install iproute2)');
  }
}
