/**
 * `hushlb profiles`: how well-known load balancers treat idle connections, and where that stands. The facts are
 * lb/profiles.ts's; this file prints them, and touches nothing.
 */
import Table from 'cli-table3';
import type { CommandModule } from 'yargs';
import { type Fact, PROFILE_NAMES, type Profile, type ProfileName, profileOf } from '../lb/profiles.ts';
import { terminalWidth, wrap } from './terminal.ts';

interface ProfilesArguments {
  readonly name: ProfileName[] | undefined;
  readonly wide: boolean;
  readonly json: boolean;
}

export const profilesCommand: CommandModule<object, ProfilesArguments> = {
  command: 'profiles [name..]',
  describe: 'Show how other load balancers treat idle connections',
  builder: (yargs) =>
    yargs
      .usage(
        '$0 profiles [NAME..]\n\nLists what a service can be told to behave like (profile: NAME): the idle timeout, what ' +
          'happens when a connection idles out (onExpiry), and what its next packet meets (onMiss). A question mark stands ' +
          'where that is not documented, or had to be translated. With names, tells the source of each fact as well.',
      )
      // Elsewhere the last of several values wins, here each counts.
      .parserConfiguration({ 'duplicate-arguments-array': true, 'dot-notation': false, 'boolean-negation': false })
      .positional('name', {
        array: true,
        choices: PROFILE_NAMES,
        defaultDescription: 'all',
        describe: 'Only these, with their sources',
      })
      .option('wide', {
        type: 'boolean',
        default: false,
        describe: 'Tell the source of each fact of all, and how uncertain ones were read',
      })
      .option('json', {
        type: 'boolean',
        default: false,
        describe: 'Write { profiles: [{ name, product, idleTimeoutMs, onExpiry, onMiss }] }, each fact with its source',
      })
      .example('$0 profiles', 'the table')
      .example('$0 profiles aws-nlb', 'one of them, and where it is from')
      .example('$0 profiles --wide', 'all of that'),
  handler: showProfiles,
};

function showProfiles({ name: given = [], wide, json }: ProfilesArguments): void {
  const names = given.length === 0 ? PROFILE_NAMES : given;
  if (json) process.stdout.write(jsonText(names));
  else if (wide || given.length > 0) process.stdout.write(wideText(names, terminalWidth()));
  else process.stdout.write(terminalWidth() < TABLE_WIDTH ? narrowText(terminalWidth()) : tableText());
}

function jsonText(names: readonly ProfileName[]): string {
  return `${JSON.stringify({ profiles: names.map((name) => ({ name, ...profileOf(name) })) }, null, 2)}\n`;
}

const TABLE_WIDTH = 60;

/** Fits TABLE_WIDTH columns. */
function tableText(): string {
  const table = new Table({
    head: ['profile', 'idle', 'onExpiry', 'onMiss'],
    colAligns: ['left', 'right', 'left', 'left'],
    style: { head: [], border: [], compact: true },
  });
  for (const name of PROFILE_NAMES) {
    table.push([name, ...factTexts(profileOf(name))]);
  }
  return `${table.toString()}\n${LEGEND}\n`;
}

/** Two lines a profile, for narrow terminals. */
function narrowText(width: number): string {
  const [head, ...rows] = [
    ['idle', 'onExpiry', 'onMiss'],
    ...PROFILE_NAMES.map((name) => factTexts(profileOf(name))),
  ].map(([idle, onExpiry, onMiss]) => `  ${idle.padStart(6)}  ${onExpiry.padEnd(8)}  ${onMiss}`);
  const lines = PROFILE_NAMES.flatMap((name, i) => [name, rows[i]]);
  return `${['profile', head, ...lines, ...wrap(LEGEND.replace('\n', ' '), width)].join('\n')}\n`;
}

function factTexts({ idleTimeoutMs, onExpiry, onMiss }: Profile): string[] {
  return [marked(timeText(idleTimeoutMs.value), idleTimeoutMs), textOf(onExpiry), textOf(onMiss)];
}

const LEGEND = [
  'idle: the idle timeout. ?: not documented, or translated;',
  'hushlb profiles NAME tells how, and the source of each fact.',
].join('\n');

function wideText(names: readonly ProfileName[], width: number): string {
  return names.map((name) => profileText(name, profileOf(name), width)).join('\n');
}

function profileText(name: ProfileName, { product, idleTimeoutMs, onExpiry, onMiss }: Profile, width: number): string {
  const facts: [key: string, value: string, fact: Fact<unknown>][] = [
    ['idle timeout', marked(timeText(idleTimeoutMs.value), idleTimeoutMs), idleTimeoutMs],
    ['onExpiry', textOf(onExpiry), onExpiry],
    ['onMiss', textOf(onMiss), onMiss],
  ];
  const lines = facts.flatMap(([key, value, { source, note }]) => {
    const label = `  ${key.padEnd(KEY_WIDTH)}${value.padEnd(VALUE_WIDTH)}`;
    const isBeside = width >= WIDTH_FOR_BESIDE;
    const indent = isBeside ? ' '.repeat(label.length) : '    ';
    const texts = note === '' ? [source] : [source, `(${note})`];
    const told = texts.flatMap((text) => wrap(text, width - indent.length)).map((line) => indent + line);
    return isBeside ? [label + told[0].trimStart(), ...told.slice(1)] : [label.trimEnd(), ...told];
  });
  return `${[...wrap(`${name}: ${product}`, width), ...lines].join('\n')}\n`;
}

const KEY_WIDTH = 14;
const VALUE_WIDTH = 11;
/** On narrower terminals sources stand below their facts: many are paths, which are longer than the room beside. */
const WIDTH_FOR_BESIDE = 72;
const DAY_MS = 86_400_000;

/** As the configuration takes it. */
function timeText(ms: number | null): string {
  if (ms === null) return 'none';
  return ms % DAY_MS === 0 ? `${ms / DAY_MS}d` : `${ms / 1000}s`;
}

function textOf(fact: Fact<string>): string {
  return marked(fact.value, fact);
}

function marked(text: string, { uncertain }: Fact<unknown>): string {
  return uncertain ? `${text} ?` : text;
}
