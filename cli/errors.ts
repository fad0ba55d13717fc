/**
 * What the user reads when a command fails. main.ts calls `report` for everything that a command throws.
 *
 * An error with a stable `code` is an expected failure and costs one line; anything else is a bug and keeps its stack.
 */
import { type ExpectedError, isExpected } from '../lb/errors.ts';

/** The arguments make no sense: wrong command, option or value. Exit code 2, of `hushlb plan` 1. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
  readonly code = 'USAGE';
}

/**
 * Prints the error to stderr and returns the exit code (main.ts has them); `commands` are the names of all, of nested ones in two
 * words. HUSHLB_DEBUG=1 adds the stack.
 */
export function report(error: unknown, commands: readonly string[] = []): number {
  if (!isExpected(error)) {
    const detail = error instanceof Error ? error.stack : String(error);
    process.stderr.write(`hushlb: this is a bug in hushlb, please report it\n${detail}\n`);
    return 1;
  }
  process.stderr.write(`hushlb: ${lineOf(error, commands)}\n`);
  if (process.env.HUSHLB_DEBUG === '1') process.stderr.write(`${error.stack}\n`);
  const [, , command] = process.argv;
  if (command === 'run' && error.code === 'CONFIG_INVALID') return CONFIGURATION_IS_WRONG;
  return error instanceof UsageError && !MEANS_BY_2.has(command) ? 2 : 1;
}

/** EX_CONFIG of sysexits.h: who starts services knows that another try does not help. */
const CONFIGURATION_IS_WRONG = 78;

/** Commands whose exit code 2 is an answer: nothing that went wrong may look like it. */
const MEANS_BY_2 = new Set(['plan']);

function lineOf(error: ExpectedError, commands: readonly string[]): string {
  // yargs spreads some of its messages over several lines.
  if (error instanceof UsageError) {
    return `${error.message.replace(/\s*\n\s*/g, ' ')}; see ${helpCommand(commands)}`;
  }
  if (error.code === 'EPERM' && !/\broot\b/.test(error.message))
    return `permission is missing (${error.message}): run as root`;
  return error.message;
}

function helpCommand(commands: readonly string[]): string {
  const [command = '', nested = ''] = process.argv.slice(2);
  const known = [`${command} ${nested}`, command].find((name) => commands.includes(name));
  return known === undefined ? 'hushlb --help' : `hushlb ${known} --help`;
}
