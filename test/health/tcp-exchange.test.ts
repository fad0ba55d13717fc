/**
 * TCP of a check, segment by segment, in virtual time: what RFC 9293 has a client say. test/health/tunnel.test.ts has a kernel at
 * the other end, test/health/tcp-exchange-fuzz.test.ts a peer behind a bad way.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type Exchange,
  MOST_UNREAD,
  type PeerSegment,
  type Segment,
  startExchange,
} from '../../health/tcp-exchange.ts';

const [FIN, SYN, RST, PSH, ACK] = [1, 2, 4, 8, 16];
/** The first sequence numbers are the last ones of 32 bits. */
const OURS = 0xffff_fffe;
const THEIRS = 0xffff_fff0;
const REQUEST = Buffer.from('GET / HTTP/1.1\r\n\r\n');

const ours = (bytes: number): number => (OURS + 1 + bytes) % 2 ** 32;
const theirs = (bytes: number): number => (THEIRS + 1 + bytes) % 2 ** 32;

interface Told {
  readonly at: number;
  readonly flags: number;
  readonly text?: string;
  readonly answers?: number;
  readonly window?: number;
}

/** From the peer: `at` bytes of its answer, when it has `answers` bytes of the request. */
function from({ at, flags, text = '', answers = REQUEST.length, window = 65_535 }: Told): PeerSegment {
  return { sequence: theirs(at), acknowledgement: ours(answers), flags, payload: Buffer.from(text), window };
}

const SYN_ACK: PeerSegment = { ...from({ at: -1, flags: SYN | ACK, answers: 0 }), mss: 1460 };

const brief = (segments: readonly Segment[]) =>
  segments.map(({ sequence, acknowledgement, flags, payload }) => [
    sequence,
    acknowledgement,
    flags,
    Buffer.from(payload).toString(),
  ]);
const sizes = (segments: readonly Segment[]) => segments.map(({ payload }) => payload.length);
const taken = (exchange: Exchange): string => Buffer.from(exchange.take()).toString();

/** The request is written before the SYN is answered. */
function opened(request: Uint8Array = REQUEST, synAck = SYN_ACK): { exchange: Exchange; sent: readonly Segment[] } {
  const exchange = startExchange(OURS);
  exchange.tick(0);
  assert.deepEqual(exchange.write(request, 0), []);
  return { exchange, sent: exchange.receive(synAck, 10) };
}

test('SYN with a segment size, request with the acknowledgement, answer in order, FIN; an RST ends it', () => {
  const exchange = startExchange(OURS);
  assert.deepEqual(exchange.tick(0), [
    { sequence: OURS, acknowledgement: 0, flags: SYN, payload: new Uint8Array(), mss: 1200 },
  ]);
  assert.deepEqual(exchange.write(REQUEST, 5), []);
  assert.deepEqual(brief(exchange.receive(SYN_ACK, 10)), [[ours(0), theirs(0), ACK | PSH, REQUEST.toString()]]);
  assert.equal(exchange.state, 'open');
  // A bare acknowledgement wants none.
  assert.deepEqual(exchange.receive(from({ at: 0, flags: ACK }), 20), []);
  const end = ours(REQUEST.length);
  assert.deepEqual(brief(exchange.receive(from({ at: 0, flags: ACK, text: 'one' }), 30)), [[end, theirs(3), ACK, '']]);
  const last = from({ at: 3, flags: ACK | FIN, text: 'two, past the end of the numbers' });
  assert.deepEqual(brief(exchange.receive(last, 40)), [[end, theirs(36), ACK, '']]);
  assert.equal(exchange.state, 'ended');
  assert.equal(taken(exchange), 'onetwo, past the end of the numbers');
  assert.equal(taken(exchange), '');
  assert.deepEqual(exchange.write(REQUEST, 50), []);
  assert.deepEqual(brief(exchange.abort()), [[end, 0, RST, '']]);
});

test('a conversation: nothing to say at first, then one thing after the other', () => {
  const exchange = startExchange(OURS);
  exchange.tick(0);
  assert.deepEqual(brief(exchange.receive(SYN_ACK, 10)), [[ours(0), theirs(0), ACK, '']]);
  assert.equal(exchange.dueMs, Number.POSITIVE_INFINITY);
  assert.deepEqual(brief(exchange.write(Buffer.from('hello'), 1000)), [[ours(0), theirs(0), ACK | PSH, 'hello']]);
  assert.equal(exchange.dueMs, 1200);
  // The clock goes by the oldest that is not acknowledged.
  assert.deepEqual(brief(exchange.write(Buffer.from('there'), 1100)), [[ours(5), theirs(0), ACK | PSH, 'there']]);
  assert.equal(exchange.dueMs, 1200);
  exchange.receive(from({ at: 0, flags: ACK, answers: 5 }), 1150);
  assert.equal(exchange.dueMs, 1350);
  assert.deepEqual(brief(exchange.tick(1350)), [[ours(5), theirs(0), ACK | PSH, 'there']]);
  const answer = from({ at: 0, flags: ACK, text: 'hi', answers: 10 });
  assert.deepEqual(brief(exchange.receive(answer, 1400)), [[ours(10), theirs(2), ACK, '']]);
  assert.equal(exchange.dueMs, Number.POSITIVE_INFINITY);
  assert.deepEqual(brief(exchange.write(Buffer.from('bye'), 2000)), [[ours(10), theirs(2), ACK | PSH, 'bye']]);
  assert.equal(exchange.dueMs, 2200);
});

test('a SYN that nobody answers is sent twice more, and so is a request', () => {
  const exchange = startExchange(OURS);
  const times = (): number[] => {
    const sentAt: number[] = [];
    for (let now = exchange.dueMs; now !== Number.POSITIVE_INFINITY; now = exchange.dueMs) {
      assert.deepEqual(exchange.tick(now - 1), []);
      assert.equal(exchange.tick(now).length, 1);
      sentAt.push(now);
    }
    return sentAt;
  };
  exchange.tick(0);
  exchange.write(REQUEST, 0);
  assert.deepEqual(times(), [200, 600]);
  exchange.receive(SYN_ACK, 1000);
  assert.deepEqual(times(), [1200, 1600]);
  assert.deepEqual(exchange.receive(from({ at: 0, flags: ACK }), 2000), []);
  assert.equal(exchange.dueMs, Number.POSITIVE_INFINITY);
});

test('a long request is cut as the peer wants it, and only what is missing is sent again', () => {
  for (const [mss, expected] of [
    [1460, [1200, 1200, 600]],
    [1000, [1000, 1000, 1000]],
    [undefined, [536, 536, 536, 536, 536, 320]],
  ] as const) {
    const { exchange, sent } = opened(Buffer.alloc(3000, 'r'), { ...SYN_ACK, mss });
    assert.deepEqual(sizes(sent), expected);
    assert.deepEqual(exchange.receive(from({ at: 0, flags: ACK, answers: 2900 }), 50), []);
    assert.equal(exchange.dueMs, 250);
    assert.deepEqual(brief(exchange.tick(250)), [[ours(2900), theirs(0), ACK | PSH, 'r'.repeat(100)]]);
  }
});

test("the peer's window is kept to, and a closed one is asked by a byte", () => {
  const { exchange, sent } = opened(Buffer.alloc(3000, 'r'), { ...SYN_ACK, window: 1300 });
  assert.deepEqual(sizes(sent), [1200, 100]);
  const acknowledged = (answers: number, window: number) =>
    exchange.receive(from({ at: 0, flags: ACK, answers, window }), 20);
  assert.deepEqual(sizes(acknowledged(1200, 200)), [100]);
  assert.deepEqual(acknowledged(1400, 0), []);
  assert.deepEqual(brief(exchange.tick(exchange.dueMs)), [[ours(1400), theirs(0), ACK | PSH, 'r']]);
  // One that comes late says nothing of the window.
  assert.deepEqual(acknowledged(1200, 5000), []);
  assert.deepEqual(sizes(acknowledged(1400, 1)), []);
  assert.deepEqual(sizes(acknowledged(1401, 1)), [1]);
  assert.deepEqual(sizes(acknowledged(1402, 5000)), [1200, 398]);
});

test('what comes twice, too early, or partly known', () => {
  const { exchange } = opened();
  const expects = (bytes: number) => [[ours(REQUEST.length), theirs(bytes), ACK, '']];
  assert.deepEqual(brief(exchange.receive(from({ at: 3, flags: ACK, text: 'two' }), 20)), expects(0));
  assert.deepEqual(brief(exchange.receive(from({ at: 0, flags: ACK, text: 'one' }), 20)), expects(3));
  assert.deepEqual(brief(exchange.receive(from({ at: 0, flags: ACK, text: 'one' }), 20)), expects(3));
  assert.deepEqual(brief(exchange.receive(from({ at: 1, flags: ACK, text: 'netwo' }), 20)), expects(6));
  // An early FIN is no end.
  assert.deepEqual(brief(exchange.receive(from({ at: 9, flags: ACK | FIN }), 20)), expects(6));
  assert.equal(exchange.state, 'open');
  // Our acknowledgement of it was lost.
  assert.deepEqual(brief(exchange.receive(SYN_ACK, 20)), expects(6));
  assert.equal(taken(exchange), 'onetwo');
});

test('what nobody takes is bounded: the rest is left to be sent again', () => {
  const { exchange } = opened();
  const text = 'x'.repeat(65_000);
  const feed = (at: number) => exchange.receive(from({ at, flags: ACK, text }), 20)[0]?.acknowledgement;
  assert.equal(MOST_UNREAD, 131_072);
  assert.deepEqual([feed(0), feed(65_000), feed(130_000)], [theirs(65_000), theirs(130_000), theirs(130_000)]);
  assert.equal(taken(exchange).length, 130_000);
  assert.equal(feed(130_000), theirs(195_000));
});

test("what was received is no longer in the caller's memory", () => {
  const { exchange } = opened();
  const payload = Buffer.from('one');
  exchange.receive({ ...from({ at: 0, flags: ACK }), payload }, 20);
  payload.fill('x');
  assert.equal(taken(exchange), 'one');
});

test('not of this connection: nothing of it counts', () => {
  const { exchange } = opened();
  assert.deepEqual(exchange.receive(from({ at: 0, flags: ACK, text: 'x', answers: REQUEST.length + 1 }), 20), []);
  assert.deepEqual(exchange.receive(from({ at: 0, flags: ACK, text: 'x', answers: -1 }), 20), []);
  assert.deepEqual(exchange.receive(from({ at: 0, flags: 0, text: 'x' }), 20), []);
  assert.deepEqual(exchange.receive(from({ at: 5, flags: RST }), 20), []);
  assert.deepEqual([exchange.state, exchange.take().length], ['open', 0]);
});

test('refused and reset: nothing is left to end', () => {
  const refused = startExchange(OURS);
  refused.tick(0);
  assert.deepEqual(refused.receive(from({ at: 0, flags: RST | ACK, answers: 1 }), 10), []);
  assert.equal(refused.state, 'opening');
  assert.deepEqual(refused.receive(from({ at: 0, flags: SYN, answers: 0 }), 10), []);
  refused.receive(from({ at: 0, flags: RST | ACK, answers: 0 }), 10);
  assert.deepEqual([refused.state, refused.dueMs, refused.abort()], ['refused', Number.POSITIVE_INFINITY, []]);
  const { exchange } = opened();
  exchange.receive(from({ at: 0, flags: RST }), 10);
  assert.deepEqual([exchange.state, exchange.dueMs, exchange.abort()], ['reset', Number.POSITIVE_INFINITY, []]);
});

test('the peer still has an older connection: it is reset where the peer is, and the SYN follows', () => {
  const exchange = startExchange(OURS);
  exchange.tick(0);
  const older: PeerSegment = {
    sequence: 7,
    acknowledgement: 4711,
    flags: ACK,
    payload: new Uint8Array(),
    window: 65_535,
  };
  assert.deepEqual(brief(exchange.receive(older, 10)), [
    [4711, 0, RST, ''],
    [OURS, 0, SYN, ''],
  ]);
});

test('given up: an RST where the peer is, whether or not it got what it has not acknowledged', () => {
  const exchange = startExchange(OURS);
  exchange.tick(0);
  assert.deepEqual(brief(exchange.abort()), [[ours(0), 0, RST, '']]);
  exchange.write(REQUEST, 0);
  exchange.receive(SYN_ACK, 10);
  exchange.receive(from({ at: 0, flags: ACK, answers: 5 }), 20);
  assert.deepEqual(brief(exchange.abort()), [
    [ours(REQUEST.length), 0, RST, ''],
    [ours(5), 0, RST, ''],
  ]);
});
