/**
 * How problems of a configuration read: `PATH: expected …, got … (line 12, column 9)`. config-file.ts collects
 * findings, this file turns them into text and into the error that carries them.
 */
import type * as z from 'zod';

export type Path = readonly (string | number)[];

/** Something wrong at a path. `got` is derived from the value there unless it is given. */
export interface Finding {
  readonly path: Path;
  readonly expected: string;
  readonly got?: string;
  /** Character of the file; undefined: where the path leads. */
  readonly offset?: number | undefined;
}

export interface Problem {
  /** `services[0].backends[2].weight`; empty for the file as a whole. */
  readonly path: string;
  /** `expected …, got …` */
  readonly message: string;
  /** From 1; absent where the configuration did not come from text. */
  readonly line?: number;
  readonly column?: number;
}

/** A file that is no configuration can have as many problems as lines: more than these nobody reads. */
const MOST_SHOWN = 100;

/** A configuration that cannot be used, with everything that is wrong with it. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly code = 'CONFIG_INVALID';
  readonly problems: readonly Problem[];
  /** One line for each of them, with the file's name. */
  readonly lines: readonly string[];

  /** `source` is the file's name; a single problem makes a single line. */
  constructor(source: string, problems: readonly Problem[]) {
    const lines = problems.slice(0, MOST_SHOWN).map(lineOf);
    if (problems.length > MOST_SHOWN) lines.push(`and ${problems.length - MOST_SHOWN} more`);
    super(
      lines.length === 1 ? `${source}: ${lines[0]}` : `${source}: ${problems.length} problems\n  ${lines.join('\n  ')}`,
    );
    this.problems = problems;
    this.lines = lines.map((line) => `${source}: ${line}`);
  }
}

function lineOf({ path, message, line, column }: Problem): string {
  const position = line === undefined ? '' : ` (line ${line}, column ${column})`;
  return `${path === '' ? '' : `${path}: `}${message}${position}`;
}

export function pathText(path: Path): string {
  return path.reduce<string>((text, step) => text + stepText(step, text === ''), '');
}

/** `[2]`, `.name`, or `["a b"]` for keys that would be confusing or dangerous to print bare. */
export function stepText(step: string | number, first: boolean): string {
  if (typeof step === 'number') return `[${step}]`;
  if (!/^[\w-]{1,40}$/.test(step)) return `[${quoted(step)}]`;
  return first ? step : `.${step}`;
}

/** Schema issues as findings: a message of ours is what was expected (config.ts). */
export function findingsOf(issues: readonly z.core.$ZodIssue[], raw: unknown, base: Path = []): Finding[] {
  return issues.flatMap((issue): Finding[] => {
    const path = [...base, ...(issue.path as Path)];
    if (issue.code === 'unrecognized_keys') {
      return issue.keys.map((key) => unknownKey([...path, key], key, issue.message.split(', ')));
    }
    // "false or a mapping": what is wrong inside the mapping says more than that it is not false.
    const inside = issue.code === 'invalid_union' && kindOf(valueAt(raw, path)) === 'a mapping' && issue.errors.at(-1);
    return inside ? findingsOf(inside, raw, path) : [{ path, expected: issue.message }];
  });
}

function unknownKey(path: Path, key: string, known: readonly string[]): Finding {
  const near = known.find((candidate) => isNear(key.toLowerCase(), candidate.toLowerCase()));
  const got = `the key ${quoted(key)}`;
  return near === undefined
    ? { path, expected: `one of the keys ${known.join(', ')}`, got }
    : { path, expected: `a known key (did you mean ${near}?)`, got };
}

/** At most two letters missing, added, changed or swapped (one in short words). */
export function isNear(a: string, b: string): boolean {
  const limit = Math.min(a.length, b.length) > 4 ? 2 : 1;
  return edits(a, b, limit) <= limit;
}

function edits(a: string, b: string, limit: number): number {
  if (a === '' || b === '') return a.length + b.length;
  if (a[0] === b[0]) return edits(a.slice(1), b.slice(1), limit);
  if (limit === 0) return 1;
  const swapped = a[0] === b[1] && a[1] === b[0] ? edits(a.slice(2), b.slice(2), limit - 1) : Infinity;
  return (
    1 +
    Math.min(
      swapped,
      edits(a.slice(1), b.slice(1), limit - 1),
      edits(a.slice(1), b, limit - 1),
      edits(a, b.slice(1), limit - 1),
    )
  );
}

export function problemText({ path, expected, got }: Finding, raw: unknown): string {
  return `expected ${expected}, got ${got ?? kindOf(valueAt(raw, path))}`;
}

function valueAt(raw: unknown, path: Path): unknown {
  return path.reduce<unknown>(
    (value, step) =>
      typeof value === 'object' && value !== null && Object.hasOwn(value, step)
        ? (value as Record<string | number, unknown>)[step]
        : undefined,
    raw,
  );
}

/** Of what a file says, right or wrong: undefined where there is no such key. */
export function field(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, key)
    ? (value as Record<string, unknown>)[key]
    : undefined;
}

/** Empty where there is no such list. */
export function listOf(value: unknown, key: string): unknown[] {
  const list = field(value, key);
  return Array.isArray(list) ? list : [];
}

function kindOf(value: unknown): string {
  if (value === undefined || value === null) return 'nothing';
  if (typeof value === 'string') return quoted(value);
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : 'a list';
  return typeof value === 'object' ? 'a mapping' : String(value);
}

function quoted(text: string): string {
  return printable(JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}…` : text));
}

/** Without characters that would act on a terminal or break the line. */
export function printable(text: string): string {
  return text.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`);
}
