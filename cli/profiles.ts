/**
 * `hushlb profiles`: how well-known load balancers treat idle connections, and where that stands. The table is
 * lb/profiles.ts's; this file prints it, and touches nothing.
 */
import Table from 'cli-table3';
import type { CommandModule } from 'yargs';
import { type Fact, PROFILE_NAMES, type Profile, type ProfileName, profileOf } from '../lb/profiles.ts';
import { terminalWidth } from './terminal.ts';

interface ProfilesArguments {
  readonly wide: boolean;
  readonly json: boolean;
}

export const profilesCommand: CommandModule<object, ProfilesArguments> = {
  command: 'profiles',
  describe: 'Show how other load balancers treat idle connections',
  builder: (yargs) =>
    yargs
      .usage(
        '$0 profiles [--wide]\n\nLists what a service can be told to behave like (profile: NAME): the idle timeout, what ' +
          'happens when a connection idles out, and what its next packet meets. A question mark stands where that is ' +
          'not documented, or had to be translated.',
      )
      .option('wide', {
        type: 'boolean',
        default: false,
        describe: 'Tell the source of each fact, and how uncertain ones were read',
      })
      .option('json', {
        type: 'boolean',
        default: false,
        describe: 'Write { profiles: [{ name, product, idleTimeoutMs, onExpiry, onMiss }] }, each fact with its source',
      })
      .example('$0 profiles', 'the table')
      .example('$0 profiles --wide', 'and where it is from'),
  handler: showProfiles,
};

function showProfiles({ wide, json }: ProfilesArguments): void {
  process.stdout.write(json ? jsonText() : wide ? wideText(terminalWidth()) : `${tableText()}\n`);
}

function jsonText(): string {
  const profiles = PROFILE_NAMES.map((name) => ({ name, ...profileOf(name) }));
  return `${JSON.stringify({ profiles }, null, 2)}\n`;
}

function tableText(): string {
  const table = new Table({
    head: ['profile', 'idle timeout', 'onExpiry', 'onMiss'],
    colAligns: ['left', 'right', 'left', 'left'],
    style: { head: [], border: [], compact: true },
  });
  for (const name of PROFILE_NAMES) {
    const { idleTimeoutMs, onExpiry, onMiss } = profileOf(name);
    table.push([name, marked(timeText(idleTimeoutMs.value), idleTimeoutMs), ...[onExpiry, onMiss].map(textOf)]);
  }
  return table.toString();
}

function wideText(width: number): string {
  return PROFILE_NAMES.map((name) => profileText(name, profileOf(name), width)).join('\n');
}

function profileText(name: ProfileName, { product, idleTimeoutMs, onExpiry, onMiss }: Profile, width: number): string {
  const facts: [key: string, value: string, fact: Fact<unknown>][] = [
    ['idle timeout', marked(timeText(idleTimeoutMs.value), idleTimeoutMs), idleTimeoutMs],
    ['onExpiry', textOf(onExpiry), onExpiry],
    ['onMiss', textOf(onMiss), onMiss],
  ];
  const lines = facts.flatMap(([key, value, { source, note }]) => {
    const label = `  ${key.padEnd(KEY_WIDTH)}${value.padEnd(VALUE_WIDTH)}`;
    const [first, ...others] = [source, note && `(${note})`].flatMap((text) => wrapped(text, width - label.length));
    return [`${label}${first}`, ...others.map((line) => ' '.repeat(label.length) + line)];
  });
  return `${[...wrapped(`${name}: ${product}`, width), ...lines].join('\n')}\n`;
}

const KEY_WIDTH = 14;
const VALUE_WIDTH = 11;

function timeText(ms: number | null): string {
  return ms === null ? 'none' : `${ms / 1000}s`;
}

function textOf(fact: Fact<string>): string {
  return marked(fact.value, fact);
}

function marked(text: string, { uncertain }: Fact<unknown>): string {
  return uncertain ? `${text} ?` : text;
}

/** Lines of at most `width` characters, broken between words. */
function wrapped(text: string, width: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(' ').filter((part) => part !== '')) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= width) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}
