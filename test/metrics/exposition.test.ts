/** What a scrape shows, read back by a parser of the tests' own. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  allocateCounters,
  BACKEND_BYTES,
  BACKEND_PACKETS,
  createCounterLayout,
  SERVICE_CAPACITY,
  SERVICE_ENTRIES,
  SERVICE_EVICTED,
  SERVICE_EXPIRED,
  SERVICE_EXPIRY_RESETS_SENT,
  SERVICE_HITS,
  SERVICE_NON_SYN_MISSES,
  SERVICE_REFUSED,
  SERVICE_RESETS_SENT,
  SERVICE_SYN_MISSES,
  SERVICE_UNFINISHED_CHECKSUMS,
} from '../../metrics/counters.ts';
import { createExposition } from '../../metrics/exposition.ts';
import type { BackendStatus, ConfigurationStatus, TableStatus } from '../../metrics/sources.ts';
import { freshStart, NOT_STEERED, WEB } from './fresh-start.ts';
import { numbered } from './numbered.ts';
import { parseExposition } from './parse-exposition.ts';

const layout = createCounterLayout({
  exits: [
    { verdict: 'forward', reason: 'forwarded' },
    { verdict: 'pass', reason: 'not-vip' },
  ],
  ...numbered([
    { name: 'web', backends: [{ name: 'b1' }, { name: 'b2' }] },
    { name: 'api', backends: [{ name: 'b1' }] },
  ]),
});

function setUp(
  sources: {
    tables?: TableStatus[];
    configuration?: ConfigurationStatus;
    restarts?: number;
    backends?: BackendStatus[];
  } = {},
) {
  const workers = [allocateCounters(layout), allocateCounters(layout)];
  const registry = createExposition({
    version: '1.2.3',
    layout: () => layout,
    workers,
    tables: () => sources.tables ?? [],
    deviceCounters: () => [],
    steering: () => NOT_STEERED,
    configuration: () => sources.configuration ?? freshStart(),
    workerRestarts: () => sources.restarts ?? 0,
    backends: () => sources.backends ?? [],
  });
  return { workers, scrape: async () => parseExposition(await registry.metrics()) };
}

test('everything is there from the start, at 0', async () => {
  const { samples } = await setUp().scrape();
  const expected = [
    ...['', 'api', 'web'].flatMap((service) => [
      `hushlb_packets_total{reason="forwarded",service="${service}",verdict="forward"}`,
      `hushlb_packets_total{reason="not-vip",service="${service}",verdict="pass"}`,
    ]),
    ...['packets', 'bytes'].flatMap((unit) => [
      `hushlb_backend_${unit}_total{backend="b1",service="web"}`,
      `hushlb_backend_${unit}_total{backend="b2",service="web"}`,
      `hushlb_backend_${unit}_total{backend="b1",service="api"}`,
    ]),
    ...['web', 'api'].flatMap((service) => [
      `hushlb_conntrack_entries{service="${service}"}`,
      `hushlb_conntrack_capacity_entries{service="${service}"}`,
      `hushlb_conntrack_hits_total{service="${service}"}`,
      `hushlb_conntrack_misses_total{kind="syn",service="${service}"}`,
      `hushlb_conntrack_misses_total{kind="non_syn",service="${service}"}`,
      `hushlb_conntrack_misses_total{kind="datagram",service="${service}"}`,
      `hushlb_mss_clamped_total{service="${service}"}`,
      `hushlb_icmp_errors_forwarded_total{service="${service}"}`,
      `hushlb_quic_routed_total{service="${service}"}`,
      `hushlb_conntrack_expired_total{service="${service}"}`,
      `hushlb_conntrack_evicted_total{service="${service}"}`,
      `hushlb_conntrack_refused_total{service="${service}"}`,
      `hushlb_resets_sent_total{service="${service}"}`,
      `hushlb_expiry_resets_sent_total{service="${service}"}`,
      `hushlb_unfinished_checksums_total{service="${service}"}`,
    ]),
  ];
  expected.push('hushlb_config_unsaved_changes', 'hushlb_config_changes_total{kind="reload",result="refused"}');
  expected.push(...[0, 1].map((worker) => `hushlb_worker_non_syn_misses_total{worker="${worker}"}`));
  expected.push('hushlb_worker_restarts_total');
  const steered = ['reason="service",to="socket"', 'reason="other_port",to="kernel"', 'reason="no_socket",to="kernel"'];
  expected.push(...steered.map((labels) => `hushlb_steered_packets_total{${labels}}`));
  for (const name of expected) assert.equal(samples.get(name), 0, name);
  const others = [...samples.keys()].filter((name) => name.startsWith('hushlb_') && !expected.includes(name));
  assert.deepEqual(others, [
    'hushlb_config_generation',
    'hushlb_config_last_change_timestamp_seconds',
    'hushlb_config_last_reload_successful',
    'hushlb_hash_seed_info{check="c4"}',
    'hushlb_build_info{version="1.2.3"}',
  ]);
});

test('an exit shows only where it can occur: with a service, or without', async () => {
  const exits = [
    { verdict: 'forward', reason: 'forwarded', ofService: true },
    { verdict: 'pass', reason: 'not-vip', ofService: false },
  ];
  const layout = createCounterLayout({ exits, ...numbered([{ name: 'web', backends: [] }]) });
  const workers = [allocateCounters(layout)];
  const registry = createExposition({
    version: '1',
    layout: () => layout,
    workers,
    tables: () => [],
    workerRestarts: () => 0,
    deviceCounters: () => [],
    steering: () => NOT_STEERED,
    configuration: freshStart,
    backends: () => [],
  });
  const { samples } = parseExposition(await registry.metrics());
  assert.deepEqual(
    [...samples.keys()].filter((name) => name.startsWith('hushlb_packets_total')),
    [
      'hushlb_packets_total{reason="forwarded",service="web",verdict="forward"}',
      'hushlb_packets_total{reason="not-vip",service="",verdict="pass"}',
    ],
  );
});

test('each slot shows under its own name, summed over the workers', async () => {
  const { workers, scrape } = setUp();
  const [web, api] = [0, 1];
  const stray = 2;
  const slots: [slot: number, name: string][] = [
    [layout.exitBase[web], 'hushlb_packets_total{reason="forwarded",service="web",verdict="forward"}'],
    [layout.exitBase[api], 'hushlb_packets_total{reason="forwarded",service="api",verdict="forward"}'],
    [layout.exitBase[stray] + 1, 'hushlb_packets_total{reason="not-vip",service="",verdict="pass"}'],
    [layout.serviceBase[web] + SERVICE_HITS, 'hushlb_conntrack_hits_total{service="web"}'],
    [layout.serviceBase[web] + SERVICE_SYN_MISSES, 'hushlb_conntrack_misses_total{kind="syn",service="web"}'],
    [layout.serviceBase[web] + SERVICE_NON_SYN_MISSES, 'hushlb_conntrack_misses_total{kind="non_syn",service="web"}'],
    [layout.serviceBase[web] + SERVICE_EXPIRED, 'hushlb_conntrack_expired_total{service="web"}'],
    [layout.serviceBase[web] + SERVICE_EVICTED, 'hushlb_conntrack_evicted_total{service="web"}'],
    [layout.serviceBase[web] + SERVICE_REFUSED, 'hushlb_conntrack_refused_total{service="web"}'],
    [layout.serviceBase[web] + SERVICE_ENTRIES, 'hushlb_conntrack_entries{service="web"}'],
    [layout.serviceBase[web] + SERVICE_CAPACITY, 'hushlb_conntrack_capacity_entries{service="web"}'],
    [layout.serviceBase[api] + SERVICE_ENTRIES, 'hushlb_conntrack_entries{service="api"}'],
    [layout.serviceBase[api] + SERVICE_RESETS_SENT, 'hushlb_resets_sent_total{service="api"}'],
    [layout.serviceBase[api] + SERVICE_EXPIRY_RESETS_SENT, 'hushlb_expiry_resets_sent_total{service="api"}'],
    [layout.serviceBase[api] + SERVICE_UNFINISHED_CHECKSUMS, 'hushlb_unfinished_checksums_total{service="api"}'],
    [layout.backendBase[web][1] + BACKEND_PACKETS, 'hushlb_backend_packets_total{backend="b2",service="web"}'],
    [layout.backendBase[web][1] + BACKEND_BYTES, 'hushlb_backend_bytes_total{backend="b2",service="web"}'],
    [layout.backendBase[api][0] + BACKEND_PACKETS, 'hushlb_backend_packets_total{backend="b1",service="api"}'],
  ];
  for (const [i, [slot]] of slots.entries()) {
    workers[0][slot] = 1000 + i;
    workers[1][slot] = 2 ** 40;
  }
  const { samples } = await scrape();
  for (const [i, [, name]] of slots.entries()) assert.equal(samples.get(name), 2 ** 40 + 1000 + i, name);
  const moved = [...samples].filter(([name, value]) => value > 0 && /^hushlb_(?!build|worker|config|hash)/.test(name));
  assert.equal(moved.length, slots.length);
});

test('non-SYN misses of all services, by worker', async () => {
  const { workers, scrape } = setUp();
  workers[0][layout.serviceBase[0] + SERVICE_NON_SYN_MISSES] = 3;
  workers[1][layout.serviceBase[0] + SERVICE_NON_SYN_MISSES] = 4;
  workers[1][layout.serviceBase[1] + SERVICE_NON_SYN_MISSES] = 50;
  workers[1][layout.serviceBase[1] + SERVICE_SYN_MISSES] = 600;
  const { samples } = await scrape();
  const [first, second] = [0, 1].map((worker) => samples.get(`hushlb_worker_non_syn_misses_total{worker="${worker}"}`));
  assert.deepEqual([first, second], [3, 54]);
});

test('a scrape shows the slots as they are then', async () => {
  const { workers, scrape } = setUp();
  const entries = 'hushlb_conntrack_entries{service="web"}';
  for (const value of [5, 3, 0]) {
    workers[1][layout.serviceBase[0] + SERVICE_ENTRIES] = value;
    assert.equal((await scrape()).samples.get(entries), value);
  }
});

test('tables show what they say at the scrape, and nothing from before', async () => {
  const table = (fingerprint: string): TableStatus => ({
    service: 'web',
    fingerprint,
    tableSize: 7,
    slots: [
      { backend: 'b1', count: 4 },
      { backend: 'b2', count: 3 },
    ],
  });
  const sources = { tables: [table('aa')] };
  const { scrape } = setUp(sources);
  const { samples } = await scrape();
  assert.equal(samples.get('hushlb_lookup_table_info{fingerprint="aa",service="web",table_size="7"}'), 1);
  assert.equal(samples.get('hushlb_backend_slots{backend="b1",service="web"}'), 4);
  assert.equal(samples.get('hushlb_backend_slots{backend="b2",service="web"}'), 3);

  sources.tables[0] = table('bb');
  const later = (await scrape()).samples;
  assert.equal(later.get('hushlb_lookup_table_info{fingerprint="bb",service="web",table_size="7"}'), 1);
  assert.equal(later.has('hushlb_lookup_table_info{fingerprint="aa",service="web",table_size="7"}'), false);
});

test('the configuration shows as it is told', async () => {
  const backends = [
    { backend: 'b1', address: '198.18.2.1', draining: false },
    { backend: 'b2', address: '198.18.2.2', draining: true },
  ];
  const { scrape } = setUp({
    configuration: {
      generation: 17,
      lastChangeMs: 1_700_000_000_500,
      lastReloadGood: false,
      changes: [
        { kind: 'reload', result: 'refused', count: 2 },
        { kind: 'runtime', result: 'applied', count: 5 },
      ],
      unsaved: 3,
      seedCheck: '0a',
      services: [{ ...WEB, backends }],
    },
  });
  const { samples } = await scrape();
  const told: [name: string, value: number][] = [
    ['hushlb_config_generation', 17],
    ['hushlb_config_last_change_timestamp_seconds', 1_700_000_000.5],
    ['hushlb_config_last_reload_successful', 0],
    ['hushlb_config_changes_total{kind="reload",result="refused"}', 2],
    ['hushlb_config_changes_total{kind="runtime",result="applied"}', 5],
    ['hushlb_config_unsaved_changes', 3],
    ['hushlb_hash_seed_info{check="0a"}', 1],
    ['hushlb_backend_info{address="198.18.2.2",backend="b2",service="web"}', 1],
    ['hushlb_backend_draining{backend="b1",service="web"}', 0],
    ['hushlb_backend_draining{backend="b2",service="web"}', 1],
    [
      'hushlb_service_info{hash="source-ip",on_expiry="silent",on_miss="forward",port="80",protocol="tcp",scheduler="maglev",service="web",vip="198.18.10.1"}',
      1,
    ],
  ];
  for (const [name, value] of told) assert.equal(samples.get(name), value, name);
});

test('names follow the conventions: help on each, counters end in _total, gauges do not', async () => {
  const { types, help, samples } = await setUp().scrape();
  const ours = [...types].filter(([name]) => name.startsWith('hushlb_'));
  assert.ok(ours.length > 10);
  for (const [name, type] of ours) {
    assert.match(help.get(name) ?? '', /^[A-Z].{10,}\.$/, name);
    assert.ok(type === 'counter' || type === 'gauge', `${name}: ${type}`);
    assert.equal(name.endsWith('_total'), type === 'counter', name);
  }
  assert.ok([...samples.keys()].some((name) => name.startsWith('process_resident_memory_bytes')));
});

test('two scrapes at once do not disturb each other', async () => {
  const { workers, scrape } = setUp();
  workers[0][layout.exitBase[0]] = 9;
  const all = await Promise.all([scrape(), scrape(), scrape()]);
  for (const { samples } of all) {
    assert.equal(samples.get('hushlb_packets_total{reason="forwarded",service="web",verdict="forward"}'), 9);
  }
});

test('health: 1 for who is up or not checked, and what checks came to', async () => {
  const backends: BackendStatus[] = [
    { service: 'web', backend: 'b1', up: true, checked: { checks: 7, failures: 2, lastSeconds: 0.25 } },
    { service: 'web', backend: 'b2', up: false, checked: { checks: 0, failures: 0, lastSeconds: null } },
    { service: 'api', backend: 'b1', up: true, checked: null },
  ];
  const { samples } = await setUp({ backends }).scrape();
  const ofHealth = [...samples].filter(([name]) => /backend_(up|health)/.test(name));
  assert.deepEqual(Object.fromEntries(ofHealth), {
    'hushlb_backend_up{backend="b1",service="web"}': 1,
    'hushlb_backend_up{backend="b2",service="web"}': 0,
    'hushlb_backend_up{backend="b1",service="api"}': 1,
    'hushlb_backend_health_checks_total{backend="b1",service="web"}': 7,
    'hushlb_backend_health_checks_total{backend="b2",service="web"}': 0,
    'hushlb_backend_health_check_failures_total{backend="b1",service="web"}': 2,
    'hushlb_backend_health_check_failures_total{backend="b2",service="web"}': 0,
    'hushlb_backend_health_check_seconds{backend="b1",service="web"}': 0.25,
  });
});
