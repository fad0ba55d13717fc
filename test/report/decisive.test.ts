/**
 * The comments on captured packets: which packets have one, and that it says what happened.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Evidence } from '../../lab/findings.ts';
import { SCENARIOS } from '../../lab/scenarios.ts';
import { findDecisive } from '../../report/decisive.ts';
import { HUNG, KEPT, RESET_BY_BALANCER, RESET_BY_STRANGER, START_MS, story } from '../lab/story.ts';
import { evidenceOf, frameOf, overLongCable, RACE } from './evidence.ts';

function scenarioNamed(name: string, variant: string | null = null) {
  return SCENARIOS.find((each) => each.name === name && each.variant === variant)!;
}

type Said = [host: string, direction: string, atMs: number, comment: string];

function comments(name: string, lines: string, variant: string | null = null, change: Partial<Evidence> = {}): Said[] {
  const scenario = scenarioNamed(name, variant);
  const packets = lines === RACE ? overLongCable(story(lines)) : story(lines);
  const evidence = { ...evidenceOf(scenario), frames: packets.map(frameOf), ...change };
  return [...findDecisive(evidence, scenario)].map(([{ host, direction, timeMs }, comment]) => [
    host,
    direction,
    Math.round((timeMs - START_MS) * 10) / 10,
    comment,
  ]);
}

const FORGOTTEN =
  "The first packet after 3.6 s of silence. The balancer's idle timeout is 2 s, so it forgot this connection 1.6 s ago; it ";

describe('findDecisive', () => {
  it('stateless: the packet that is hashed again, and nothing else', () => {
    assert.deepEqual(comments('stateless', KEPT), [
      ['lb', 'in', 3602.1, `${FORGOTTEN}hashes the packet again, to the same backend.`],
    ]);
  });

  it('round-robin: that packet, and the RST of the stranger', () => {
    assert.deepEqual(comments('round-robin', RESET_BY_STRANGER), [
      ['lb', 'in', 3602.1, `${FORGOTTEN}hands the packet to the backend that is next in turn.`],
      [
        'b3',
        'out',
        3603,
        "b3 sends this RST: it never saw this connection's handshake, b2 did. The balancer sent the packet to a stranger.",
      ],
    ]);
  });

  it('syn-only: that packet, and the RST of the balancer itself', () => {
    assert.deepEqual(comments('syn-only', RESET_BY_BALANCER), [
      ['lb', 'in', 3602.1, `${FORGOTTEN}admits nothing but a SYN, and answers RST.`],
      [
        'lb',
        'out',
        3603,
        'The balancer itself sends this RST: it forgot this connection 1.6 s ago, and only a SYN may open a new entry. The ' +
          'backend never hears of it.',
      ],
    ]);
  });

  it('drop-mode: each attempt', () => {
    const dropped = HUNG.replaceAll('client>nowhere', 'client>lb');
    assert.deepEqual(comments('drop-mode', dropped), [
      ['lb', 'in', 3602.1, `${FORGOTTEN}drops what it does not know.`],
      [
        'lb',
        'in',
        3810.1,
        'Sent again, 208.0 ms after the one before: attempt 2. The balancer drops it, as all before.',
      ],
    ]);
  });

  it('a restart: the RST says what became of the table, though no one was idle', () => {
    const soon = RESET_BY_BALANCER.replace('3602', '900').replace('3603', '901');
    const [[host, , , comment]] = comments('lb-restart', soon, 'stateful');
    assert.equal(host, 'lb');
    assert.match(
      comment,
      /^The balancer itself sends this RST: its table was lost when it was killed and started again,/,
    );
  });

  it('a failover: the balancer that is left never saw the connection', () => {
    const moved = RESET_BY_BALANCER.replace('3602 client>lb', '900 client>lb2').replace('3603 lb>', '901 lb2>');
    const roles = { client: 'client', clientAddress: '198.18.0.2', balancer: 'lb', spare: 'lb2' };
    const said = comments('lb-failover', moved, 'stateful', { roles });
    assert.deepEqual(
      said.map(([host, direction]) => [host, direction]),
      [
        ['lb2', 'in'],
        ['lb2', 'out'],
      ],
    );
    assert.match(said[0][3], /^The first packet of this connection that this balancer sees, in the middle of it/);
    assert.match(said[1][3], /its table never had this connection, which was that of the dead one/);
  });

  it('the race: FIN, the request that meets it, and the RST', () => {
    const said = comments('direct-race', RACE);
    assert.deepEqual(
      said.map(([host, direction, atMs]) => [host, direction, atMs]),
      [
        ['b1', 'out', 1030],
        ['b1', 'in', 1038],
        ['b1', 'out', 1039],
      ],
    );
    assert.equal(
      said[0][3],
      'b1 closes: its idle timeout of 1 s is over. A request that is already on its way arrives 8.0 ms later.',
    );
    assert.equal(said[1][3], 'This request met the FIN on the way: b1 had closed 8.0 ms before.');
    assert.equal(said[2][3], 'b1 answers RST: it had closed this connection 9.0 ms before the data came.');
  });

  it('a FIN that meets nobody is not worth a word', () => {
    assert.deepEqual(comments('direct-race', RACE.split('\n').slice(0, -3).join('\n')), []);
  });

  it('layer 7: an end without an answer', () => {
    const closed = '0 client>lb GET / 1 1\n9 lb>client FIN-ACK 1 41';
    const [said] = comments('l7-idle', closed, 'HAProxy');
    assert.deepEqual(said?.slice(0, 3), ['lb', 'out', 9]);
    assert.match(said?.[3] ?? '', /^The balancer closes without an answer/);
    const answered = '0 client>lb GET / 1 1\n5 lb>client 200 OK 1 41\n9 lb>client FIN-ACK 41 41';
    assert.deepEqual(comments('l7-idle', answered, 'HAProxy'), []);
  });
});
