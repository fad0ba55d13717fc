/**
 * Who did it: outcomes from what the client says and what hand-written captures show.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { countOwnResets, judgeConnections } from '../../lab/connections.ts';
import type { ExchangeReport } from '../../lab/keepalive-client.ts';
import { HUNG, KEPT, RESET_BY_BALANCER, RESET_BY_STRANGER, ROLES, START_MS, story } from './story.ts';

function reports(second: Partial<ExchangeReport>, first: Partial<ExchangeReport> = {}): ExchangeReport[] {
  const common = {
    event: 'exchange',
    connection: 0,
    localPort: 40001,
    status: 200,
    backend: 'b2',
    error: null,
  } as const;
  return [
    { ...common, round: 'first', sentAtMs: START_MS, endedAtMs: START_MS + 3, ...first },
    { ...common, round: 'second', sentAtMs: START_MS + 3601, endedAtMs: START_MS + 3604, ...second },
  ];
}

const RESET = { status: null, backend: null, error: 'ECONNRESET' };

function judged(second: Partial<ExchangeReport>, lines: string) {
  const [connection] = judgeConnections(reports(second), story(lines), ROLES);
  const { outcome, resetBy, backendBefore, backendAfter, error } = connection;
  return { outcome, resetBy, backendBefore, backendAfter, error };
}

describe('judgeConnections', () => {
  it('kept: answered on the same connection', () => {
    assert.deepEqual(judged({}, KEPT), {
      outcome: 'kept',
      resetBy: null,
      backendBefore: 'b2',
      backendAfter: 'b2',
      error: null,
    });
  });

  it('reset by the backend that the capture shows sending it', () => {
    assert.deepEqual(judged(RESET, RESET_BY_STRANGER), {
      outcome: 'reset-by-backend',
      resetBy: 'b3',
      backendBefore: 'b2',
      backendAfter: 'b3',
      error: 'ECONNRESET',
    });
  });

  it('reset by the balancer: its request reached no backend', () => {
    assert.deepEqual(judged(RESET, RESET_BY_BALANCER), {
      outcome: 'reset-by-balancer',
      resetBy: 'lb',
      backendBefore: 'b2',
      backendAfter: null,
      error: 'ECONNRESET',
    });
  });

  it('blames nobody without a capture of the sender', () => {
    const withoutSender = story(RESET_BY_STRANGER).filter(
      ({ host, direction }) => !(host === 'b3' && direction === 'out'),
    );
    const [connection] = judgeConnections(reports(RESET), withoutSender, ROLES);
    assert.equal(connection.outcome, 'reset-by-unknown');
    assert.equal(connection.resetBy, null);
  });

  it('blames nobody for an RST with another sequence number, or one that was sent later', () => {
    for (const change of [{ sequence: 7 }, { timeMs: START_MS + 5000 }]) {
      const packets = story(RESET_BY_STRANGER).map((packet) =>
        packet.host === 'b3' && packet.direction === 'out' ? { ...packet, ...change } : packet,
      );
      assert.equal(judgeConnections(reports(RESET), packets, ROLES)[0].outcome, 'reset-by-unknown');
    }
  });

  it('hung, closed in order, refused at once, no second report', () => {
    assert.equal(judged({ status: null, error: 'hung' }, HUNG).outcome, 'hung');
    assert.equal(judged({ status: null, error: 'closed' }, HUNG).outcome, 'error');
    assert.equal(judged({ status: 502 }, KEPT).outcome, 'error');
    const [first] = reports({}, { error: 'ECONNREFUSED', status: null });
    assert.equal(judgeConnections([first], [], ROLES)[0].outcome, 'error');
    assert.equal(judgeConnections(reports({}).slice(0, 1), [], ROLES)[0].outcome, 'error');
  });

  it('keeps connections apart by the client’s port', () => {
    const other = reports(RESET).map((report) => ({ ...report, connection: 1, localPort: 40002 }));
    const packets = [...story(KEPT), ...story(RESET_BY_STRANGER, 40002)];
    const outcomes = judgeConnections([...other, ...reports({})], packets, ROLES).map(({ outcome }) => outcome);
    assert.deepEqual(outcomes, ['kept', 'reset-by-backend']);
  });
});

describe('countOwnResets', () => {
  it('counts what a host made, not what it passed on', () => {
    assert.equal(countOwnResets(story(RESET_BY_BALANCER), 'lb'), 1);
    assert.equal(countOwnResets(story(RESET_BY_STRANGER), 'lb'), 0);
    assert.equal(countOwnResets(story(RESET_BY_STRANGER), 'b3'), 1);
    const passedOn = story('0 client>lb>b2 RST 100 0');
    assert.equal(countOwnResets(passedOn, 'lb'), 0);
    assert.equal(countOwnResets(passedOn, 'client'), 1);
  });
});
