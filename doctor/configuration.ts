/**
 * The configuration as a file on this host: what `hushlb check` says, who may write it, and the seed of the hashes.
 */
import { type Finding, tell } from './finding.ts';

const { ok, warning, error } = tell('configuration');

export interface ConfigurationFacts {
  readonly file: string;
  /** File permissions, as stat(2) has them; null where there is no file, or something else of that name. */
  readonly mode: number | null;
  /** What is wrong with it, a line each; empty: it is fine. */
  readonly problems: readonly string[];
  readonly warnings: readonly { readonly path: string; readonly message: string }[];
  /** Null where the file could not be read. */
  readonly hashSeed: number | null;
  /** A seed that nobody can guess, for the command that sets it. */
  readonly freshSeed: number;
}

const WORLD_WRITABLE = 0o002;

/** `role`: of a backend only whether the file can be read matters. */
export function judgeConfiguration(facts: ConfigurationFacts, role: 'balancer' | 'backend'): Finding[] {
  const { file, mode, problems } = facts;
  const findings: Finding[] = [];
  // Nobody reads such a file any further: the other problem would be the same again.
  if (mode !== null && (mode & WORLD_WRITABLE) !== 0) {
    findings.push(
      error(
        'world-writable',
        `everybody on this host may write ${file}`,
        'whoever writes it says where the packets of every connection go',
        [`chmod o-w ${quoted(file)}`],
      ),
    );
  } else if (problems.length > 0) {
    const [first] = problems;
    const more = problems.length === 1 ? '' : ` (and ${problems.length - 1} more)`;
    findings.push(
      error(
        'configuration-bad',
        `${first}${more}`,
        'hushlb takes a configuration whole or not at all',
        mode === null ? [] : [`hushlb check -c ${quoted(file)}`],
      ),
    );
  }
  if (role === 'balancer') findings.push(...judgeChoices(facts));
  if (findings.length === 0) findings.push(ok('configuration', `${file} is fine`));
  return findings;
}

function* judgeChoices({ file, warnings, hashSeed, freshSeed }: ConfigurationFacts): Generator<Finding> {
  for (const { path, message } of warnings) {
    // Said below, with the command.
    if (path === 'hashSeed') continue;
    yield warning('configuration-warning', `${path}: ${message}`, 'it works, and may not be what was meant', [
      `hushlb check -c ${quoted(file)}`,
    ]);
  }
  if (hashSeed === 0) {
    yield warning(
      'hash-seed',
      'hashSeed is the default, which everybody knows',
      'whoever knows the seed can aim at one backend: take one of your own, the same on all balancers of a VIP, then restart',
      [settingCommand(file, 'hashSeed', freshSeed)],
    );
  }
}

/** Sets a key of the outermost mapping, whether it stands in the file or not. */
export function settingCommand(file: string, key: string, value: string | number): string {
  return `sed -i -e '1i ${key}: ${value}' -e '/^${key}:/d' ${quoted(file)}`;
}

/** As a shell's word. */
export function quoted(text: string): string {
  return /^[\w./:@%+=-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
