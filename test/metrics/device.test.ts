/** What the packet device and the steering program count: which series it comes to. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DEVICE_METRICS } from '../../metrics/device.ts';
import type { ExpositionSources } from '../../metrics/sources.ts';

const SOURCES = {
  steering: () => ({ toSocket: 100, otherPort: 20, noSocket: 3 }),
  deviceCounters: () => [
    { queue: 0, event: 'rx_dropped', value: 1 },
    { queue: 0, event: 'fill_ring_empty', value: 2 },
    { queue: 1, event: 'tx_dropped', value: 3 },
  ],
} as unknown as ExpositionSources;

const samplesOf = (wanted: string) => {
  const metric = DEVICE_METRICS.find(({ name }) => name === wanted);
  return [...(metric?.samples(SOURCES) ?? [])];
};

test('packets for the VIPs, each where it was sent', () => {
  assert.deepEqual(samplesOf('hushlb_steered_packets_total'), [
    [{ to: 'socket', reason: 'service' }, 100],
    [{ to: 'kernel', reason: 'other_port' }, 20],
    [{ to: 'kernel', reason: 'no_socket' }, 3],
  ]);
});

test('dropped packets by queue and reason, and an empty fill ring is none', () => {
  assert.deepEqual(samplesOf('hushlb_device_dropped_packets_total'), [
    [{ queue: 0, reason: 'rx_dropped' }, 1],
    [{ queue: 1, reason: 'tx_dropped' }, 3],
  ]);
  assert.deepEqual(samplesOf('hushlb_device_fill_ring_empty_total'), [[{ queue: 0 }, 2]]);
});
