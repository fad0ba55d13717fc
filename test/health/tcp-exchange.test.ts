/** TCP of a check, segment by segment, in virtual time: what RFC 9293 has a client say. test/health/tunnel.test.ts has a kernel at the other end. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Exchange, type Segment, startExchange } from '../../health/tcp-exchange.ts';

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
}

/** From the peer: `at` bytes of its answer, when it has `answers` bytes of the request. */
function from(peer: Told): Segment {
  const { at, flags, text = '', answers = REQUEST.length } = peer;
  return { sequence: theirs(at), acknowledgement: ours(answers), flags, payload: Buffer.from(text) };
}

const SYN_ACK: Segment = { ...from({ at: -1, flags: SYN | ACK, answers: 0 }), mss: 1460 };

const brief = (segments: readonly Segment[]) =>
  segments.map(({ sequence, acknowledgement, flags, payload }) => [
    sequence,
    acknowledgement,
    flags,
    Buffer.from(payload).toString(),
  ]);

function opened(request: Uint8Array = REQUEST, synAck = SYN_ACK): { exchange: Exchange; sent: readonly Segment[] } {
  const exchange = startExchange(OURS, request);
  exchange.tick(0);
  return { exchange, sent: exchange.receive(synAck, 10) };
}

test('SYN with a segment size, request with the acknowledgement, answer in order, FIN; an RST ends it', () => {
  const exchange = startExchange(OURS, REQUEST);
  assert.deepEqual(exchange.tick(0), [
    { sequence: OURS, acknowledgement: 0, flags: SYN, payload: new Uint8Array(), mss: 1200 },
  ]);
  assert.deepEqual(brief(exchange.receive(SYN_ACK, 10)), [[ours(0), theirs(0), ACK | PSH, REQUEST.toString()]]);
  assert.equal(exchange.state, 'open');
  // A bare acknowledgement wants none.
  assert.deepEqual(exchange.receive(from({ at: 0, flags: ACK }), 20), []);
  const end = ours(REQUEST.length);
  assert.deepEqual(brief(exchange.receive(from({ at: 0, flags: ACK, text: 'one' }), 30)), [[end, theirs(3), ACK, '']]);
  const last = from({ at: 3, flags: ACK | FIN, text: 'two, past the end of the numbers' });
  assert.deepEqual(brief(exchange.receive(last, 40)), [[end, theirs(36), ACK, '']]);
  assert.equal(exchange.state, 'ended');
  assert.equal(Buffer.from(exchange.received).toString(), 'onetwo, past the end of the numbers');
  assert.deepEqual(brief(exchange.abort()), [[end, 0, RST, '']]);
});

test('a SYN that nobody answers is sent twice more, and so is a request', () => {
  const exchange = startExchange(OURS, REQUEST);
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
  assert.deepEqual(times(), [200, 600]);
  exchange.receive(SYN_ACK, 1000);
  assert.deepEqual(times(), [1200, 1600]);
  assert.deepEqual(exchange.receive(from({ at: 0, flags: ACK }), 2000), []);
  assert.equal(exchange.dueMs, Number.POSITIVE_INFINITY);
});

test('a long request is cut as the peer wants it, and only what is missing is sent again', () => {
  for (const [mss, sizes] of [
    [1460, [1200, 1200, 600]],
    [1000, [1000, 1000, 1000]],
    [undefined, [536, 536, 536, 536, 536, 320]],
  ] as const) {
    const { exchange, sent } = opened(Buffer.alloc(3000, 'r'), { ...SYN_ACK, mss });
    assert.deepEqual(
      sent.map(({ payload }) => payload.length),
      sizes,
    );
    assert.deepEqual(exchange.receive(from({ at: 0, flags: ACK, answers: 2900 }), 50), []);
    assert.equal(exchange.dueMs, 250);
    assert.deepEqual(brief(exchange.tick(250)), [[ours(2900), theirs(0), ACK | PSH, 'r'.repeat(100)]]);
  }
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
  assert.equal(Buffer.from(exchange.received).toString(), 'onetwo');
});

test('not of this connection: nothing of it counts', () => {
  const { exchange } = opened();
  assert.deepEqual(exchange.receive(from({ at: 0, flags: ACK, text: 'x', answers: REQUEST.length + 1 }), 20), []);
  assert.deepEqual(exchange.receive(from({ at: 0, flags: ACK, text: 'x', answers: -1 }), 20), []);
  assert.deepEqual(exchange.receive(from({ at: 0, flags: 0, text: 'x' }), 20), []);
  assert.deepEqual(exchange.receive(from({ at: 5, flags: RST }), 20), []);
  assert.deepEqual([exchange.state, exchange.received.length], ['open', 0]);
});

test('refused and reset: nothing is left to end', () => {
  const refused = startExchange(OURS, REQUEST);
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
  const exchange = startExchange(OURS, REQUEST);
  exchange.tick(0);
  const older: Segment = { sequence: 7, acknowledgement: 4711, flags: ACK, payload: new Uint8Array() };
  assert.deepEqual(brief(exchange.receive(older, 10)), [
    [4711, 0, RST, ''],
    [OURS, 0, SYN, ''],
  ]);
});

test('given up: the RST is where the peer is', () => {
  const exchange = startExchange(OURS, REQUEST);
  exchange.tick(0);
  assert.deepEqual(brief(exchange.abort()), [[ours(0), 0, RST, '']]);
  exchange.receive(SYN_ACK, 10);
  exchange.receive(from({ at: 0, flags: ACK, answers: 5 }), 20);
  assert.deepEqual(brief(exchange.abort()), [[ours(5), 0, RST, '']]);
});
