/**
 * A check by an external program: exit code 0 is up, and the first line that it prints is the reason. It learns by
 * HUSHLB_SERVICE, HUSHLB_BACKEND, HUSHLB_ADDRESS and HUSHLB_PORT whom to check. It runs in a process group of its own, which
 * is killed whole at the timeout and when the check is given up, with all that the program has started. Called by
 * lb/health.ts.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import type { Check } from './monitor.ts';

export interface CommandTarget {
  readonly service: string;
  readonly backend: string;
  readonly address: string;
  /** Null where the service has no single one. */
  readonly port: number | null;
}

/** Of its output more is read, so that it isn't stopped by a full pipe, and forgotten. */
const MOST_OUTPUT = 4096;
const MOST_REASON = 200;

export function commandCheck([program, ...words]: readonly string[], target: CommandTarget): Check {
  const env = {
    PATH: process.env.PATH,
    LANG: process.env.LANG,
    HUSHLB_SERVICE: target.service,
    HUSHLB_BACKEND: target.backend,
    HUSHLB_ADDRESS: target.address,
    HUSHLB_PORT: target.port === null ? '' : `${target.port}`,
  };
  return (signal) =>
    new Promise((resolve, reject) => {
      const child = spawn(program, words, { env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
      let output = '';
      for (const stream of [child.stdout, child.stderr]) {
        stream.setEncoding('utf8');
        stream.on('data', (text: string) => {
          if (output.length < MOST_OUTPUT) output += text;
        });
      }
      child.once('error', (error: NodeJS.ErrnoException) => {
        reject(error.code === 'ENOENT' ? new Error(`there is no program ${program}`) : error);
      });
      signal.addEventListener('abort', () => killGroup(child), { once: true });
      // Not 'close': a process that it left behind may keep the pipes open, and is killed when the check is over.
      child.once('exit', (code, killed) => {
        const how = killed === null ? `exit code ${code}` : `ended by ${killed}`;
        // What it printed last may still be on its way.
        setImmediate(() => resolve({ ok: code === 0, reason: firstLine(output) || how }));
      });
    });
}

function firstLine(output: string): string {
  return output.trimStart().split('\n', 1)[0].replace(/\p{C}/gu, ' ').trim().slice(0, MOST_REASON);
}

function killGroup({ pid }: ChildProcess): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // Nobody of it is there any more.
  }
}
