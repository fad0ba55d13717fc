/** Places over configurations: who keeps an index, who gets a free one, and when one is free. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { Config } from '../../lb/config.ts';
import { parseConfig } from '../../lb/config-file.ts';
import { assignPlaces, NO_PLACES, type Places } from '../../lb/places.ts';

const ROOM = { services: 8, backends: 64 };
const MINUTE = 60_000;

interface ServiceDraft {
  readonly name?: string;
  readonly vip?: string;
  readonly port?: number;
  readonly idleTimeout?: string;
  readonly backends: readonly string[];
}

function configOf(...services: ServiceDraft[]): Config {
  const raw = {
    interface: 'eth0',
    services: services.map(({ name = 'web', vip = '198.18.10.1', port = 80, idleTimeout = '60s', backends }) => ({
      name,
      vip,
      port,
      conntrack: { idleTimeout },
      backends: backends.map((backend) => ({ name: backend, address: `198.18.2.${Number(backend.slice(1)) + 1}` })),
    })),
  };
  return parseConfig(JSON.stringify(raw), 'places').config;
}

const place = (before: Places, nowMs: number, ...services: ServiceDraft[]) =>
  assignPlaces(configOf(...services), before, ROOM, nowMs);

const indexes = ({ services }: Places, service = 0) =>
  Object.fromEntries(services[service].backends.map(({ name, index }) => [name, index]));

const backends = (...names: string[]): ServiceDraft => ({ backends: names });

describe('indexes', () => {
  test('at first they are places in the file', () => {
    assert.deepEqual(indexes(place(NO_PLACES, 0, backends('b3', 'b1', 'b2'))), { b3: 0, b1: 1, b2: 2 });
  });

  test('who stays keeps its own, whatever the order; a new one gets the lowest that is free', () => {
    const first = place(NO_PLACES, 0, backends('b1', 'b2', 'b3'));
    assert.deepEqual(indexes(place(first, 0, backends('b4', 'b3', 'b1', 'b2'))), { b4: 3, b3: 2, b1: 0, b2: 1 });
  });

  test("a removed one's is free when no entry can name it, not before", () => {
    const first = place(NO_PLACES, 0, backends('b1', 'b2'));
    const removed = place(first, 1000, backends('b2'));
    const forgottenAt = 1000 + 3 * MINUTE;
    assert.deepEqual(indexes(place(removed, forgottenAt, backends('b2', 'b3'))), { b2: 1, b3: 2 });
    assert.deepEqual(indexes(place(removed, forgottenAt + 1, backends('b2', 'b3'))), { b2: 1, b3: 0 });
  });

  test('the longest idle timeout since the removal counts', () => {
    const first = place(NO_PLACES, 0, { ...backends('b1', 'b2'), idleTimeout: '1h' });
    const removed = place(first, 0, { ...backends('b2'), idleTimeout: '1s' });
    assert.deepEqual(indexes(place(removed, 60 * MINUTE, backends('b2', 'b3'))), { b2: 1, b3: 2 });
    assert.deepEqual(indexes(place(removed, 122 * MINUTE, backends('b2', 'b3'))), { b2: 1, b3: 0 });

    const longer = place(place(place(NO_PLACES, 0, backends('b1', 'b2')), 0, backends('b2')), 1, {
      ...backends('b2'),
      idleTimeout: '10h',
    });
    assert.deepEqual(indexes(place(longer, 60 * MINUTE, backends('b2', 'b3'))), { b2: 1, b3: 2 });
  });

  test('who comes back in time gets its own again: its connections may still be there', () => {
    const removed = place(place(NO_PLACES, 0, backends('b1', 'b2')), 0, backends('b2'));
    assert.deepEqual(indexes(place(removed, 5, backends('b3', 'b2', 'b1'))), { b3: 2, b2: 1, b1: 0 });
  });

  test('services have their own', () => {
    const api: ServiceDraft = { name: 'api', port: 443, backends: ['b1', 'b9'] };
    const first = place(NO_PLACES, 0, backends('b1', 'b2'), api);
    const second = place(first, 0, api, backends('b2'));
    assert.deepEqual(indexes(second, 0), { b1: 0, b9: 1 });
    assert.deepEqual(indexes(second, 1), { b2: 1 });
  });
});

describe('connection tables', () => {
  const numbers = (places: Places) => places.services.map(({ connections }) => connections);

  test('a service keeps its own by its name, whatever its place in the file', () => {
    const api: ServiceDraft = { name: 'api', port: 443, backends: ['b1'] };
    const first = place(NO_PLACES, 0, backends('b1'), api);
    assert.deepEqual(numbers(first), [0, 1]);
    assert.deepEqual(numbers(place(first, 0, api, backends('b1', 'b2'))), [1, 0]);
  });

  for (const [what, changed] of Object.entries({ VIP: { vip: '198.18.10.2' }, port: { port: 81 } })) {
    test(`with another ${what} it starts empty, and no removed backend holds an index there`, () => {
      const first = place(NO_PLACES, 0, backends('b1', 'b2'));
      const moved = place(first, 0, { ...backends('b2'), ...changed });
      assert.deepEqual(numbers(moved), [1]);
      assert.deepEqual(moved.services[0].retired, []);
      assert.deepEqual(indexes(place(moved, 0, { ...backends('b2', 'b3'), ...changed })), { b2: 1, b3: 0 });
      assert.equal(moved.services[0].place, first.services[0].place, 'its counters go on');
    });
  }

  test('one that was away is new', () => {
    const away = place(place(NO_PLACES, 0, backends('b1')), 0, { name: 'api', backends: ['b1'] });
    assert.deepEqual(numbers(place(away, 0, backends('b1'))), [2]);
  });
});

describe('counters', () => {
  const web = backends('b1', 'b2');

  test('a place is free only the time after: workers still count there', () => {
    const first = place(NO_PLACES, 0, web);
    const second = place(first, 0, { name: 'api', backends: ['b1'] });
    assert.equal(second.services[0].place, 1);
    assert.deepEqual(
      second.services[0].backends.map((backend) => backend.place),
      [2],
    );
    assert.equal(place(second, 0, { name: 'other', backends: ['b1'] }).services[0].place, 0);
  });

  test('without a free one the configuration is refused, in a line that says what to do', () => {
    const first = assignPlaces(configOf(web), NO_PLACES, { services: 1, backends: 3 }, 0);
    const room = { services: 1, backends: 3 };
    assert.throws(() => assignPlaces(configOf(backends('b3', 'b4')), first, room, 0), {
      code: 'PLACES_EXHAUSTED',
      message: /^no counters for another backend left: wait .* or restart hushlb$/,
    });
    const removed = assignPlaces(configOf(backends('b3')), first, room, 0);
    const later = assignPlaces(configOf(backends('b4', 'b5')), removed, room, 10 * MINUTE);
    assert.equal(later.services[0].backends.length, 2);
  });
});

test('no two ever share an index, a table or counters', () => {
  const draft = fc.record({
    name: fc.constantFrom('web', 'api', 'mail'),
    vip: fc.constantFrom('198.18.10.1', '198.18.10.2'),
    backends: fc.uniqueArray(fc.constantFrom('b1', 'b2', 'b3', 'b4', 'b5', 'b6'), { minLength: 1 }),
  });
  const step = fc.record({
    waitMs: fc.constantFrom(0, 1, 200_000),
    services: fc.uniqueArray(draft, { selector: ({ name }) => name, minLength: 1, maxLength: 3 }),
  });
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 12 }), (steps) => {
      let places = NO_PLACES;
      let now = 0;
      for (const { waitMs, services } of steps) {
        now += waitMs;
        places = place(places, now, ...services.map((service, i) => ({ ...service, port: 80 + i })));
        const all = places.services.flatMap((service) => [...service.backends, ...service.retired]);
        assertDistinct(all.map((backend) => backend.place));
        assertDistinct(places.services.map((service) => service.place));
        assertDistinct(places.services.map((service) => service.connections));
        for (const service of places.services) {
          assertDistinct([...service.backends, ...service.retired].map(({ index }) => index));
          assertDistinct([...service.backends, ...service.retired].map(({ name }) => name));
        }
      }
    }),
  );
});

function assertDistinct(values: readonly unknown[]): void {
  assert.equal(new Set(values).size, values.length, values.join());
}
