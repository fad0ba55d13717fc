/** Random configurations one after the other, and packets between them: entries keep their meaning. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { tcpFrame } from '../packets.ts';
import { backendYaml, createRig } from './rig.ts';

test('an entry never leads to another backend than the one that it was made with, unless that was removed', () => {
  const names = ['b1', 'b2', 'b3', 'b4', 'b5'];
  const backend = fc.record({
    name: fc.constantFrom(...names),
    weight: fc.constantFrom(1, 7),
    state: fc.constantFrom('active', 'draining'),
  });
  const step = fc.record({
    waitMs: fc.constantFrom(0, 1_000, 30_000, 200_000),
    backends: fc.uniqueArray(backend, { selector: ({ name }) => name, minLength: 1 }),
    open: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(step, { minLength: 2, maxLength: 15 }), (steps) => {
      const service = 'tableSize: 31\n    conntrack: { capacity: 64 }';
      const rig = createRig({ service });
      const homes = new Map<number, { backend: string; seen: number }>();
      let now = 0;
      for (const { waitMs, backends, open } of steps) {
        now += waitMs;
        rig.sweep(now, 60_000);
        rig.takeOver(
          {
            service,
            backends: backends.map(({ name, weight, state }) =>
              backendYaml(name, `weight: ${weight}, state: ${state}`),
            ),
          },
          now,
        );
        const present = new Set(backends.map(({ name }) => name));
        const active = new Set(backends.filter(({ state }) => state === 'active').map(({ name }) => name));
        for (let client = 0; client < 12; client++) {
          const home = homes.get(client);
          const opens = open && client % 3 === 0;
          const went = rig.backendOf(
            rig.walk(tcpFrame({ sourcePort: 40_000 + client, flags: opens ? 'S' : 'A' }), now),
          );
          const mustStay = !opens && home !== undefined && now - home.seen < 60_000 && present.has(home.backend);
          if (mustStay) assert.equal(went, home.backend);
          else if (active.size === 0) assert.equal(went, undefined);
          else assert.ok(went !== undefined && active.has(went), `${went} is active`);
          // A SYN that nobody took has not touched the entry either.
          if (went !== undefined) homes.set(client, { backend: went, seen: now });
          else if (!opens) homes.delete(client);
        }
      }
    }),
    { numRuns: 300 },
  );
});
