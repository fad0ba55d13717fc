/** How a connection through the tunnel begins and ends as a stream, by hand-made segments; test/health/tunnel.test.ts has a kernel. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import type { PeerSegment, Segment } from '../../health/tcp-exchange.ts';
import { dialThroughTunnel, type Exchanges } from '../../health/tunnel-stream.ts';

const [FIN, SYN, RST, PSH, ACK] = [1, 2, 4, 8, 16];
const ID = 4711;

function dialled(lost?: () => void) {
  const exchanges: Exchanges = new Map();
  const sent: Segment[] = [];
  const stream = dialThroughTunnel({
    exchanges,
    id: ID,
    send(segment) {
      lost?.();
      sent.push(segment);
    },
  });
  const first = sent[0]?.sequence ?? 0;
  /** From the peer, which has `has` bytes. */
  const says = (flags: number, text = '', at = 0, has = 0): void =>
    exchanges.get(ID)?.({
      sequence: 1000 + at,
      acknowledgement: first + 1 + has,
      flags,
      payload: Buffer.from(text),
      window: 65_535,
    } satisfies PeerSegment);
  const flagsSent = (): number[] => sent.splice(0).map(({ flags }) => flags);
  return { exchanges, stream, says, sent, flagsSent };
}

test('what is written, and read; the end; an RST, and nothing stays', async () => {
  const { exchanges, stream, says, sent, flagsSent } = dialled();
  assert.equal(Math.floor(sent[0]!.sequence / 65_536), ID);
  stream.write('hello');
  assert.deepEqual(flagsSent(), [SYN]);
  says(SYN | ACK, '', -1);
  assert.equal(Buffer.from(sent[0]!.payload).toString(), 'hello');
  let text = '';
  stream.on('data', (chunk) => {
    text += chunk;
  });
  says(ACK, 'one', 0, 5);
  says(ACK | FIN, 'two', 3, 5);
  await once(stream, 'end');
  assert.equal(text, 'onetwo');
  stream.destroy();
  await once(stream, 'close');
  assert.deepEqual(flagsSent(), [ACK | PSH, ACK, ACK, RST]);
  assert.equal(exchanges.size, 0);
});

test('refused, and reset: the error says so', async () => {
  for (const [isOpen, word] of [
    [false, 'refused'],
    [true, 'reset'],
  ] as const) {
    const { exchanges, stream, says } = dialled();
    const error = once(stream, 'error');
    if (isOpen) says(SYN | ACK, '', -1);
    says(RST | ACK);
    assert.equal((await error)[0].message, `connection to the VIP ${word}`);
    assert.equal(exchanges.size, 0);
  }
});

test('there is no way, from the beginning or later: the error is the reason', async () => {
  for (const good of [0, 1]) {
    let sends = 0;
    const { exchanges, stream, says } = dialled(() => {
      if (sends++ >= good) throw new Error('no neighbour on the way to it');
    });
    const error = once(stream, 'error');
    says(SYN | ACK, '', -1);
    assert.equal((await error)[0].message, 'no neighbour on the way to it');
    assert.equal(exchanges.size, 0);
  }
});

test('what it sends is bounded, because it is known by half of its numbers', async () => {
  const { exchanges, stream, says } = dialled();
  says(SYN | ACK, '', -1);
  stream.write(Buffer.alloc(49_151));
  assert.equal(stream.destroyed, false);
  const error = once(stream, 'error');
  stream.write('x');
  assert.match((await error)[0].message, /more to send than a check through the tunnel can/);
  assert.equal(exchanges.size, 0);
});

test('nobody reads: what comes is kept up to a bound, and acknowledged no further', () => {
  const { stream, says, sent } = dialled();
  says(SYN | ACK, '', -1);
  const text = 'x'.repeat(1000);
  for (let i = 0; i < 1000; i++) says(ACK, text, 1000 * i);
  assert.ok((sent.at(-1)!.acknowledgement - 1000) / 1024 <= 200);
  stream.destroy();
});
