/** No byte sequence makes the forwarder throw, read or write outside its frame, or lose count. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { EXITS } from '../../lb/exits.ts';
import { tcpFrame } from '../packets.ts';
import { ROWS } from './packet-rows.ts';
import { createRig, type Rig } from './rig.ts';
import { ON_IPV6 } from './rows/row.ts';

const SEEDS = ROWS.map((row) => row.in);
const WAYS = [
  {},
  { top: 'mode: stateful' },
  { service: 'encap: l2' },
  { service: 'scheduler: round-robin' },
  { service: 'onMiss: drop' },
  { service: 'onExpiry: reset\n    conntrack: { idleTimeout: 9ms, capacity: 8 }' },
  { ...ON_IPV6, service: 'onExpiry: reset\n    conntrack: { idleTimeout: 9ms, capacity: 8 }' },
];
/** To the client and, through the tunnel, to the backend; of an IPv4 service and of one of IPv6. */
const RESET_LENGTHS = [54, 54 + 20, 74, 74 + 40];
const LINK_FRAME = 1514;
const RUNS = Number(process.env.FUZZ_RUNS ?? 20_000);

/** A frame of a row with some bytes changed, and some cut off or added. */
const mutated = fc
  .record({
    seed: fc.nat(SEEDS.length - 1),
    changes: fc.array(fc.tuple(fc.nat(80), fc.nat(255)), { maxLength: 6 }),
    length: fc.option(fc.nat(1800)),
  })
  .map(({ seed, changes, length }) => {
    const frame = new Uint8Array(length ?? SEEDS[seed].length);
    frame.set(SEEDS[seed].subarray(0, frame.length));
    for (const [index, value] of changes) {
      if (index < frame.length) frame[index] = value;
    }
    return frame;
  });

/** What the memory device guards already: actions given, frames inside their chunks. Here: the rest of the promise. */
function walkAndCheck(rig: Rig, frame: Uint8Array, now: number): void {
  const { view, counters, state } = rig.forwarder;
  const before = counters.reduce((sum, value) => sum + value, 0);
  const outcome = rig.walk(frame, now);
  assert.ok(EXITS.some(({ verdict, reason }) => [verdict, `${verdict}: ${reason}`].includes(outcome.exit)));
  assert.ok(counters.reduce((sum, value) => sum + value, 0) > before, 'the exit was counted');
  // An answered ping is as long as it came, whatever the link carries.
  const longest = outcome.exit === 'answer: echo' ? Math.max(frame.length, LINK_FRAME) : LINK_FRAME;
  if (outcome.frame !== undefined) assert.ok(outcome.frame.length <= longest, `${outcome.frame.length} bytes left`);
  for (const { length } of rig.resets()) assert.ok(RESET_LENGTHS.includes(length), `an RST of ${length} bytes`);
  assert.equal(view.byteLength > 0 && state.generation, 1);
}

describe('the forwarder and bytes that nobody should send', () => {
  for (const way of WAYS) {
    test(`mutated packets, ${JSON.stringify(way)}`, () => {
      const rig = createRig(way);
      let now = 1;
      fc.assert(
        fc.property(mutated, (frame) => walkAndCheck(rig, frame, now++)),
        { numRuns: RUNS },
      );
    });
  }

  test('random bytes', () => {
    const rig = createRig();
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (frame) => walkAndCheck(rig, frame, 1)),
      { numRuns: RUNS },
    );
  });

  test('every length of a good frame, from nothing to whole', () => {
    const whole = tcpFrame({ payload: 'hello' });
    const rig = createRig();
    for (let length = 0; length < whole.length; length++) {
      assert.match(rig.walk(whole.slice(0, length)).exit, /^drop: (truncated|bad-ip-header)$/);
    }
    assert.equal(rig.walk(whole).exit, 'forward');
  });
});
