/** Metrics of the packet device and of the process. */
import type { Metric } from './metric.ts';

/** Of what a device counts, the one that is no packet. */
const FILL_RING_EMPTY = 'fill_ring_empty';

export const DEVICE_METRICS: readonly Metric[] = [
  {
    name: 'hushlb_steered_packets_total',
    type: 'counter',
    labels: ['to', 'reason'],
    help: 'Packets for the VIPs as they came in, by where the steering program sent them.',
    means:
      '`to="socket"`: to a worker. `to="kernel"`: to this host\'s own stack, for the reason `other_port` (no service has it) or `no_socket` (a service has it, and the receive queue has no worker).',
    moves:
      "`socket` stands still: the router sends nothing here. `no_socket` moves: the card has more receive queues than workers attend, restart hushlb. `other_port`: somebody tries the VIP's other ports, or a service lacks a port.",
    *samples({ steering }) {
      const { toSocket, otherPort, noSocket } = steering();
      yield [{ to: 'socket', reason: 'service' }, toSocket];
      yield [{ to: 'kernel', reason: 'other_port' }, otherPort];
      yield [{ to: 'kernel', reason: 'no_socket' }, noSocket];
    },
  },
  {
    name: 'hushlb_device_dropped_packets_total',
    type: 'counter',
    labels: ['queue', 'reason'],
    help: 'Packets that the packet device dropped before a worker saw them (rx) or after it (tx).',
    means:
      '`rx_ring_full`: the worker had not yet taken the ones before. `rx_dropped`: no free frame to put it into, or it is longer than a frame. `tx_dropped`: no room in the transmit ring, or the kernel refused it.',
    moves:
      "The workers don't keep up, or the card doesn't: a larger `afXdp.ringSize`, more workers, [tuning](performance.md#tuning). Frames that are too long have a line in the log.",
    *samples({ deviceCounters }) {
      for (const { queue, event, value } of deviceCounters()) {
        if (event !== FILL_RING_EMPTY) yield [{ queue, reason: event }, value];
      }
    },
  },
  {
    name: 'hushlb_device_fill_ring_empty_total',
    type: 'counter',
    labels: ['queue'],
    help: 'Times that AF_XDP wanted a frame to receive into and the worker had given none back yet.',
    means:
      'Not packets: in copy mode each is a packet that `rx_dropped` counts too, with zero-copy the driver comes again, and what it then drops are its own counters (`ethtool -S`).',
    moves: 'As `hushlb_device_dropped_packets_total`. 0 for ever with packet sockets and the portable device.',
    *samples({ deviceCounters }) {
      for (const { queue, event, value } of deviceCounters()) {
        if (event === FILL_RING_EMPTY) yield [{ queue }, value];
      }
    },
  },
  {
    name: 'hushlb_build_info',
    type: 'gauge',
    labels: ['version'],
    help: 'Always 1: its label is the version that runs.',
    means: 'Which balancers are upgraded already.',
    moves: 'With an upgrade. Absent: the process is gone, or nobody reaches its `metrics.listen`.',
    samples: ({ version }) => [[{ version }, 1]],
  },
  {
    name: 'hushlb_worker_restarts_total',
    type: 'counter',
    labels: [],
    help: 'Workers that failed and were replaced: their connection tables began anew.',
    means:
      'The thread of a worker ended by an error, and another took its place with its queues and its counters. Its connections are hashed again: they stay where they were, unless backends have changed since they began.',
    moves: 'Read the log: the line `worker failed` has the cause. Five of one worker in 10 s end the process.',
    samples: ({ workerRestarts }) => [[{}, workerRestarts()]],
  },
];
