/**
 * From a YAML file to a frozen `Config`, or to one `ConfigError` that lists everything that is wrong, each with its
 * place. The commands and the daemon start here.
 */
import { readFileSync, statSync } from 'node:fs';
import * as yaml from 'yaml';
import { type Config, configSchema } from './config.ts';
import {
  ConfigError,
  type Finding,
  findingsOf,
  type Path,
  pathText,
  printable,
  problemText,
} from './config-problems.ts';
import { contradictions, type Warning, warningsOf } from './config-rules.ts';
import { groupWarning, whyUntrusted } from './config-trust.ts';

export interface CheckedConfig {
  readonly config: Config;
  readonly warnings: readonly Warning[];
  /** What was checked. */
  readonly text: string;
  /** The same as YAML's values, before any default. */
  readonly data: unknown;
}

/** Room for MAX_BACKENDS backends on lines of 120 characters. */
const MAX_FILE_BYTES = 8 * 1024 * 1024;
/**
 * Words, marks and the spaces between them: what time and memory go by, some 2 µs and 400 bytes each. A file of 1,000
 * services with 10 backends each, a line for each key, has 440,000; MAX_BACKENDS, a line with three keys each, 1,970,000.
 */
const MAX_LEXEMES = 2_500_000;
/** A configuration nests 13 deep in the parser; yaml's own recursion ends V8 somewhere beyond 700. */
const MAX_NESTING = 64;
/** Uses of an anchor times what it holds: enough for thousands of services, too few for a bomb. */
const MAX_ALIASES = 10_000;

/** Reads and checks a configuration file. Throws ConfigError, whatever is wrong with the file or in it. */
export function readConfigFile(path: string): CheckedConfig {
  const { text, warning } = readText(path);
  const checked = parseConfig(text, path);
  if (warning === undefined) return checked;
  return { ...checked, warnings: [{ path, message: warning }, ...checked.warnings] };
}

function readText(path: string): { text: string; warning: string | undefined } {
  const refuse = (message: string) => new ConfigError(path === '' ? "''" : path, [{ path: '', message }]);
  try {
    const status = statSync(path);
    if (!status.isFile())
      throw refuse(`expected a file, got ${status.isDirectory() ? 'a directory' : 'a device or pipe'}`);
    if (status.size > MAX_FILE_BYTES)
      throw refuse(`expected at most 8 MiB, got ${(status.size / 2 ** 20).toFixed(1)} MiB`);
    const why = whyUntrusted(path, status);
    if (why !== undefined) throw refuse(why);
    const text = new TextDecoder('utf-8', { fatal: true }).decode(readFileSync(path));
    return { text, warning: groupWarning(status) };
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    const { code = 'unknown error' } = error as NodeJS.ErrnoException;
    throw refuse(READ_ERRORS[code] ?? `cannot be read (${code})`);
  }
}

const READ_ERRORS: Record<string, string> = {
  ENOENT: 'no such file',
  ENOTDIR: 'no such file',
  EACCES: 'permission to read it is missing',
  ENAMETOOLONG: 'the name is too long for a file',
  ERR_INVALID_ARG_VALUE: 'no such file',
  ERR_ENCODING_INVALID_ENCODED_DATA: 'expected text in UTF-8, got other bytes',
};

/** Checks a configuration's text; `source` names it in messages. Throws ConfigError. */
export function parseConfig(text: string, source: string): CheckedConfig {
  const lines = new yaml.LineCounter();
  lines.addNewLine(0);
  const refuse = (refusals: Refusal[]) =>
    new ConfigError(
      source,
      refusals.map(({ message, offset }) => ({ path: '', message, ...positionOf(offset, lines) })),
    );

  const { document, refusals } = compose(text, lines);
  if (document === undefined || refusals.length > 0) throw refuse(refusals);
  let raw: unknown;
  try {
    raw = document.toJS({ maxAliasCount: MAX_ALIASES });
  } catch (error) {
    // yaml resolves aliases here; an unknown one or a bomb ends in a ReferenceError.
    throw refuse([{ message: notYaml(error as Error), offset: 0 }]);
  }
  return { ...validateConfig(raw, source, { lines, contents: document.contents }), text, data: raw };
}

interface Refusal {
  readonly message: string;
  readonly offset: number;
}

const TOO_DEEP = 'expected a configuration, got something nested too deep';
const TOO_LONG = `expected a configuration, got more than ${MAX_LEXEMES} words and marks`;

/** Text to nodes, in three steps so that nesting is measured by the iterative parser before the recursive composer. */
function compose(text: string, lines: yaml.LineCounter): { document?: yaml.Document; refusals: Refusal[] } {
  const parser = new yaml.Parser(lines.addNewLine);
  const tokens: yaml.CST.Token[] = [];
  let lexemes = 0;
  for (const lexeme of new yaml.Lexer().lex(text)) {
    for (const token of parser.next(lexeme)) tokens.push(token);
    lexemes++;
    const excess = parser.stack.length > MAX_NESTING ? TOO_DEEP : lexemes > MAX_LEXEMES ? TOO_LONG : undefined;
    if (excess !== undefined) return { refusals: [{ message: excess, offset: parser.offset }] };
  }
  tokens.push(...parser.end());

  const options = { schema: 'core', stringKeys: true, uniqueKeys: false, resolveKnownTags: false } as const;
  const [document, second] = new yaml.Composer(options).compose(tokens, true, text.length);
  if (second !== undefined) {
    return { refusals: [{ message: 'expected one YAML document, got several', offset: second.range[0] }] };
  }
  // Its warnings are tags that it does not know and took for text.
  const refusals = [...document.errors, ...document.warnings].map((error) => ({
    message: notYaml(error),
    offset: error.pos[0],
  }));
  return { document, refusals };
}

function notYaml(error: Error): string {
  if ('code' in error && error.code === 'NON_STRING_KEY') return 'expected keys to be plain words';
  const message = printable(error.message);
  return `not valid YAML: ${message.charAt(0).toLowerCase()}${message.slice(1)}`;
}

/** Adds the keys that come twice to `found`; `path` leads to `node`, before and after. */
function findRepeated(found: Finding[], node: unknown, path: (string | number)[]): Finding[] {
  if (yaml.isSeq(node)) {
    for (const [i, item] of node.items.entries()) {
      path.push(i);
      findRepeated(found, item, path);
      path.pop();
    }
  } else if (yaml.isMap<yaml.Scalar, unknown>(node)) {
    const seen = new Set<string>();
    for (const { key, value } of node.items) {
      const step = String(key.value);
      path.push(step);
      if (seen.has(step)) {
        found.push({ path: [...path], expected: 'each key once', got: 'it again', offset: key.range?.[0] });
      }
      seen.add(step);
      findRepeated(found, value, path);
      path.pop();
    }
  }
  return found;
}

/** Checks parsed YAML. `place` says where its values stand in a text. Throws ConfigError. */
export function validateConfig(
  raw: unknown,
  source: string,
  place?: { readonly lines: yaml.LineCounter; readonly contents: unknown },
): Omit<CheckedConfig, 'text' | 'data'> {
  if (raw === null || raw === undefined) {
    throw new ConfigError(source, [{ path: '', message: 'expected a configuration, got an empty file' }]);
  }
  const result = configSchema.safeParse(raw);
  const findings = [
    ...findRepeated([], place?.contents, []),
    ...findingsOf(result.error?.issues ?? [], raw),
    ...contradictions(raw),
  ];
  if (result.success && findings.length === 0) {
    return { config: deepFreeze(result.data), warnings: warningsOf(result.data) };
  }
  const located = findings.map((finding) => ({
    path: pathText(finding.path),
    message: problemText(finding, raw),
    offset: finding.offset ?? (place && offsetOf(finding.path, place.contents)),
  }));
  // A value that breaks two rules of the schema is one problem.
  const distinct = [...new Map(located.map((problem) => [`${problem.path}: ${problem.message}`, problem])).values()];
  const problems = distinct
    .toSorted((a, b) => (a.offset ?? 0) - (b.offset ?? 0))
    .map(({ path, message, offset }) => ({ path, message, ...(place && positionOf(offset ?? 0, place.lines)) }));
  throw new ConfigError(source, problems);
}

/** The place of the nearest thing on the path that exists: a missing key is missed where its mapping starts. */
function offsetOf(path: Path, contents: unknown): number {
  let nearest = 0;
  let node = contents;
  for (const step of path) {
    let offset: number | undefined;
    if (yaml.isSeq<yaml.Node>(node) && typeof step === 'number') {
      node = node.items[step];
      offset = (node as yaml.Node | undefined)?.range?.[0];
    } else if (yaml.isMap<yaml.Scalar, unknown>(node)) {
      const pair = node.items.find(({ key }) => String(key.value) === step);
      node = pair?.value;
      offset = pair?.key.range?.[0];
    } else return nearest;
    nearest = offset ?? nearest;
  }
  return nearest;
}

function positionOf(offset: number, lines: yaml.LineCounter): { line: number; column: number } {
  const { line, col: column } = lines.linePos(offset);
  return { line, column };
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null) Object.values(Object.freeze(value)).forEach(deepFreeze);
  return value;
}
