/** The promises of a backend's death: findings made up to keep them, then bent in one place. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Outcome } from '../../lab/connections.ts';
import type { Findings } from '../../lab/findings.ts';
import { checkPromise, SCENARIOS } from '../../lab/scenarios.ts';

const SLOTS = { before: 100, after: 100, lost: 0 };

/** b3 dies, who has 20 of 60 connections and a third of the slots. */
function death({ closed = 20, othersLost = 0, refused = 0 }): Findings {
  const connections = Array.from({ length: 60 }, (_, i) => {
    const isOwn = i < 20;
    const isAsPromised = isOwn ? i < closed : i - 20 >= othersLost;
    const outcome: Outcome = isAsPromised ? (isOwn ? 'closed-by-server' : 'kept') : 'hung';
    return { backendBefore: isOwn ? 'b3' : 'b1', outcome };
  });
  const newConnections = Array.from({ length: 60 }, (_, i) =>
    i < refused ? { backend: null, error: 'ECONNREFUSED' } : { backend: 'b1', error: null },
  );
  const seen = {
    connectionsAsked: 60,
    connections,
    framesLost: 0,
    balancer: { resetsCaptured: 0, resetsCounted: 0 },
    change: { change: 'died', backend: 'b3', slots: { b1: SLOTS, b2: SLOTS, b3: SLOTS }, newConnections },
  };
  // As far as these promises look at them.
  return seen as unknown as Findings;
}

function broken(variant: string | null, seen: Findings): number {
  const scenario = SCENARIOS.find((each) => each.name === 'backend-down' && each.variant === variant);
  assert.ok(scenario !== undefined);
  return checkPromise(scenario, seen).promise.broken.length;
}

describe('promises of a death', () => {
  it('with health checks no new connection is refused', () => {
    assert.equal(broken(null, death({})), 0);
    assert.equal(broken(null, death({ refused: 1 })), 1);
  });

  it('without, a share of them as large as that of the slots', () => {
    assert.equal(broken('unchecked', death({ refused: 20 })), 0);
    assert.equal(broken('unchecked', death({})), 1);
    assert.equal(broken('unchecked', death({ refused: 45 })), 1);
  });

  it('its own connections are closed, and no others lost', () => {
    assert.equal(broken(null, death({ closed: 19 })), 1);
    assert.equal(broken(null, death({ othersLost: 1 })), 1);
  });
});
