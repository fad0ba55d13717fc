/**
 * What a status says is wrong, worst first. Pure.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { problemsIn } from '../../admin/status-problems.ts';
import { backendStatus, down, serviceStatus } from './statuses.ts';

const of = (...backends: Parameters<typeof backendStatus>[0][]) => [
  serviceStatus({ backends: backends.map((each) => backendStatus(each)) }),
];
const kinds = (services: Parameters<typeof problemsIn>[0], unsaved: string[] = []): string[] =>
  problemsIn(services, unsaved).map(({ severity, kind, backend }) => `${severity} ${kind} ${backend ?? ''}`.trim());

test('nothing is wrong with backends that are up, unchecked or draining', () => {
  assert.deepEqual(kinds(of({ name: 'b1' }, { name: 'b2', state: 'draining', serving: false })), []);
});

test('one that is down is a warning while others serve, and an error while it has to', () => {
  const services = of({ name: 'b1' }, { name: 'b2', health: down('connection refused'), serving: false });
  assert.deepEqual(kinds(services), ['warning down b2']);
  assert.match(problemsIn(services, [])[0]!.message, /^web\/b2 is down since 2026-\S+: connection refused$/);
});

test('all down is said before each of them, with what becomes of packets', () => {
  const backends = ['b1', 'b2'].map((name) => backendStatus({ name, health: down('timeout'), serving: true }));
  const keep = [serviceStatus({ backends })];
  assert.deepEqual(kinds(keep), ['error all-down', 'error down b1', 'error down b2']);
  assert.equal(problemsIn(keep, [])[0]!.message, 'web: all backends are down, forwarded as before (allDown: keep)');
  const drop = [serviceStatus({ allDown: 'drop', backends })];
  assert.equal(
    problemsIn(drop, [])[0]!.message,
    'web: all backends are down, new connections are dropped (allDown: drop)',
  );
});

test('one that drains does not count among those who could serve', () => {
  const services = of(
    { name: 'b1', health: down('x'), serving: true },
    { name: 'b2', state: 'draining', serving: false },
  );
  assert.deepEqual(kinds(services), ['error all-down', 'error down b1']);
  assert.deepEqual(kinds(of({ name: 'b1', state: 'draining', serving: false })), ['error none-active']);
});

test('unreachable is an error, flapping and unsaved are warnings, in this order over all services', () => {
  const services = [
    ...of({ name: 'b1', health: { ...down('x'), state: 'up', flapping: true } }),
    ...of({ name: 'b2', reachable: false, nextHop: '198.18.2.2 does not answer ARP on eth0' }),
  ];
  assert.deepEqual(kinds(services, ['drain web b1']), [
    'error unreachable b2',
    'warning flapping b1',
    'warning unsaved',
  ]);
  const [{ message }] = problemsIn(services, []);
  assert.equal(message, 'web/b2 is unreachable, its packets are dropped: 198.18.2.2 does not answer ARP on eth0');
});

test('of many unsaved changes the last are named', () => {
  const [{ message }] = problemsIn([], ['one', 'two', 'three', 'four', 'five']);
  assert.match(message, /: three, four, five and 2 before; hushlb save /);
});
