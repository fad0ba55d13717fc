/**
 * When the matrix' connections send again: at moments that lie where they must, whoever's clock one looks at, and each from
 * a port of its own.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CABLE_MS, momentsOf, ORDERINGS, timeoutsOf } from '../../lab/matrix.ts';
import { momentsOfRow, planRow } from '../../lab/matrix-plan.ts';
import { MATRIX_ROWS } from '../../lab/matrix-rows.ts';

describe('the moments', () => {
  const allTimes = ORDERINGS.map(timeoutsOf);

  it('race where the FIN is on the cable, and nowhere else', () => {
    for (const times of allTimes) {
      const race = momentsOf(times, 'server').find(({ kind }) => kind === 'race');
      assert.equal(race !== undefined, times.server < times.client);
      // It arrives two lengths of the cable after the answer left, if it was sent at once.
      if (race !== undefined) assert.ok(race.pauseMs < times.server && race.pauseMs + 2 * CABLE_MS > times.server);
    }
  });

  it("send last within everyone's time, and well before or after the balancer forgets", () => {
    for (const times of allTimes) {
      for (const { kind, pauseMs } of momentsOf(times, 'server')) {
        assert.ok(pauseMs <= times.client);
        if (kind === 'last') assert.ok(pauseMs + 2 * CABLE_MS < times.server);
        assert.ok(Math.abs(pauseMs - times.balancer) >= CABLE_MS, `${kind} ${pauseMs} ${times.balancer}`);
      }
    }
  });

  it('of a layer-7 balancer race with its FIN, and over fresh connections with the FIN behind it', () => {
    for (const ordering of ORDERINGS) {
      const times = timeoutsOf(ordering);
      const [last, ...others] = momentsOf(times, 'balancer');
      const [fresh] = others.slice(-1);
      assert.equal(last.kind, 'last');
      assert.equal(fresh.kind, 'fresh');
      assert.equal(others.length === 2, times.balancer < times.client);
      const idleAtBalancer = fresh.pauseMs + 2 * CABLE_MS;
      assert.ok(idleAtBalancer < times.server && idleAtBalancer + 2 * CABLE_MS > times.server);
    }
  });
});

describe('the plan', () => {
  it('has as many connections at every moment, each from a port of its own', () => {
    for (const row of MATRIX_ROWS) {
      const moments = momentsOfRow(row).flat().length;
      for (const seed of [0, 1, 2 ** 32 - 1]) {
        const plan = planRow(row, 12, seed);
        assert.equal(plan.length, 12 * moments);
        const ports = plan.flatMap(({ paced }) => [paced.localPort, ...(paced.freshPort ? [paced.freshPort] : [])]);
        assert.equal(new Set(ports).size, ports.length);
        assert.ok(ports.every((port) => port >= 20_000 && port < 65_536));
      }
    }
  });

  it('does not send again in the order of opening', () => {
    const pauses = planRow(MATRIX_ROWS[0], 12, 1).map(({ paced }) => paced.pauseMs);
    const first = pauses.slice(0, 12);
    assert.notDeepEqual(
      first,
      [...first].sort((a, b) => a - b),
    );
  });
});
