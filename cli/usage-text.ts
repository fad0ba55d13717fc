/**
 * What yargs says about wrong arguments, in hushlb's words: options with their dashes, and the command that was meant. main.ts
 * gives yargs the strings, and each complaint to `usageText`. Pure.
 */
import { isNear } from '../lb/config-problems.ts';

/** In place of yargs' own, which are longer or say less. */
export const USAGE_MESSAGES: Record<string, string | { one: string; other: string }> = {
  'Unknown argument: %s': { one: 'unknown command or option: %s', other: 'unknown commands or options: %s' },
  'Missing required argument: %s': { one: 'missing option: %s', other: 'missing options: %s' },
  'Not enough non-option arguments: got %s, need at least %s': {
    one: 'expected more arguments: got %s, need %s',
    other: 'expected more arguments: got %s, need %s',
  },
  'Too many non-option arguments: got %s, maximum of %s': {
    one: 'expected fewer arguments: got %s, at most %s',
    other: 'expected fewer arguments: got %s, at most %s',
  },
  'Not enough arguments following: %s': 'a value is missing after option %s',
  'Invalid values:': 'wrong value',
  'Argument: %s, Given: %s, Choices: %s': 'of option %s: got %s, expected one of %s',
  'Arguments %s and %s are mutually exclusive': 'expected --%s or --%s, got both',
};

/** `typed`: the arguments as they were typed; `commands`: the names of all. */
export function usageText(message: string, typed: readonly string[], commands: readonly string[]): string {
  const [, what, list] =
    /^(unknown|missing|a value is missing after) (?:commands? or )?options?:? (.*)$/.exec(message) ?? [];
  if (list === undefined) return message;
  const names = list.split(', ');
  if (what === 'unknown') return unknownText(names, typed, commands);
  if (what === 'missing') return `missing option${names.length === 1 ? '' : 's'}: ${names.map(dashed).join(', ')}`;
  return `${what} option ${dashed(list)}`;
}

function unknownText(all: readonly string[], typed: readonly string[], commands: readonly string[]): string {
  // yargs names `--no-json` a second time, as `noJson`.
  const names = all.filter((name) => !all.some((other) => other !== name && camelCase(other) === name));
  const [first] = names;
  if (names.length === 1 && first === typed[0]) {
    const meant = commands.find((command) => isNear(first.toLowerCase(), command));
    return `unknown command: ${first}${meant === undefined ? '' : ` (did you mean ${meant}?)`}`;
  }
  const shown = names.map((name) => (wasOption(name, typed) ? dashed(name) : name));
  if (shown.every((name) => name.startsWith('-')))
    return `unknown option${names.length === 1 ? '' : 's'}: ${shown.join(', ')}`;
  return `unknown command${names.length === 1 ? ' or option' : 's or options'}: ${shown.join(', ')}`;
}

function wasOption(name: string, typed: readonly string[]): boolean {
  if (name.length === 1) return typed.some((word) => /^-[^-]/.test(word) && word.includes(name));
  return typed.some((word) => word === `--${name}` || word.startsWith(`--${name}=`));
}

function dashed(name: string): string {
  return name.length === 1 ? `-${name}` : `--${name}`;
}

function camelCase(name: string): string {
  return name.replace(/-+(.)/g, (_dash, letter: string) => letter.toUpperCase());
}
