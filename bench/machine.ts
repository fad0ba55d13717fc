/** What the figures come from: a figure without its machine is none. Read by bench/main.ts once a run. */
import { execFileSync } from 'node:child_process';
import os from 'node:os';
import { fileURLToPath } from 'node:url';

/** From dist/bench/. */
const ROOT = fileURLToPath(new URL('../..', import.meta.url));

export interface Machine {
  readonly processor: string;
  readonly memory: string;
  readonly kernel: string;
  readonly node: string;
  /** Abbreviated, with `+` where the tree has changes; `unknown` outside of a clone. */
  readonly commit: string;
  readonly date: string;
}

export function describeMachine(now: Date): Machine {
  const cores = os.availableParallelism();
  return {
    processor: `${os.cpus()[0]?.model.trim() ?? 'unknown'}, ${cores} ${cores === 1 ? 'core' : 'cores'}`,
    memory: `${Math.round(os.totalmem() / 2 ** 30)} GiB`,
    kernel: `Linux ${os.release()}, ${process.arch}`,
    node: `Node ${process.version}`,
    commit: commit(),
    date: now.toISOString().slice(0, 10),
  };
}

function commit(): string {
  try {
    const git = (...args: string[]): string =>
      execFileSync('git', args, { cwd: ROOT, stdio: 'pipe', encoding: 'utf8' }).trim();
    const name = git('rev-parse', '--short', 'HEAD');
    return git('status', '--porcelain', '--untracked-files=no') === '' ? name : `${name}+`;
  } catch {
    return 'unknown';
  }
}
