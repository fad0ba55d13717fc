/**
 * What captures show of the race between a request and a server's end of a connection.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { examine } from '../../lab/findings.ts';
import { SCENARIOS } from '../../lab/scenarios.ts';
import { findDecisive } from '../../report/decisive.ts';
import { evidenceOf, frameOf, RACE } from '../report/evidence.ts';
import { KEPT, RESET_BY_STRANGER, story } from './story.ts';

/** The request is there before the server's program looks, and the program closes without a look. */
const CLOSED_UNREAD = `
  0    client>b1 SYN 100 0
  10   b1>client SYN-ACK 500 101
  20   client>b1 GET / 101 501
  30   b1>client 200 OK 501 141
  1029 client>b1 GET / 141 541
  1035 b1>client RST-ACK 541 181
`;

describe('requests that came too late', () => {
  const scenario = SCENARIOS.find(({ name }) => name === 'direct-race');
  assert.ok(scenario !== undefined);
  const evidenceFor = (lines: string) => ({ ...evidenceOf(scenario), frames: story(lines).map(frameOf) });

  for (const [what, lines, count] of [
    ['an RST after a FIN', RACE, 1],
    ['an RST in place of a FIN', CLOSED_UNREAD, 1],
    ['an RST of a server that never saw the connection', RESET_BY_STRANGER, 0],
    ['no RST', KEPT, 0],
  ] as const) {
    it(`${what}: ${count}`, () => {
      assert.equal(examine(evidenceFor(lines), scenario.shows).sentTooLate, count);
    });
  }

  it('are told in the capture, also where no FIN went before', () => {
    const comments = [...findDecisive(evidenceFor(CLOSED_UNREAD), scenario).values()];
    assert.ok(
      comments.some((comment) => /^b1 sends this RST: it closed .* with the request unread/.test(comment)),
      comments.join(),
    );
  });
});
