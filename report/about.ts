/**
 * Where a report comes from: the command, the versions of what took part, the kernel, the machine. Without the names of
 * hosts and users: people send reports around.
 */
import { spawnSync } from 'node:child_process';
import { arch, cpus, release } from 'node:os';
import { findProgram } from '../lab/programs.ts';
import type { About } from './model.ts';
import { plural } from './words.ts';

/** Programs that say their version, and the option that makes them. */
const PROGRAMS: readonly (readonly [name: string, option: string])[] = [
  ['nginx', '-v'],
  ['haproxy', '-v'],
];

/** `version` is hushlb's, `commandLine` what stands behind its name. */
export function aboutThisMachine(version: string, commandLine: readonly string[], finishedMs: number): About {
  const programs = PROGRAMS.flatMap(([name, option]): [string, string][] => {
    const found = versionOf(name, option);
    return found === undefined ? [] : [[name, found]];
  });
  const [processor] = cpus();
  const model = processor?.model.trim() || arch();
  return {
    command: ['hushlb', ...commandLine.map(quote)].join(' '),
    versions: [['hushlb', version], ['Node.js', process.versions.node], ...programs],
    kernel: `Linux ${release()}`,
    machine: `${plural(cpus().length, 'core')}, ${model}`,
    finishedMs,
  };
}

function versionOf(name: string, option: string): string | undefined {
  const program = findProgram(name);
  if (program === undefined) return undefined;
  // nginx speaks on stderr.
  const { stdout, stderr } = spawnSync(program, [option], { encoding: 'utf8', timeout: 5000 });
  return /(\d+\.\d+[\w.]*)/.exec(`${stdout}${stderr}`)?.[1];
}

/** As a shell takes it back. */
function quote(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
