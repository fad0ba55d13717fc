/**
 * A process that measures on demand: a line in on its stdin, a line out on its stdout. The subjects of decision-cost, the load
 * of forwarding and the C programs are such; between two lines they sleep, so that one is measured at a time.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

export interface LineProcess {
  readonly child: ChildProcess;
  /** Writes a line and resolves with the next line of output. Rejects when the process ends instead. */
  ask(line: string): Promise<string>;
  /** Resolves with the next line of output. */
  next(): Promise<string>;
  /** Closes its stdin, asks it to end, and resolves when it has. */
  end(): Promise<void>;
}

export interface LineProcessOptions {
  /** Of `stderr`, its lines are answers too; otherwise it is ours. */
  readonly answersOn?: 'stdout' | 'stderr';
  /** Handed on as descriptors 3 and up. */
  readonly descriptors?: readonly number[];
}

const running = new Set<ChildProcess>();
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** `name` is for messages. What still runs when this process exits is killed. */
export function startLineProcess(
  name: string,
  command: readonly string[],
  { answersOn = 'stdout', descriptors = [] }: LineProcessOptions = {},
): LineProcess {
  const child = spawn(command[0], command.slice(1), {
    stdio: ['pipe', 'pipe', answersOn === 'stderr' ? 'pipe' : 'inherit', ...descriptors],
  });
  const { stdin } = child;
  const output = answersOn === 'stderr' ? child.stderr : child.stdout;
  if (stdin === null || output === null) throw new Error(`${name}: no pipes`);
  running.add(child);

  const lines: string[] = [];
  let waiting: ((line: string | Error) => void) | undefined;
  let ended: Error | undefined;
  const end = new Promise<void>((resolve) => {
    const onEnd = (how: string): void => {
      running.delete(child);
      ended ??= new Error(`${name}: ${how}`);
      waiting?.(ended);
      resolve();
    };
    child.once('error', (error) => onEnd(`could not be started: ${error.message}`));
    child.once('close', (code, signal) => onEnd(`ended (${code ?? signal}) before it answered`));
  });
  stdin.on('error', () => {}); // it ended before it read; `ended` tells
  createInterface({ input: output }).on('line', (line) => {
    if (waiting === undefined) lines.push(line);
    else waiting(line);
  });

  const next = (): Promise<string> =>
    new Promise((resolve, reject) => {
      const first = lines.shift();
      if (first !== undefined) return resolve(first);
      if (ended !== undefined) return reject(ended);
      waiting = (line) => {
        waiting = undefined;
        if (line instanceof Error) reject(line);
        else resolve(line);
      };
    });
  return {
    child,
    next,
    ask(line) {
      stdin.write(`${line}\n`);
      return next();
    },
    async end() {
      stdin.end();
      child.kill('SIGTERM');
      await end;
    },
  };
}
