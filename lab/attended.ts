/**
 * A run of the lab with somebody in front of it: Ctrl-C at any moment, a line of progress, colours where the terminal has
 * them, and a file for the results that can be written. lab/session.ts and lab/matrix-session.ts call it.
 */
import { accessSync, constants } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { styleText } from 'node:util';
import type { Style } from './draw.ts';
import { LabError } from './errors.ts';
import type { Look } from './report.ts';

/** The signals that end a run early, with the exit codes that shells expect then. */
const SIGNALS = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;

class Interruption extends Error {
  readonly exitCode: number;

  constructor(exitCode: number) {
    super('interrupted');
    this.exitCode = exitCode;
  }
}

/**
 * Does the work, and returns the exit code that it comes to; that of a signal after one, when the work has rejected with
 * the reason of the AbortSignal it is given. What else it throws passes through.
 */
export async function attended(work: (signal: AbortSignal, status: StatusLine) => Promise<number>): Promise<number> {
  const interrupt = new AbortController();
  const handlers = Object.entries(SIGNALS).map(([name, exitCode]) => {
    const handler = (): void => interrupt.abort(new Interruption(exitCode));
    process.on(name, handler);
    return { name, handler };
  });
  const status = statusLine();
  try {
    return await work(interrupt.signal, status);
  } catch (error) {
    if (!(error instanceof Interruption)) throw error;
    process.stderr.write('hushlb: interrupted, the network is taken down\n');
    return error.exitCode;
  } finally {
    status.clear();
    for (const { name, handler } of handlers) process.removeListener(name, handler);
  }
}

/** Before half a minute of work, not after it. */
export function checkWritable(file: string): void {
  try {
    accessSync(dirname(resolve(file)), constants.W_OK);
  } catch {
    throw new LabError('LAB_REPORT', `cannot write ${file}: ${dirname(resolve(file))} is no writable directory`);
  }
}

const FORMATS: Record<Exclude<Style, 'plain'>, Parameters<typeof styleText>[0]> = {
  dim: 'dim',
  strong: 'bold',
  good: 'green',
  bad: ['red', 'bold'],
  table: 'cyan',
};

export function terminalLook(width: number): Look {
  // hasColors heeds NO_COLOR, FORCE_COLOR and a dumb terminal.
  const colours = process.stdout.isTTY && process.stdout.hasColors();
  return { width, paint: (style, text) => (colours && style !== 'plain' ? styleText(FORMATS[style], text) : text) };
}

export interface StatusLine {
  show(text: string): void;
  clear(): void;
}

/** One line on the terminal that is written over again and again; nothing where stderr is no terminal. */
function statusLine(): StatusLine {
  const { stderr } = process;
  if (!stderr.isTTY) return { show: () => {}, clear: () => {} };
  let shown = false;
  return {
    show(text) {
      shown = true;
      stderr.write(`\r\u001b[2K${text.slice(0, Math.max(0, stderr.columns - 1))}`);
    },
    clear() {
      if (shown) stderr.write('\r\u001b[2K');
      shown = false;
    },
  };
}
