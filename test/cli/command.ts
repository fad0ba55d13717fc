/**
 * The compiled command line as a child process, as a user starts it.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

/** A command that takes longer hangs. Many of these tests give way to others, on machines that have other things to do too. */
const PATIENCE_MS = 240_000;

export const MAIN = fileURLToPath(new URL('../../cli/main.js', import.meta.url));

export interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Environment of every child: what the tests' own terminal says must not matter. */
function environment(more: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const { COLUMNS: _columns, HUSHLB_DEBUG: _debug, NO_COLOR: _color, ...rest } = process.env;
  return { ...rest, ...more };
}

let running = 0;
const waiting: (() => void)[] = [];

/** Runs `hushlb ARGS` to its end. Of those that are asked for at once, as many run at a time as there are cores. */
export async function hushlb(args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Outcome> {
  if (running === availableParallelism()) await new Promise<void>((resolve) => waiting.push(resolve));
  else running++;
  try {
    return await runToItsEnd(args, env);
  } finally {
    const next = waiting.shift();
    if (next === undefined) running--;
    else next();
  }
}

function runToItsEnd(args: readonly string[], env: NodeJS.ProcessEnv): Promise<Outcome> {
  return new Promise((resolve) => {
    const options = { env: environment(env), maxBuffer: 2 ** 26, timeout: PATIENCE_MS };
    const child: ChildProcess = execFile(process.execPath, [MAIN, ...args], options, (_error, stdout, stderr) =>
      resolve({ code: child.exitCode, stdout, stderr }),
    );
  });
}

/** Starts a program that stays; the caller ends it. */
export function start(command: readonly string[], env: NodeJS.ProcessEnv = {}): ChildProcess {
  const [program, ...args] = command;
  return spawn(program, args, { env: environment(env), stdio: ['ignore', 'pipe', 'pipe'] });
}

export interface Folder {
  /** Writes a file and returns its path. */
  write(name: string, text: string): string;
  remove(): void;
}

export function temporaryFolder(): Folder {
  const path = mkdtempSync(join(tmpdir(), 'hushlb-test-cli-'));
  return {
    write(name, text) {
      const file = join(path, name);
      writeFileSync(file, text);
      return file;
    },
    remove: () => rmSync(path, { recursive: true }),
  };
}

export const CONFIGURATION = `
interface: eth0
services:
  - name: web
    vip: 198.18.10.1
    port: 80
    backends:
      - { name: b2, address: 198.18.2.2, weight: 3 }
      - { name: b1, address: 198.18.2.1 }
      - { name: b0, address: 198.18.2.3, state: draining }
  - name: api
    vip: 198.18.10.1
    port: 443
    tableSize: 251
    backends: [{ name: only, address: 198.18.2.1 }]
`;

/** The names of all. */
export const COMMANDS = [
  'run',
  'status',
  'reload',
  'drain',
  'undrain',
  'weight',
  'add',
  'remove',
  'mode',
  'scheduler',
  'save',
  'check',
  'conntrack',
  'events',
  'top',
  'table',
  'profiles',
  'decap',
  'doctor',
  'agree',
  'lab',
  'simulate',
  'replay',
  'explain',
  'plan',
  'probe-idle',
  'audit',
  'completion',
];

/** Those that explain themselves, as they are typed. */
export const WITH_HELP: readonly (readonly string[])[] = [
  ...COMMANDS.map((command) => [command]),
  ['conntrack', 'list'],
  ['conntrack', 'show'],
  ['conntrack', 'flush'],
  ['lab', 'list'],
  ['lab', 'run'],
  ['lab', 'matrix'],
  ['lab', 'clean'],
];

/** What `--help` of each command prints, by one process: a start for each costs more than all of it. */
export async function helpOf(commands: readonly (readonly string[])[], columns: number): Promise<string[]> {
  const code = `
    const [main, commands] = JSON.parse(process.argv[1]);
    const { stdout } = process;
    const { write } = stdout;
    for (const stream of [stdout, process.stderr]) stream.setMaxListeners(0);
    const helps = [];
    for (const [i, command] of commands.entries()) {
      process.argv = [process.execPath, main, ...command, '--help'];
      let text = '';
      stdout.write = (more) => ((text += more), true);
      await import(main + '?' + i);
      helps.push(text);
    }
    stdout.write = write;
    stdout.write(JSON.stringify(helps));`;
  const words = ['--input-type=module', '-e', code, JSON.stringify([MAIN, commands])];
  const env = { ...process.env, COLUMNS: String(columns) };
  const { stdout, stderr } = await promisify(execFile)(process.execPath, words, { env, maxBuffer: 2 ** 26 });
  if (stderr !== '') throw new Error(stderr);
  return JSON.parse(stdout);
}

interface End {
  readonly code: number | null;
  readonly lines: readonly string[];
}

/** Lines of stderr as they come, and the end. */
export function follow(child: ChildProcess): { line(pattern: RegExp): Promise<string>; end: Promise<End> } {
  assert.ok(child.stderr !== null);
  const lines: string[] = [];
  const waiting: (() => void)[] = [];
  createInterface(child.stderr).on('line', (line) => {
    lines.push(line);
    for (const wake of waiting.splice(0)) wake();
  });
  const end = once(child, 'close').then(([code]) => ({ code, lines }));
  return {
    end,
    async line(pattern) {
      for (;;) {
        const found = lines.find((line) => pattern.test(line));
        if (found !== undefined) return found;
        const more = new Promise<void>((resolve) => waiting.push(resolve));
        await Promise.race([more, end.then(() => assert.fail(`ended without ${pattern}: ${lines.join('\n')}`))]);
      }
    },
  };
}
