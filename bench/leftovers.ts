/**
 * Networks of runs that were killed with SIGKILL, and so could not take them away themselves. `npm run bench` clears them before
 * it builds its own (bench/main.ts): those of bench/forwarding/network.ts, and those of the lab, on which `real-tcp` and
 * `stateful-stateless` run.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { findRuns, namespaceName, removeRun } from '../lab/runs.ts';
import { NAMESPACE_OF_RUN } from './forwarding/network.ts';

const NAMESPACES = '/run/netns';

/** Removes the namespaces of runs whose process has ended, with the programs that still run in them; returns their names. */
export function removeLeftovers(): string[] {
  return [...removeNamespaces(), ...removeLabRuns()];
}

function removeNamespaces(): string[] {
  const names = existsSync(NAMESPACES) ? readdirSync(NAMESPACES) : [];
  const left = names.filter((name) => {
    const pid = NAMESPACE_OF_RUN.exec(name)?.[1];
    return pid !== undefined && !existsSync(`/proc/${pid}`);
  });
  for (const name of left) {
    const { stdout } = spawnSync('ip', ['netns', 'pids', name], { encoding: 'utf8' });
    for (const pid of stdout.split('\n').filter(Boolean)) kill(Number(pid));
    spawnSync('ip', ['netns', 'delete', name], { stdio: 'ignore' });
  }
  return left;
}

/** As `hushlb lab clean` does. */
function removeLabRuns(): string[] {
  const dead = findRuns().filter(({ ownerAlive }) => !ownerAlive);
  for (const { runId } of dead) removeRun(runId);
  return dead.map(({ runId }) => namespaceName(runId, '*'));
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended meanwhile.
  }
}
