/**
 * Programs in the hosts' namespaces: started the way a user would (`ip netns exec`), their output read line by line, and
 * ended again. Used for the balancer, the backends, the client and the probe.
 */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { LabError } from './errors.ts';

/** The programs of the lab itself, beside this file once compiled. */
export function labProgram(name: string): string {
  return new URL(`./${name}.js`, import.meta.url).pathname;
}

/** hushlb's own command line, as this very build has it. */
export const HUSHLB = new URL('../cli/main.js', import.meta.url).pathname;

export interface ProcessDescription {
  /** What messages call it: 'the balancer', 'nginx on b1'. */
  readonly name: string;
  readonly namespace: string;
  readonly command: readonly string[];
  readonly onLine?: (line: string) => void;
  /** Called when it ends before `stop` was called, with a line that says how. */
  readonly onUnexpectedEnd: (error: LabError) => void;
}

export interface HostProcess {
  readonly name: string;
  /** Resolves to the exit code, or the signal that ended it. */
  readonly ended: Promise<number | NodeJS.Signals>;
  /** Resolves with the first line that `isIt` accepts, lines of the past included. Rejects when `signal` aborts. */
  waitForLine(isIt: (line: string) => boolean, timeoutMs: number, signal: AbortSignal): Promise<string>;
  write(line: string): void;
  /** From here on its end is expected. */
  release(): void;
  /** SIGHUP: daemons read their configuration again. */
  hangUp(): void;
  /** SIGKILL, as a crash would. Resolves when it has ended. */
  kill(): Promise<void>;
  /** SIGTERM, and SIGKILL for who does not listen. Resolves when it has ended. */
  stop(): Promise<void>;
}

const STOP_PATIENCE_MS = 5000;
const LINES_KEPT = 200;

export function startProcess(description: ProcessDescription): HostProcess {
  const { name, namespace, command, onLine, onUnexpectedEnd } = description;
  // A process group of its own: Ctrl-C reaches the lab alone, which then ends its programs in order.
  const child: ChildProcessByStdio<Writable, Readable, Readable> = spawn(
    'ip',
    ['netns', 'exec', namespace, ...command],
    { stdio: 'pipe', detached: true },
  );
  child.stdin.on('error', () => {}); // it ended before it read; how it ended is reported below

  const lines: string[] = [];
  const waiting = new Set<(line: string) => void>();
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on('line', (line) => {
      lines.push(line);
      if (lines.length > LINES_KEPT) lines.shift();
      onLine?.(line);
      for (const listener of waiting) listener(line);
    });
  }

  let expected = false;
  let alive = true;
  const ended = new Promise<number | NodeJS.Signals>((resolve) => {
    child.once('error', (error) => {
      alive = false;
      onUnexpectedEnd(new LabError('LAB_PROCESS', `could not start ${name}: ${error.message}`));
      resolve(1);
    });
    // 'close' comes after the last line was read, 'exit' may come before.
    child.once('close', (code, signal) => {
      alive = false;
      const how = code ?? signal ?? 1;
      if (!expected) onUnexpectedEnd(new LabError('LAB_PROCESS', `${name} ended (${how}): ${lastWords(lines)}`));
      resolve(how);
    });
  });

  return {
    name,
    ended,
    waitForLine(isIt, timeoutMs, signal) {
      return new Promise((resolve, reject) => {
        const settle = (action: () => void): void => {
          waiting.delete(listener);
          clearTimeout(timer);
          signal.removeEventListener('abort', onAbort);
          action();
        };
        const listener = (line: string): void => {
          if (isIt(line)) settle(() => resolve(line));
        };
        const onAbort = (): void => settle(() => reject(signal.reason));
        const timer = setTimeout(() => {
          const message = `${name} was not ready after ${timeoutMs / 1000} s: ${lastWords(lines)}`;
          settle(() => reject(new LabError('LAB_TIMEOUT', message)));
        }, timeoutMs);
        waiting.add(listener);
        signal.addEventListener('abort', onAbort);
        if (signal.aborted) onAbort();
        lines.forEach(listener);
      });
    },
    write: (line) => void child.stdin.write(`${line}\n`),
    release: () => {
      expected = true;
    },
    hangUp: () => void child.kill('SIGHUP'),
    async kill() {
      expected = true;
      child.kill('SIGKILL');
      await ended;
    },
    async stop() {
      expected = true;
      if (alive) child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), STOP_PATIENCE_MS);
      await ended;
      clearTimeout(timer);
    },
  };
}

/** The line of its output that most likely says why: the message of a JSON log line where it is one. */
function lastWords(lines: readonly string[]): string {
  const last = lines.filter((line) => line.trim() !== '').at(-1);
  return last === undefined ? 'it said nothing' : (logMessage(last) ?? last);
}

/** `msg` of a line of pino's JSON, undefined for any other line. */
export function logMessage(line: string): string | undefined {
  if (!line.startsWith('{')) return undefined;
  try {
    const { msg } = JSON.parse(line) as { msg?: unknown };
    return typeof msg === 'string' ? msg : undefined;
  } catch {
    return undefined;
  }
}

/** Waits; rejects with the signal's reason as soon as it aborts. */
export function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', onAbort);
      resolve();
    }, milliseconds);
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) onAbort();
  });
}
