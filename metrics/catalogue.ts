/** All of hushlb's metrics by topic, in the order of docs/metrics.md. exposition.ts serves them, page.ts writes them down. */
import { CONFIGURATION_METRICS } from './configuration.ts';
import { CONNECTION_METRICS } from './connections.ts';
import { DEVICE_METRICS } from './device.ts';
import { HEALTH_METRICS } from './health.ts';
import type { Metric } from './metric.ts';
import { TRAFFIC_METRICS } from './traffic.ts';

export interface MetricTopic {
  readonly title: string;
  readonly metrics: readonly Metric[];
}

export const CATALOGUE: readonly MetricTopic[] = [
  { title: 'Packets', metrics: TRAFFIC_METRICS },
  { title: 'Connection table', metrics: CONNECTION_METRICS },
  { title: 'Configuration', metrics: CONFIGURATION_METRICS },
  { title: 'Health', metrics: HEALTH_METRICS },
  { title: 'Device and process', metrics: DEVICE_METRICS },
];
