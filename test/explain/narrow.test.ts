/** What explain says by the services that a question can be about is what it says by all of them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { explain, type Subject } from '../../explain/explain.ts';
import { narrowed } from '../../explain/narrow.ts';
import type { WhatIf } from '../../explain/what-if.ts';
import { parseConfig } from '../../lb/config-file.ts';
import { prepare, prepareNext, ROOM_FOR_CHANGES } from '../../lb/prepare.ts';
import { DEFAULT_HOPS, hopsOf } from '../../replay/made-up-hops.ts';
import { aimed, whatIf } from './flows.ts';

const around = { ownMac: DEFAULT_HOPS.ownMac, hopOf: hopsOf(DEFAULT_HOPS), isMadeUp: () => false, workers: 1 };

/** A balancer that has taken over a change since its start: places and counters are no longer those of its file. */
function running(text: string) {
  const { config, data } = parseConfig(text, 'test');
  const [first, ...others] = config.services;
  const before = prepare({ ...config, services: [...others.toReversed(), first] }, ROOM_FOR_CHANGES);
  const prepared = prepareNext(config, before, 1, new Set([`${first.name}/${first.backends[0].name}`]));
  return { prepared, data, config, text };
}

function answerOf(ask: () => unknown): unknown {
  try {
    return ask();
  } catch (error) {
    return (error as { code?: string }).code;
  }
}

test('the same answer, or a refusal of both', () => {
  let kept = 0;
  const whose = fc.constantFrom('', '', 's1/', 's2/', 's3/', 's9/');
  fc.assert(
    fc.property(aimed, fc.boolean(), whatIf, whose, ({ text, flow }, opens, drawn: WhatIf, owner) => {
      const change = { ...drawn, edits: drawn.edits?.map((edit) => ({ ...edit, backend: `${owner}${edit.backend}` })) };
      const whole = running(text);
      const question = { flow, opens, entry: null, whatIf: change };
      const some = narrowed(whole, flow.to.address, change);
      const say = (subject: Pick<Subject, 'prepared' | 'config' | 'text'>) =>
        answerOf(() => explain({ ...around, ...subject }, question));
      assert.deepEqual(say(some), say(whole));
      kept += some.config.services.length;
    }),
    { numRuns: 150 },
  );
  assert.ok(kept < 150 * 2.5, `${kept} of ${150 * 3} services`);
});

test('the services of the VIP and those that a what-if names, and one at least', () => {
  const service = (i: number) =>
    `{ name: s${i}, vip: 198.18.10.${i >> 1}, port: ${80 + i}, backends: [{ name: b, address: 198.18.2.1 }] }`;
  const whole = running(`{ interface: eth0, services: [${[0, 1, 2, 3, 4, 5].map(service)}] }`);
  const namesOf = (vip: string, change: WhatIf = {}) =>
    narrowed(whole, vip, change).config.services.map(({ name }) => name);
  assert.deepEqual(namesOf('198.18.10.1'), ['s2', 's3']);
  assert.deepEqual(namesOf('198.18.10.1', { down: ['s0/b'], edits: [{ kind: 'drain', backend: 's5/b' }] }), [
    's0',
    's2',
    's3',
    's5',
  ]);
  assert.deepEqual(namesOf('198.18.10.9'), ['s0']);
  const { text, config } = narrowed(whole, '198.18.10.1', {});
  assert.deepEqual(parseConfig(text, 'narrowed').config, config);
});
