/**
 * What a change did, in a few lines for people: cli/change.ts and cli/save.ts print them. Pure.
 */
import type { ChangeReport } from '../lb/change.ts';
import type { SaveReport } from '../lb/control-plane.ts';
import { listed } from '../lb/edit.ts';

/** `drain web b2: 33.33 % of web's slots moved, generation 5, id 9f3a12bc`, what may surprise, and whether it is saved. */
export function changeLines(report: ChangeReport): string[] {
  const { change, generation, id, warnings, lost } = report;
  const done = [...effects(report), `generation ${generation}`, `id ${id}`].join(', ');
  const undone = lost.length === 0 ? [] : [`the file did not have, and the reload undid: ${lost.join(', ')}`];
  return [`${change}: ${done}`, ...warnings.map((line) => `warning: ${line}`), ...undone, savedLine(report)];
}

function effects({ change, added, removed, changed, moved }: ChangeReport): string[] {
  const shares = Object.entries(moved).map(([service, share]) => `${percent(share)} of ${service}'s slots`);
  const slots = shares.length === 0 ? 'no slot moved' : `${listed(shares)} moved`;
  const isSame = [added, removed, changed].every((names) => names.length === 0);
  if (isSame) return ['nothing was different'];
  // Of a single change its own text says what it was.
  if (change !== 'reload') return [slots];
  const named = [
    ['added', added],
    ['removed', removed],
    ['changed', changed],
  ] as const;
  return [...named.flatMap(([verb, names]) => (names.length === 0 ? [] : [`${verb} ${listed(names)}`])), slots];
}

function savedLine({ unsaved }: ChangeReport): string {
  if (unsaved.length === 0) return 'the file has all that runs';
  return `not saved yet: ${listed(unsaved)}; hushlb save writes ${unsaved.length === 1 ? 'it' : 'them'} to the file`;
}

export function saveLine({ file, changes }: SaveReport): string {
  return changes.length === 0 ? `nothing to save: ${file} has all that runs` : `saved to ${file}: ${listed(changes)}`;
}

function percent(share: number): string {
  return `${(share * 100).toFixed(2)} %`;
}
