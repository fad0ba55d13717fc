/** Every command line that a page shows is one that hushlb knows, with its options. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { COMMANDS, helpOf, WITH_HELP } from '../cli/command.ts';
import { blocksOf, CURRENT_PAGES, quotedIn } from './pages.ts';

interface Line {
  readonly path: string;
  readonly line: string;
}

/** In blocks for the shell, behind a prompt, and between backquotes; behind a mark of the shell another program begins. */
const LINES: readonly Line[] = CURRENT_PAGES.flatMap(({ path, text }) => {
  const typed = blocksOf(text, 'sh').flatMap((block) => block.split('\n'));
  const shown = blocksOf(text, '').flatMap((block) => block.split('\n').filter((line) => line.startsWith('$ ')));
  return [...typed, ...shown, ...quotedIn(text)].flatMap((line) => {
    const [, command] = /^\s*(?:\$ |sudo )*(hushlb [a-z][^|;&<>]*)/.exec(line) ?? [];
    return command === undefined ? [] : [{ path, line: command }];
  });
});

const helps = new Map(
  (await helpOf(WITH_HELP, 160)).map((help, i) => [WITH_HELP[i].join(' '), optionsOf(help)] as const),
);

function optionsOf(help: string): Set<string> {
  return new Set([...help.matchAll(/^ +(?:(-\w), )?(--[\w-]+)/gm)].flatMap(([, short, long]) => [short, long]));
}

test('the commands exist', () => {
  assert.ok(LINES.length > 150);
  const unknown = LINES.filter(({ line }) => !COMMANDS.includes(line.split(/\s+/)[1]));
  assert.deepEqual(unknown, []);
});

test('and so do their options', () => {
  const wrong = LINES.flatMap(({ path, line }) => {
    const [, command, nested] = line.split(/\s+/);
    const known = helps.get(`${command} ${nested}`) ?? helps.get(command);
    // An option in the comment beside a command is one that the command has, too.
    const options = [...line.matchAll(/(?<=\s)(?:--[a-z][\w-]*|-[a-z]\b)/g)].map(([option]) => option);
    return options.filter((option) => known?.has(option) === false).map((option) => `${path}: ${line}: ${option}`);
  });
  assert.deepEqual(wrong, []);
});
