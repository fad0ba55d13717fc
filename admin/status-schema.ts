/**
 * The shape of `GET /v1/status`: what `hushlb status --json` prints and what the API's description says. Numbers count packets
 * since the start of the balancer, of all workers together, where nothing else is said.
 */
import * as z from 'zod';

const count = z.number();

const health = z.strictObject({
  state: z.enum(['up', 'down', 'unchecked']),
  since: z.string().describe('ISO 8601'),
  reason: z.string(),
  flapping: z.boolean(),
  checks: z.int(),
  failures: z.int(),
  lastMs: z.number().nullable(),
});

const backend = z.strictObject({
  name: z.string(),
  address: z.string(),
  weight: z.int(),
  state: z.enum(['active', 'draining']).describe('what people want of it'),
  health: health.describe('what the checks found'),
  serving: z.boolean().describe('gets new connections'),
  slots: z.int().describe('of the lookup table'),
  share: z.number().describe('of the slots, 0 to 1'),
  packets: count,
  bytes: count,
  reachable: z.boolean().describe('its next hop answers'),
  nextHop: z.string().describe('the way to it, or why there is none'),
});

const service = z.strictObject({
  name: z.string(),
  vip: z.string(),
  protocol: z.enum(['tcp', 'udp']),
  ports: z.string(),
  scheduler: z.enum(['maglev', 'round-robin']),
  hash: z.enum(['source-ip', 'source-ip-port', 'five-tuple']),
  encap: z.enum(['ipip', 'l2', 'gue', 'gre']),
  profile: z.string().nullable(),
  onMiss: z.enum(['forward', 'reset', 'drop']),
  onExpiry: z.enum(['silent', 'reset']),
  allDown: z.enum(['keep', 'drop']),
  onDown: z.enum(['rehash', 'keep']),
  fingerprint: z.string().describe('of the lookup table: equal on balancers that agree'),
  tableSize: z.int(),
  conntrack: z
    .strictObject({
      entries: count,
      capacity: z.int().describe('of all workers together'),
      idleTimeoutMs: z.number(),
    })
    .nullable()
    .describe('null: it forwards by hash alone'),
  hits: count,
  misses: z.strictObject({
    syn: count.describe('new connections'),
    nonSyn: count.describe('connections that the table had forgotten, picked up again or refused by onMiss'),
    datagram: count,
  }),
  expired: count,
  evicted: count,
  refused: count.describe('flows that found no room in the table'),
  resetsSent: count,
  drops: z.record(z.string(), z.number()).describe('packets by reason, where it is not 0'),
  backends: z.array(backend),
});

const problem = z.strictObject({
  severity: z.enum(['error', 'warning']).describe('error: packets are lost, or will be'),
  kind: z.enum(['all-down', 'down', 'unreachable', 'none-active', 'flapping', 'unsaved']),
  service: z.string().nullable(),
  backend: z.string().nullable(),
  message: z.string().describe('what is wrong and what to do, in a line'),
});

export const status = z.strictObject({
  version: z.string(),
  pid: z.int(),
  startedAt: z.string().describe('ISO 8601'),
  uptimeSeconds: z.int(),
  interface: z.string(),
  io: z.string(),
  xdp: z.string(),
  zeroCopy: z.boolean(),
  mode: z.enum(['stateless', 'stateful']),
  file: z.string().describe('the configuration’s'),
  generation: z.int().describe('of the forwarding state'),
  lastChange: z
    .strictObject({ id: z.string(), change: z.string(), at: z.string() })
    .nullable()
    .describe('of the configuration since the start'),
  unsaved: z.array(z.string()).describe('what runs and is not in the file, as the changes that lead there'),
  problems: z.array(problem).describe('worst first'),
  services: z.array(service),
  workers: z.array(z.strictObject({ worker: z.int(), queues: z.array(z.int()) })),
  device: z.array(
    z.strictObject({
      queue: z.int(),
      rx_dropped: count,
      rx_ring_full: count,
      fill_ring_empty: count,
      tx_dropped: count,
    }),
  ),
});

export type Status = z.infer<typeof status>;
export type ServiceStatus = z.infer<typeof service>;
export type BackendStatus = z.infer<typeof backend>;
export type StatusProblem = z.infer<typeof problem>;
