/**
 * Made-up statuses for tests of what is said of them. Not a test.
 */
import type { BackendStatus, ServiceStatus, Status } from '../../admin/status-schema.ts';

type Health = BackendStatus['health'];

const UP: Health = {
  state: 'up',
  since: '2026-11-23T12:00:00.000Z',
  reason: 'connected',
  flapping: false,
  checks: 10,
  failures: 0,
  lastMs: 1,
};

export function down(reason: string): Health {
  return { ...UP, state: 'down', reason };
}

export function backendStatus(more: Partial<BackendStatus> = {}): BackendStatus {
  return {
    name: 'b1',
    address: '198.18.2.1',
    weight: 1,
    state: 'active',
    health: UP,
    serving: true,
    slots: 126,
    share: 126 / 251,
    packets: 1204,
    bytes: 98_304,
    reachable: true,
    nextHop: 'via 198.18.2.1 at 02:00:00:00:00:01 from 198.18.2.10, mtu 1500',
    ...more,
  };
}

export function serviceStatus(more: Partial<ServiceStatus> = {}): ServiceStatus {
  return {
    name: 'web',
    vip: '198.18.10.1',
    protocol: 'tcp',
    ports: '80',
    scheduler: 'maglev',
    hash: 'source-ip-port',
    encap: 'ipip',
    profile: null,
    onMiss: 'forward',
    onExpiry: 'silent',
    allDown: 'keep',
    onDown: 'rehash',
    fingerprint: '2ab6f1a3a2e7ab70',
    tableSize: 251,
    conntrack: { entries: 60, capacity: 1_048_576, idleTimeoutMs: 60_000 },
    hits: 123_456_789,
    misses: { syn: 60, nonSyn: 3, datagram: 0 },
    expired: 0,
    evicted: 0,
    refused: 0,
    resetsSent: 0,
    drops: {},
    backends: [backendStatus()],
    ...more,
  };
}

export function wholeStatus(more: Partial<Status> = {}): Status {
  return {
    version: '0.1.0',
    pid: 123,
    startedAt: '2026-11-23T12:00:00.000Z',
    uptimeSeconds: 11_520,
    interface: 'eth0',
    io: 'af-xdp',
    xdp: 'native',
    zeroCopy: false,
    mode: 'stateless',
    file: '/etc/hushlb.yaml',
    generation: 4,
    lastChange: null,
    unsaved: [],
    problems: [],
    services: [serviceStatus()],
    workers: [{ worker: 0, queues: [0] }],
    device: [{ queue: 0, rx_dropped: 0, rx_ring_full: 0, fill_ring_empty: 0, tx_dropped: 0 }],
    ...more,
  };
}
