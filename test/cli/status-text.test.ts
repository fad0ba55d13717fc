/**
 * How a status looks: it fits terminals of every width, whatever the names, and says first what is wrong. Pure.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { status } from '../../admin/status-schema.ts';
import { statusText } from '../../cli/status-text.ts';
import { backendStatus, down, serviceStatus, wholeStatus } from '../admin/statuses.ts';

const NOW = Date.parse('2026-11-23T15:12:00.000Z');

test('the made-up status is one', () => {
  assert.ok(status.safeParse(wholeStatus()).success);
});

test('at 80 columns', () => {
  const whole = wholeStatus({
    lastChange: { id: '9f3a12bc', change: 'drain web b2', at: '2026-11-23T15:11:48.000Z' },
    problems: [
      { severity: 'warning', kind: 'unsaved', service: null, backend: null, message: 'not saved: drain web b2' },
    ],
    services: [
      serviceStatus({
        backends: [
          backendStatus(),
          backendStatus({ name: 'b2', state: 'draining', serving: false, packets: 0, bytes: 0 }),
          backendStatus({
            name: 'b3',
            health: down('timeout'),
            serving: false,
            packets: 999_999,
            bytes: 1_500_000_000,
          }),
        ],
        drops: { 'no-neighbour': 12, expired: 1 },
      }),
    ],
  });
  assert.equal(
    statusText(whole, NOW, 80),
    `hushlb 0.1.0 on eth0  af-xdp, native XDP  stateless  up 3 h 12 min  generation 4
last change: drain web b2, 12 s ago, id 9f3a12bc
warning: not saved: drain web b2

web  198.18.10.1 tcp port 80  maglev  fingerprint 2ab6f1a3a2e7ab70
┌─────────┬────────────┬──────────┬────────┬────────┬─────────┬─────────┐
│ backend │ address    │ state    │ weight │  share │ packets │   bytes │
├─────────┼────────────┼──────────┼────────┼────────┼─────────┼─────────┤
│ b1      │ 198.18.2.1 │ up       │      1 │ 50.2 % │    1204 │ 98.3 kB │
│ b2      │ 198.18.2.1 │ draining │      1 │      - │       0 │     0 B │
│ b3      │ 198.18.2.1 │ down     │      1 │      - │   1.0 M │  1.5 GB │
└─────────┴────────────┴──────────┴────────┴────────┴─────────┴─────────┘
60 of 1048576 entries  123 M hits  60 new connections  3 picked up again
0 evicted  0 RSTs sent  dropped: 12 no-neighbour, 1 expired
`,
  );
});

test('no line is longer than the terminal, whatever stands in it', () => {
  const long = 'a'.repeat(63);
  const whole = wholeStatus({
    interface: 'enp129s0f1np1',
    lastChange: { id: '9f3a12bc', change: `add web ${'b'.repeat(20)} 2001:db8::1`, at: '2026-11-20T00:00:00.000Z' },
    services: [
      serviceStatus({ name: long, vip: '2001:db8:1111:2222:3333:4444:5555:6666', ports: '8000-8999', conntrack: null }),
      serviceStatus({
        protocol: 'udp',
        backends: [
          backendStatus({ name: long, address: '2001:db8:1111:2222:3333:4444:5555:6666', packets: 1e15, bytes: 1e18 }),
          backendStatus({ reachable: false, state: 'draining', health: down('x') }),
        ],
      }),
    ],
  });
  for (const width of [40, 41, 60, 80, 120, 160]) {
    for (const line of statusText(whole, NOW, width).split('\n')) {
      assert.ok([...line].length <= width, `${width}: ${line}`);
    }
  }
  assert.match(statusText(whole, NOW, 160), /2001:db8:1111/);
});
