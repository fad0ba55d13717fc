/** The picture of `hushlb top`, from two answers of the admin API, on terminals of any size. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Status } from '../../admin/status-schema.ts';
import { frameLines, ratesOf } from '../../cli/top-frame.ts';

const backend = (name: string, packets: number, more: object = {}) => ({
  name,
  packets,
  share: 0.5,
  state: 'active',
  reachable: true,
  health: { state: 'up', flapping: false },
  ...more,
});

const statusOf = (packets: number, backends: object[], more: object = {}): Status =>
  ({
    interface: 'eth0',
    io: 'af-xdp',
    mode: 'stateless',
    uptimeSeconds: 7300,
    problems: [],
    services: [
      { name: 'idle', misses: { syn: 0, datagram: 0, nonSyn: 0 }, conntrack: null, backends: [backend('i1', 5)] },
      {
        name: 'web',
        misses: { syn: packets, datagram: 0, nonSyn: packets / 2 },
        conntrack: { entries: 1234 },
        backends,
      },
    ],
    ...more,
  }) as unknown as Status;

const before = statusOf(100, [backend('b1', 1000), backend('b2', 2000)]);
const after = statusOf(300, [
  backend('b1', 1600),
  backend('b2', 3400, { state: 'draining' }),
  backend('b3', 0, { health: { state: 'down', flapping: true }, reachable: false }),
]);

describe('rates', () => {
  const { services } = ratesOf(before, after, 2);

  test('are differences over time, busiest first', () => {
    assert.deepEqual(
      services.map(({ name, packets, opened, missed, entries }) => [name, packets, opened, missed, entries]),
      [
        ['web', 1000, 100, 50, 1234],
        ['idle', 0, 0, 0, null],
      ],
    );
    assert.deepEqual(
      services[0].backends.map(({ name, packets, share, state, isWell }) => [name, packets, share, state, isWell]),
      [
        ['b2', 700, 0.7, 'draining', true],
        ['b1', 300, 0.3, 'up', true],
        ['b3', 0, 0, 'down, flapping, unreachable', false],
      ],
    );
    assert.equal(services[1].backends[0].share, 0.5, 'of the slots, where no packet came');
  });

  test('a counter that began anew is no negative rate', () => {
    assert.equal(ratesOf(after, before, 1).services.find(({ name }) => name === 'web')?.packets, 0);
  });
});

describe('the picture', () => {
  const rates = ratesOf(before, after, 2);
  const textOf = (width: number, height: number, status = after) =>
    frameLines(status, rates, width, height).map(({ text }) => text);

  test('80 columns', () => {
    assert.deepEqual(
      textOf(80, 24),
      [
        'hushlb eth0  af-xdp  stateless  up 2 h',
        '1,000 packets/s, 100 new/s',
        '',
        'service  packets/s  new/s  misses/s  entries   share  state',
        'web          1,000    100        50    1,234',
        '  b2           700                            70.0 %  draining',
        '  b1           300                            30.0 %  up',
        '  b3             0                             0.0 %  down, flapping, unreachable',
        'idle             0      0         0        -',
        '  i1             0                            50.0 %  up',
      ].map((line) => (line.length <= 80 ? line : `${line.slice(0, 79)}…`)),
    );
  });

  for (const width of [20, 40, 63, 64, 80, 120]) {
    for (const height of [1, 5, 9, 24]) {
      test(`fits ${width}x${height}`, () => {
        const lines = textOf(width, height);
        assert.ok(lines.length <= height);
        assert.ok(
          lines.every((line) => line.length <= width),
          lines.join('\n'),
        );
      });
    }
  }

  test('what finds no room is counted, and the worst problem stands on top', () => {
    const problems = [
      { message: 'all backends of web are down' },
      { message: 'other' },
    ] as unknown as Status['problems'];
    const lines = textOf(80, 8, { ...after, problems });
    assert.equal(lines[2], 'all backends of web are down (and 1 more: hushlb status)');
    assert.equal(lines.at(-1), '… 4 more lines');
  });
});
