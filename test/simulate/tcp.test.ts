/**
 * The end points against each other, without a balancer: what RFC 9293 and Linux' documentation say of handshakes, orderly
 * ends, retransmission, keepalive and RSTs.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ACK, FIN, PSH, RST, SYN } from '../../wire/tcp.ts';
import { CLIENT, CLIENT_PORT, createTwoEnds, LEG_MS, PORT, SERVER, type TwoEnds } from './two-ends.ts';

const flagsOf = ({ sent }: TwoEnds, from: string) =>
  sent.filter((each) => each.from === from).map((each) => each.flags);
const kindsOf = (notices: readonly { kind: string }[]) => notices.map(({ kind }) => kind);

test('the handshake takes three segments, and both sides know each other then', () => {
  const ends = createTwoEnds();
  ends.clock.run();
  assert.deepEqual(
    ends.sent.map(({ from, flags, timeMs }) => [from, flags, timeMs]),
    [
      ['client', SYN, 0],
      ['server', SYN | ACK, LEG_MS],
      ['client', ACK, 2 * LEG_MS],
    ],
  );
  const [syn, synAck, ack] = ends.sent;
  assert.equal(synAck.acknowledgement, (syn.sequence + 1) >>> 0);
  assert.equal(ack.acknowledgement, (synAck.sequence + 1) >>> 0);
  assert.deepEqual(
    [ends.socket.connection.state, ends.serverSocket().connection.state],
    ['established', 'established'],
  );
});

test('a connection without keepalive is silent for ever', () => {
  const ends = createTwoEnds();
  ends.clock.run();
  assert.equal(ends.clock.now, 3 * LEG_MS);
});

test('data arrives once and in order, acknowledged, across the end of sequence space', () => {
  const ends = createTwoEnds();
  ends.at(10, () => ends.socket.connection.send('0123456789'));
  ends.at(20, () => ends.socket.connection.send('abcdefghij'));
  ends.at(30, () => ends.serverSocket().connection.send('answer'));
  ends.clock.run();
  const data = (notices: TwoEnds['told']['client']) =>
    notices.flatMap((each) => (each.kind === 'data' ? each.payload : []));
  assert.deepEqual(data(ends.told.server), ['0123456789', 'abcdefghij']);
  assert.deepEqual(data(ends.told.client), ['answer']);
  assert.deepEqual(flagsOf(ends, 'server'), [SYN | ACK, ACK, ACK, PSH | ACK]);
  assert.ok(ends.sent.some(({ sequence }) => sequence < 100) && ends.sent.some(({ sequence }) => sequence > 2 ** 31));
});

test('a segment that is lost once is sent again after 200 ms and delivered once', () => {
  const ends = createTwoEnds();
  ends.isLost = ({ payload }) => payload !== '' && ends.clock.now === 10;
  ends.at(10, () => ends.socket.connection.send('x'));
  ends.clock.run();
  assert.deepEqual(kindsOf(ends.told.server), ['established', 'data']);
  assert.deepEqual(
    ends.sent.filter(({ payload }) => payload !== '').map(({ timeMs }) => timeMs),
    [10, 210],
  );
});

test('a lost acknowledgement costs a second copy, which is acknowledged and not delivered', () => {
  const ends = createTwoEnds();
  ends.isLost = (_, from) => from === 'server' && ends.clock.now > 5 && ends.clock.now < 20;
  ends.at(10, () => ends.socket.connection.send('x'));
  ends.clock.run();
  assert.deepEqual(kindsOf(ends.told.server), ['established', 'data']);
  assert.deepEqual(flagsOf(ends, 'server'), [SYN | ACK, ACK, ACK]);
});

test('an orderly end: FIN, ACK, FIN, ACK; the side that closed first waits 60 s in TIME-WAIT', () => {
  const ends = createTwoEnds();
  ends.at(10, () => ends.serverSocket().connection.close());
  ends.at(20, () => ends.socket.connection.close());
  ends.at(30, () => assert.equal(ends.server.sockets.get(CLIENT_PORT)?.connection.state, 'time-wait'));
  ends.clock.run();
  assert.deepEqual(
    ends.sent.slice(3).map(({ from, flags }) => [from, flags]),
    [
      ['server', FIN | ACK],
      ['client', ACK],
      ['client', FIN | ACK],
      ['server', ACK],
    ],
  );
  assert.deepEqual(kindsOf(ends.told.client), ['established', 'fin', 'end']);
  assert.deepEqual([ends.client.sockets.size, ends.server.sockets.size], [0, 0]);
  assert.equal(ends.clock.now, 20 + LEG_MS + 60_000);
});

test('a closed socket whose peer never closes is gone after 60 s (tcp_fin_timeout)', () => {
  const ends = createTwoEnds();
  ends.at(10, () => ends.serverSocket().connection.close());
  ends.clock.run();
  assert.equal(ends.server.sockets.size, 0);
  assert.equal(ends.clock.now, 10 + 2 * LEG_MS + 60_000);
  assert.equal(ends.socket.connection.state, 'close-wait');
});

test('data that nobody acknowledges: 15 retransmissions, doubling from 200 ms to 120 s, ETIMEDOUT after 924.6 s', () => {
  const ends = createTwoEnds();
  ends.isLost = () => ends.clock.now >= 10;
  ends.at(10, () => ends.socket.connection.send('x'));
  ends.clock.run();
  const times = ends.sent.filter(({ payload }) => payload === 'x').map(({ timeMs }) => timeMs - 10);
  // Linux' ip-sysctl: "The default value of 15 yields a hypothetical timeout of 924.6 seconds".
  assert.deepEqual(times.slice(0, 11), [0, 200, 600, 1400, 3000, 6200, 12_600, 25_400, 51_000, 102_200, 204_600]);
  assert.deepEqual(times.slice(11), [324_600, 444_600, 564_600, 684_600, 804_600]);
  assert.deepEqual(ends.told.client.at(-1), { kind: 'end', end: 'timed-out', by: null, timeMs: 10 + 924_600 });
});

test('a SYN that nobody answers is given up after 127 s', () => {
  const ends = createTwoEnds();
  ends.isLost = () => true;
  ends.clock.run();
  // Linux' ip-sysctl: with tcp_syn_retries 6 "the final timeout for an active TCP connection attempt" is 127 s.
  assert.deepEqual(ends.told.client.at(-1), { kind: 'end', end: 'timed-out', by: null, timeMs: 127_000 });
  assert.equal(ends.sent.length, 7);
});

test('keepalive, answered: a probe after each 7200 s of silence, and none while there is traffic', () => {
  const ends = createTwoEnds({ clientKeepaliveMs: 7_200_000 });
  ends.at(5_000_000, () => ends.socket.connection.send('x'));
  ends.at(30_000_000, () => ends.socket.connection.close());
  ends.at(30_000_010, () => ends.serverSocket().connection.close());
  ends.clock.run();
  const probes = ends.told.client.filter(({ kind }) => kind === 'keepalive-probe').map(({ timeMs }) => timeMs);
  // From the ACK of the data, and then from the answer to each probe.
  assert.deepEqual(probes, [12_200_002, 19_400_004, 26_600_006]);
  assert.equal(ends.told.client.at(-1)?.kind, 'end');
});

test('a keepalive shorter than its interval: the interval decides from the second probe on, as on a real kernel', () => {
  const ends = createTwoEnds({ clientKeepaliveMs: 1000, keepaliveIntervalMs: 4000 });
  ends.at(14_000, () => ends.socket.connection.close());
  ends.at(14_010, () => ends.serverSocket().connection.close());
  ends.clock.run();
  const probes = ends.told.client.filter(({ kind }) => kind === 'keepalive-probe').map(({ timeMs }) => timeMs);
  // Linux 6.18 with TCP_KEEPIDLE 1 and TCP_KEEPINTVL 4: after 1.0, 5.1, 9.3 and 13.3 s.
  assert.deepEqual(probes, [1002, 5002, 9002, 13_002]);
});

test('data right after a probe does not bring the next one forward, as on a real kernel', () => {
  const ends = createTwoEnds({ clientKeepaliveMs: 2000, keepaliveIntervalMs: 6000 });
  ends.at(2200, () => ends.socket.connection.send('x'));
  ends.at(15_000, () => ends.socket.connection.close());
  ends.at(15_010, () => ends.serverSocket().connection.close());
  ends.clock.run();
  const probes = ends.told.client.filter(({ kind }) => kind === 'keepalive-probe').map(({ timeMs }) => timeMs);
  // Linux 6.18 with TCP_KEEPIDLE 2 and TCP_KEEPINTVL 6, data at 2.2 s: after 2.0, 8.3 and 14.4 s.
  assert.deepEqual(probes, [2002, 8002, 14_002]);
});

test('keepalive, unanswered: 9 probes, 75 s apart, ETIMEDOUT and an RST after 7875 s', () => {
  const ends = createTwoEnds({ clientKeepaliveMs: 7_200_000 });
  ends.isLost = () => ends.clock.now > 1000;
  ends.clock.run();
  const heardMs = 2 * LEG_MS;
  const probes = ends.told.client
    .filter(({ kind }) => kind === 'keepalive-probe')
    .map(({ timeMs }) => timeMs - heardMs);
  assert.deepEqual(
    probes,
    Array.from({ length: 9 }, (_, i) => 7_200_000 + i * 75_000),
  );
  assert.deepEqual(ends.told.client.at(-1), { kind: 'end', end: 'timed-out', by: null, timeMs: heardMs + 7_875_000 });
  const [probe] = ends.sent.filter(({ timeMs }) => timeMs > 1000);
  assert.deepEqual([probe.flags, probe.payload], [ACK, '']);
  assert.equal(probe.sequence, ends.sent[0].sequence, 'one below what the peer expects next');
  assert.equal((ends.sent.at(-1)?.flags ?? 0) & RST, RST);
});

test('a port that nobody listens on answers a SYN with RST, which ends the attempt', () => {
  const ends = createTwoEnds({ listens: false });
  ends.clock.run();
  const [syn, reset] = ends.sent;
  assert.deepEqual([reset.flags, reset.sequence, reset.acknowledgement], [RST | ACK, 0, (syn.sequence + 1) >>> 0]);
  assert.deepEqual(kindsOf(ends.told.client), ['end']);
});

test('a segment of an unknown connection is answered with the RST that its ACK asks for; an RST is not answered', () => {
  const ends = createTwoEnds();
  const stray = {
    source: CLIENT,
    destination: SERVER,
    sourcePort: 5,
    destinationPort: PORT,
    sequence: 7,
    payload: 'abc',
  };
  ends.at(10, () => {
    ends.server.receive({ ...stray, acknowledgement: 1234, flags: PSH | ACK }, 'client');
    ends.server.receive({ ...stray, acknowledgement: 0, flags: FIN }, 'client');
    ends.server.receive({ ...stray, acknowledgement: 0, flags: RST }, 'client');
  });
  ends.clock.run();
  assert.deepEqual(
    ends.sent.slice(3).map(({ flags, sequence, acknowledgement }) => [flags, sequence, acknowledgement]),
    [
      [RST, 1234, 0],
      [RST | ACK, 0, 7 + 3 + 1],
    ],
  );
});

test('an RST counts at exactly the next number; elsewhere in the window it is challenged, beyond it ignored', () => {
  for (const [offset, state, answers] of [
    [0, undefined, 0],
    [1, 'established', 1],
    [64_239, 'established', 1],
    [64_240, 'established', 0],
    [-1, 'established', 0],
  ] as const) {
    const ends = createTwoEnds();
    ends.at(10, () => {
      const next = ends.sent[1].sequence + 1;
      const sequence = (next + offset) >>> 0;
      const reset = {
        source: SERVER,
        destination: CLIENT,
        sourcePort: PORT,
        destinationPort: CLIENT_PORT,
        payload: '',
      };
      ends.client.receive({ ...reset, sequence, acknowledgement: 0, flags: RST }, 'balancer');
    });
    ends.at(11, () => {
      assert.equal(ends.client.sockets.get(CLIENT_PORT)?.connection.state, state, `offset ${offset}`);
      assert.equal(ends.sent.length, 3 + answers, `offset ${offset}`);
    });
    ends.clock.run();
    if (state === undefined) {
      assert.deepEqual(ends.told.client.at(-1), { kind: 'end', end: 'reset', by: 'balancer', timeMs: 10 });
    }
  }
});

test('data for a socket that its program has closed is answered with RST: the race of the two idle timeouts', () => {
  const ends = createTwoEnds();
  ends.at(10, () => ends.serverSocket().connection.close());
  ends.at(10.5, () => ends.socket.connection.send('request'));
  ends.clock.run();
  assert.deepEqual(kindsOf(ends.told.client), ['established', 'fin', 'end']);
  // One for the data, and one for the acknowledgement of the FIN, which comes when the socket is gone.
  assert.equal(ends.sent.filter(({ flags }) => flags === RST).length, 2);
});

test('an answer that is sent at once carries the acknowledgement: no segment of its own', () => {
  const ends = createTwoEnds();
  ends.onServerData = () => ends.serverSocket().connection.send('answer');
  ends.at(10, () => ends.socket.connection.send('request'));
  ends.clock.run();
  assert.deepEqual(flagsOf(ends, 'server'), [SYN | ACK, PSH | ACK]);
  assert.deepEqual(flagsOf(ends, 'client'), [SYN, ACK, PSH | ACK, ACK]);
});
