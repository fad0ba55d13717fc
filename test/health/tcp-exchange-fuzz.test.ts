/**
 * A check's connection behind a bad way, to a peer that minds its window, and to one that says anything: what comes through
 * is what was said, in order, whatever is late, lost or said twice, and nothing throws. Runs print their seed when they fail.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { MOST_UNREAD, type PeerSegment, type Segment, startExchange } from '../../health/tcp-exchange.ts';
import { segmentOf } from '../../health/tcp-packet.ts';

const [FIN, SYN, RST, ACK] = [1, 2, 4, 16];
/** No place looks like another one. */
const DATA = Uint8Array.from({ length: 6000 }, (_, i) => i ^ (i >> 5));
const piece = fc
  .tuple(fc.nat(3000), fc.integer({ min: 1, max: 3000 }))
  .map(([at, length]) => DATA.subarray(at, at + length));
const number32 = fc.oneof(
  fc.constantFrom(0, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_ff00, 0xffff_ffff),
  fc.nat(0xffff_ffff),
);

/** What becomes of one packet after the other: milliseconds to each of its copies. */
type Fates = readonly (readonly number[])[];

interface Scene {
  readonly ours: number;
  readonly theirs: number;
  readonly request: readonly Uint8Array[];
  readonly answer: Uint8Array;
  readonly window: number;
  readonly mss: number | undefined;
  readonly fates: Fates;
}

const sceneOf = (fate: fc.Arbitrary<readonly number[]>): fc.Arbitrary<Scene> =>
  fc.record({
    ours: number32,
    theirs: number32,
    request: fc.array(piece, { minLength: 1, maxLength: 4 }),
    answer: piece,
    window: fc.constantFrom(100, 1000, 65_535),
    mss: fc.constantFrom(undefined, 1, 100, 1460),
    fates: fc.array(fate, { minLength: 1, maxLength: 50 }),
  });

/** It answers when it has all of the request, and says what it says again until it is acknowledged. */
function startPeer({ theirs, request, answer, window, mss }: Scene) {
  const wanted = Buffer.concat(request);
  const got = new Map<number, number>();
  let first: number | undefined;
  let acknowledged = -1;
  let count = 0;

  const next = (): number => {
    while (got.has(count)) count++;
    return count;
  };
  function says(at: number, flags: number, payload: Uint8Array = new Uint8Array()): PeerSegment {
    const acknowledgement = (first! + 1 + next()) >>> 0;
    return { sequence: (theirs + 1 + at) >>> 0, acknowledgement, flags: flags | ACK, payload, window };
  }

  return {
    hears({ sequence, acknowledgement, flags, payload }: Segment): PeerSegment[] {
      if ((flags & SYN) !== 0) {
        first ??= sequence;
        return [{ ...says(-1, SYN), mss }];
      }
      assert.ok(first !== undefined && (flags & ACK) !== 0);
      acknowledged = Math.max(acknowledged, (acknowledgement - theirs - 1) | 0);
      const at = (sequence - first - 1) | 0;
      assert.ok(at >= 0 && at + payload.length <= wanted.length, 'nothing that was not written');
      assert.ok(payload.length <= Math.max(mss ?? 536, 64), 'no larger than told');
      assert.ok(at + payload.length <= next() + window, 'nothing beyond the window');
      for (const [i, byte] of payload.entries()) got.set(at + i, byte);
      return payload.length > 0 ? [says(acknowledged, 0)] : [];
    },
    ticks(): PeerSegment[] {
      if (next() < wanted.length || acknowledged > answer.length) return [];
      const at = Math.max(acknowledged, 0);
      const pieces = [at, at + 700, at + 1400].filter((begin) => begin < answer.length || begin === at);
      return pieces.map((begin) =>
        says(begin, begin + 700 >= answer.length ? FIN : 0, answer.subarray(begin, begin + 700)),
      );
    },
    got: (): Buffer => Buffer.from(Array.from({ length: next() }, (_, i) => got.get(i)!)),
  };
}

/** A minute of it at most. */
function play(scene: Scene): { ended: boolean; received: Buffer; heard: Buffer } {
  const exchange = startExchange(scene.ours);
  const peer = startPeer(scene);
  const way: { at: number; order: number; arrive(): void }[] = [];
  const received: Uint8Array[] = [];
  let order = 0;
  let now = 0;

  function carry<S>(segments: readonly S[], arrive: (segment: S) => void): void {
    for (const segment of segments) {
      for (const delay of scene.fates[order++ % scene.fates.length]!) {
        way.push({ at: now + delay, order, arrive: () => arrive(segment) });
      }
    }
  }
  const toUs = (segments: readonly PeerSegment[]): void =>
    carry(segments, (segment) => {
      toPeer(exchange.receive(segment, now));
      received.push(exchange.take());
    });
  const toPeer = (segments: readonly Segment[]): void => carry(segments, (segment) => toUs(peer.hears(segment)));

  toPeer(exchange.tick(0));
  for (; now < 60_000 && exchange.state !== 'ended'; now += 10) {
    const written = scene.request[now / 10];
    if (written !== undefined) toPeer(exchange.write(written, now));
    toPeer(exchange.tick(now));
    if (now % 300 === 0) toUs(peer.ticks());
    way.sort((one, other) => one.at - other.at || one.order - other.order);
    while (way.length > 0 && way[0]!.at <= now) way.shift()!.arrive();
  }
  return { ended: exchange.state === 'ended', received: Buffer.concat(received), heard: peer.got() };
}

describe('a connection of a check', () => {
  test('late, out of order and twice: all of it comes through, both ways', () => {
    const fate = fc.array(fc.constantFrom(0, 10, 20, 50), { minLength: 1, maxLength: 2 });
    fc.assert(
      fc.property(sceneOf(fate), (scene) => {
        const { ended, received, heard } = play(scene);
        assert.ok(ended);
        assert.deepEqual(heard, Buffer.concat(scene.request));
        assert.deepEqual(received, Buffer.from(scene.answer));
      }),
      { numRuns: 100 },
    );
  });

  test('lost, too: what comes through is the beginning of it', () => {
    const fate = fc.array(fc.constantFrom(0, 10, 50, 700), { maxLength: 2 });
    fc.assert(
      fc.property(sceneOf(fate), (scene) => {
        const { ended, received, heard } = play(scene);
        assert.deepEqual(heard, Buffer.concat(scene.request).subarray(0, heard.length));
        assert.deepEqual(received, Buffer.from(scene.answer).subarray(0, received.length));
        if (ended) assert.equal(received.length, scene.answer.length);
      }),
      { numRuns: 100 },
    );
  });

  const near = (number: number) => fc.integer({ min: -70_000, max: 70_000 }).map((by) => (number + by) >>> 0);
  const anything = (ours: number, theirs: number): fc.Arbitrary<PeerSegment> =>
    fc.record({
      sequence: fc.oneof(near(theirs), fc.constant(theirs), number32),
      acknowledgement: fc.oneof(fc.constantFrom(ours, (ours + 1) >>> 0, (ours + 6) >>> 0), near(ours), number32),
      flags: fc.oneof(fc.constantFrom(ACK, ACK, SYN | ACK, FIN | ACK, RST | ACK, RST), fc.nat(255)),
      payload: fc.nat(3000).map((length) => DATA.subarray(0, length)),
      window: fc.oneof(fc.constantFrom(0, 1), fc.nat(65_535)),
      mss: fc.option(fc.nat(65_535), { nil: undefined }),
    });

  test('a peer that says anything: nothing throws, and what is kept is bounded', () => {
    const [ours, theirs] = [0xffff_fff0, 0xffff_ff00];
    const steps = fc.array(fc.tuple(fc.nat(400), anything(ours, theirs)), { maxLength: 200, size: 'max' });
    fc.assert(
      fc.property(fc.boolean(), steps, (opens, segments) => {
        const exchange = startExchange(ours);
        let now = 0;
        exchange.tick(0);
        exchange.write(Buffer.from('hello'), 0);
        if (opens) {
          const synAck = { sequence: theirs, acknowledgement: (ours + 1) >>> 0, flags: SYN | ACK, window: 65_535 };
          exchange.receive({ ...synAck, payload: new Uint8Array() }, 0);
          assert.equal(exchange.state, 'open');
        }
        for (const [waitMs, segment] of segments) {
          now += waitMs;
          const said = [...exchange.receive(segment, now), ...exchange.tick(now)];
          assert.ok(said.length <= 4);
          for (const { payload } of said) assert.ok('hello'.includes(Buffer.from(payload).toString()));
        }
        assert.ok(exchange.take().length <= MOST_UNREAD);
        assert.ok(exchange.abort().length <= 2);
      }),
      { numRuns: 100 },
    );
  });

  test('bytes that are no segment: nothing throws, and the payload lies behind the header', () => {
    const bytes = fc.uint8Array({ minLength: 1, maxLength: 100 }).map((header) => {
      // Headers that fit in, half of the time.
      if (header.length > 12 && header[0]! % 2 === 0) header[12] = (5 + (header[12]! % 6)) << 4;
      return header;
    });
    fc.assert(
      fc.property(bytes, fc.nat(20), (packet, at) => {
        const segment = segmentOf(packet, at);
        if (segment === undefined) return;
        const length = (packet[at + 12]! >> 4) * 4;
        assert.ok(length >= 20);
        assert.deepEqual(segment.payload, packet.subarray(at + length));
        assert.ok(segment.mss === undefined || segment.mss <= 65_535);
      }),
      { numRuns: 5000 },
    );
  });
});
