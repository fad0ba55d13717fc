/** What the log says about what limits throughput: nothing where nothing does, and the nearest cause. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Ground, limitsOf, limitsOfSockets, type SocketGround } from '../../lb/limits.ts';

const BEST: Ground = {
  interface: 'eth0',
  driver: 'ice',
  queues: 8,
  workers: 8,
  cpus: 8,
  xdp: 'native',
  zeroCopy: true,
  zeroCopyWanted: 'auto',
};
const COPY = 'copy mode:';
const GENERIC = 'generic XDP, slower than native';

const ROWS: readonly (readonly [Partial<Ground>, readonly string[]])[] = [
  [{}, []],
  [{ zeroCopy: false }, [`${COPY} the driver ice offers no zero-copy`]],
  [{ zeroCopy: false, driver: undefined }, [`${COPY} the driver of this interface offers no zero-copy`]],
  [{ zeroCopy: false, zeroCopyWanted: 'off' }, [`${COPY} afXdp.zeroCopy is off`]],
  [{ zeroCopy: false, xdp: 'generic' }, [GENERIC, `${COPY} generic XDP has no zero-copy`]],
  [{ queues: 1, workers: 1 }, ['1 receive queue: 1 of 8 CPUs forwards (more: ethtool -L eth0 combined N)']],
  [{ queues: 4, workers: 4 }, ['4 receive queues: 4 of 8 CPUs forward (more: ethtool -L eth0 combined N)']],
  [{ workers: 1 }, ['1 worker for 8 receive queues, as configured: 1 of 8 CPUs forwards']],
  [{ cpus: 2 }, ['8 workers on 2 CPUs wait for each other (as many as CPUs: workers: 2)']],
  [{ cpus: 2, workers: 2 }, []],
  [{ cpus: 1, queues: 1, workers: 1 }, []],
];

for (const [ground, lines] of ROWS) {
  test(lines.join(' | ') || `nothing: ${JSON.stringify(ground)}`, () => {
    assert.deepEqual(limitsOf({ ...BEST, ...ground }), lines);
  });
}

const COPIES = 'af-packet: the kernel copies every packet in and out, af-xdp in native mode does less';

const SOCKET_ROWS: readonly (readonly [Partial<SocketGround>, readonly string[]])[] = [
  [{}, []],
  [{ workers: 1 }, ['1 worker: at most 1 of 2 CPUs forwards (more: workers: 2)']],
  [{ workers: 3 }, ['3 workers on 2 CPUs wait for each other (as many as CPUs: workers: 2)']],
  [
    { gro: true },
    ['generic-receive-offload of eth0 is on: hushlb cuts again what it merges (off: ethtool -K eth0 gro off)'],
  ],
];

for (const [ground, lines] of SOCKET_ROWS) {
  test(`packet sockets: ${lines.join(' | ') || 'nothing more'}`, () => {
    assert.deepEqual(
      limitsOfSockets({ io: 'af-packet', interface: 'eth0', workers: 2, cpus: 2, gro: false, ...ground }),
      [COPIES, ...lines],
    );
  });
}

test('the portable device: one thread, whatever the host has', () => {
  const ground = { io: 'portable', interface: 'eth0', workers: 1, cpus: 8 };
  const [first, ...more] = limitsOfSockets({ ...ground, gro: true });
  assert.match(first!, /^portable: one thread/);
  assert.equal(more.length, 1);
  assert.match(more[0]!, /^generic-receive-offload of eth0 is on: segments that it merges are too long and dropped/);
});
