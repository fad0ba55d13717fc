/**
 * Rules and simulation agree: what `hushlb audit` says by reasoning about a chain of idle timeouts is what becomes of
 * connections when packets flow through the forwarder, for random chains and all that a balancer may do.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { audit } from '../../probe/audit.ts';
import { simulate } from '../../simulate/run.ts';
import { settings } from './settings.ts';

/** Seconds, and seldom the same ones: a tie is decided by milliseconds. */
const idleMs = fc.integer({ min: 10, max: 5000 }).map((seconds) => seconds * 1000);
const behaviour = fc.record({
  onExpiry: fc.constantFrom('silent' as const, 'reset' as const),
  onMiss: fc.constantFrom('forward' as const, 'reset' as const, 'drop' as const),
});

test('a chain is safe by the rules where no simulated connection breaks, and only there', () => {
  const verdicts = { safe: 0, unsafe: 0 };
  fc.assert(
    fc.property(
      fc.record({
        clientMs: idleMs,
        balancerMs: idleMs,
        serverMs: fc.option(idleMs),
        keepaliveMs: fc.option(idleMs),
        keepaliveIntervalMs: idleMs,
      }),
      behaviour,
      ({ clientMs, balancerMs, serverMs, keepaliveMs, keepaliveIntervalMs }, { onExpiry, onMiss }) => {
        const times = [clientMs, balancerMs, serverMs ?? -2000, keepaliveMs ?? -4000, keepaliveIntervalMs];
        fc.pre(times.every((a, i) => times.every((b, j) => i === j || Math.abs(a - b) > 1000)));
        const never = Number.POSITIVE_INFINITY;
        const chain = { clientMs, balancerMs, keepaliveMs, keepaliveIntervalMs, serverMs: serverMs ?? never };
        const { safe } = audit(chain, { kind: 'l4', name: 'any', onExpiry, onMiss });
        const { lives } = simulate(
          settings({
            clientIdleMs: clientMs,
            lbIdleMs: balancerMs,
            serverIdleMs: serverMs,
            clientKeepaliveMs: keepaliveMs,
            keepaliveIntervalMs,
            onExpiry,
            onMiss,
            connections: 2,
          }),
        );
        verdicts[safe ? 'safe' : 'unsafe']++;
        assert.equal(lives, safe);
      },
    ),
    { numRuns: 500 },
  );
  assert.ok(verdicts.safe > 30 && verdicts.unsafe > 30, JSON.stringify(verdicts));
});
