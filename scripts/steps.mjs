/**
 * Runs the scripts' child processes, one at a time: shown as a step with its time, or with the terminal handed over.
 *
 * Each child leads a session of its own, so a Ctrl-C reaches it once, from here. (npm hands on the SIGINT that the
 * terminal has already sent to everyone; the lab would take the second one for impatience.) A child that was
 * interrupted is waited for: it has things to put back, and so have our callers in their `finally`.
 */
import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('..', import.meta.url));

/** What join.mjs leaves in the modules that it has joined: tsc alone, called by hand, leaves slower ones. */
export const JOINED = '// Joined by scripts/join.mjs.';

/** A failure that its one line explains; `output` is what the failed step printed. */
export class Failure extends Error {
  constructor(message, output = '') {
    super(message);
    this.output = output;
  }
}

/** The user pressed Ctrl-C, or someone sent SIGTERM or SIGHUP. */
class Interruption extends Error {}

const SAME_KEYPRESS_MS = 500;
const TICK_MS = 1000;

/** The child that runs now: its pid, what it is if a step, and whether its own children get our signals too. */
let running;
let interruptedBy;
let interruptedAtMs = Number.NEGATIVE_INFINITY;

function interrupt(signal) {
  const now = performance.now();
  if (now - interruptedAtMs < SAME_KEYPRESS_MS) return;
  interruptedAtMs = now;
  interruptedBy = signal;
  if (running === undefined) process.exit(exitCodeOf(signal));
  const { pid, title, signalGroup } = running;
  if (title !== undefined) process.stderr.write(`\nhushlb: ${signal}: waiting for ${title} to end\n`);
  try {
    process.kill(signalGroup ? -pid : pid, signal);
  } catch (error) {
    if (error.code !== 'ESRCH') throw error;
  }
}

function exitCodeOf(signal) {
  return 128 + constants.signals[signal];
}

/**
 * Runs a script's body, which returns an exit code or nothing, and ends the process with it. A Failure is printed as
 * one line after the output of the step that failed.
 */
export async function main(body) {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, interrupt);
  try {
    process.exitCode = (await body()) ?? 0;
  } catch (error) {
    if (error instanceof Failure) {
      process.stderr.write(error.output);
      note(error.message);
    } else if (!(error instanceof Interruption)) {
      throw error;
    }
    process.exitCode = 1;
  }
  if (interruptedBy !== undefined) process.exitCode = exitCodeOf(interruptedBy);
}

/** One line of ours, on stderr: stdout belongs to the program that the script runs. */
export function note(line) {
  process.stderr.write(`hushlb: ${line}\n`);
}

/**
 * Runs a command without showing its output; on a terminal a line counts the seconds. Rejects with a Failure that
 * carries the output when the command fails. `signalGroup: false` spares the command's children a Ctrl-C.
 */
export async function step(title, command, args, { env = process.env, signalGroup = true } = {}) {
  const output = [];
  const started = performance.now();
  const seconds = (digits) => `${((performance.now() - started) / 1000).toFixed(digits)} s`;
  const progress = () => process.stderr.write(`\r\x1b[Khushlb: ${title} … ${seconds(0)}`);
  const ticker = process.stderr.isTTY ? setInterval(progress, TICK_MS) : undefined;
  if (ticker !== undefined) progress();

  let result;
  try {
    result = await ended(command, args, { env, title, signalGroup, stdio: ['ignore', 'pipe', 'pipe'] }, output);
  } finally {
    clearInterval(ticker);
    if (ticker !== undefined) process.stderr.write('\r\x1b[K');
  }
  if (interruptedBy !== undefined) {
    note(`${title}: interrupted after ${seconds(1)}`);
    throw new Interruption();
  }
  if (result.code !== 0) {
    throw new Failure(`${title}: failed after ${seconds(1)}`, Buffer.concat(output).toString());
  }
  note(`${title}: ${seconds(1)}`);
}

/** Runs a command with our stdout and stderr and without stdin; resolves to its exit code and the pid that it had. */
export function handOver(command, args, { env = process.env } = {}) {
  return ended(command, args, { env, stdio: ['ignore', 'inherit', 'inherit'] });
}

function ended(command, args, { env, title, signalGroup = true, stdio }, output = []) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: root, env, stdio, detached: true });
    running = { pid: child.pid, title, signalGroup };
    child.stdout?.on('data', (chunk) => output.push(chunk));
    child.stderr?.on('data', (chunk) => output.push(chunk));
    child.on('error', (error) => {
      running = undefined;
      reject(error.code === 'ENOENT' ? new Failure(`${command}: not found: install it and run this again`) : error);
    });
    child.on('close', (code, signal) => {
      running = undefined;
      resolve({ code: code ?? exitCodeOf(signal), pid: child.pid });
    });
  });
}
