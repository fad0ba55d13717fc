/**
 * The metrics, the dashboard and the rules before a real Prometheus, which scrapes a running balancer with traffic: every
 * expression of the dashboard and whatever a rule asks for must give series, and Prometheus must be able to evaluate every rule.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import { VIP } from '../../lab/topology.ts';
import { needsRoot } from '../io/two-hosts.ts';
import { backendYaml, configuration, never, PATIENCE_MS, ready, useLan } from '../lb/lan.ts';
import { selectorsOf, strangeLabels } from './promql.ts';

const path = (name: string) => fileURLToPath(new URL(`../../../${name}`, import.meta.url));
const DASHBOARD = JSON.parse(readFileSync(path('contrib/grafana/hushlb.json'), 'utf8'));
const RULES: readonly { alert: string; expr: string }[] = parse(
  readFileSync(path('contrib/prometheus/hushlb.rules.yaml'), 'utf8'),
).groups[0].rules;
const PROMETHEUS = '127.0.0.1:9090';
/** A whole Prometheus comes up, and scrapes twice. */
const LONG_MS = 4 * PATIENCE_MS;

interface Query {
  readonly panel: string;
  readonly expr: string;
  readonly legend?: string;
}

interface Panel {
  readonly title: string;
  readonly targets?: readonly { readonly expr: string; readonly legendFormat?: string }[];
}

const QUERIES: readonly Query[] = [
  ...DASHBOARD.panels.flatMap(({ title, targets = [] }: Panel) =>
    targets.map(({ expr, legendFormat }) => ({ panel: title, expr, legend: legendFormat })),
  ),
  ...DASHBOARD.annotations.list.map(({ name, expr }: { name: string; expr: string }) => ({ panel: name, expr })),
];

/** As Grafana would fill them in, for all jobs, balancers and services. */
const filledIn = (expr: string): string =>
  expr.replaceAll('$__rate_interval', '10s').replaceAll(/\$(?:job|instance|service)\b/g, '.*');

/** What rules ask for and a balancer as it should be has not. */
const RESETS_WANTED = new Set(['hushlb_service_info{on_miss="reset"}', 'hushlb_service_info{on_expiry="reset"}']);

/** Asks Prometheus in one go, from its own namespace: the results of the queries, in their order. */
const ASK = `
  const results = [];
  for (const query of JSON.parse(process.argv[1])) {
    const answer = await fetch('http://${PROMETHEUS}/api/v1/query?' + new URLSearchParams({ query }));
    const { status, error, data } = await answer.json();
    results.push(status === 'success' ? data.result : error);
  }
  console.log(JSON.stringify(results));`;

describe('metrics before Prometheus', { skip: needsRoot }, () => {
  const lan = useLan(['b1', 'b2']);
  let directory: string;

  before(() => {
    directory = mkdtempSync(join(tmpdir(), 'hushlb-test-'));
  });
  after(() => rmSync(directory, { recursive: true, force: true }));

  const ask = (queries: readonly string[]): (readonly unknown[] | string)[] =>
    JSON.parse(
      lan.inHost('lb', process.execPath, '--input-type=module', '-e', ASK, JSON.stringify(queries)).toString(),
    );

  test('conventions, dashboard and rules', async () => {
    lan.write(
      configuration([backendYaml('b1'), backendYaml('b2')], {
        service: 'health: { check: tcp, interval: 200ms, timeout: 5s }',
      }),
    );
    await ready(lan.startBalancer());
    const exposition = `${lan.get('lb', 'http://127.0.0.1:9108/metrics').join('\n')}\n`;
    const linted = spawnSync('promtool', ['check', 'metrics'], { input: exposition, encoding: 'utf8' });
    assert.deepEqual(
      `${linted.stdout}${linted.stderr}`.split('\n').filter((line) => /^hushlb_|error/.test(line)),
      [],
    );

    const config = join(directory, 'prometheus.yml');
    writeFileSync(
      config,
      `global: { scrape_interval: 200ms, scrape_timeout: 200ms, evaluation_interval: 200ms }
rule_files: [${path('contrib/prometheus/hushlb.rules.yaml')}]
scrape_configs: [{ job_name: hushlb, static_configs: [{ targets: ['127.0.0.1:9108'] }] }]\n`,
    );
    const prometheus = lan.start('lb', [
      'prometheus',
      `--config.file=${config}`,
      `--storage.tsdb.path=${join(directory, 'data')}`,
      `--web.listen-address=${PROMETHEUS}`,
    ]);
    await prometheus.waitForLine((line) => line.includes('Server is ready'), LONG_MS, never);
    assert.deepEqual(new Set(lan.get('client', `http://${VIP}/`, 20)), new Set(['b1', 'b2']));

    const deadline = performance.now() + LONG_MS;
    const asked = [
      ...QUERIES.map(({ panel, expr }) => ({ panel, query: filledIn(expr) })),
      ...RULES.flatMap(({ alert, expr }) =>
        selectorsOf(expr).flatMap((query) => (RESETS_WANTED.has(query) ? [] : [{ panel: alert, query }])),
      ),
    ];
    let empty: readonly string[];
    do {
      const results = ask(asked.map(({ query }) => query));
      empty = asked.flatMap(({ panel, query }, i) =>
        results[i].length > 0 && typeof results[i] !== 'string' ? [] : [`${panel}: ${query}: ${results[i]}`],
      );
      // Rates want two scrapes.
    } while (empty.length > 0 && performance.now() < deadline);
    assert.deepEqual(empty, []);

    let rules: { name: string; health: string; lastError?: string }[];
    do rules = JSON.parse(lan.get('lb', `http://${PROMETHEUS}/api/v1/rules`)[0]).data.groups[0].rules;
    while (rules.some(({ health }) => health === 'unknown') && performance.now() < deadline);
    assert.ok(rules.length > 10);
    for (const { name, health, lastError } of rules) assert.equal(health, 'ok', `${name}: ${lastError}`);
    await prometheus.stop();
  });

  test('every metric of hushlb is on the dashboard', () => {
    const page = readFileSync(path('docs/metrics.md'), 'utf8');
    const shown = QUERIES.map(({ expr }) => expr).join('\n');
    const missing = [...page.matchAll(/^### `(hushlb_\w+)`$/gm)].filter(([, name]) => !shown.includes(name));
    assert.deepEqual(
      missing.map(([, name]) => name),
      [],
    );
  });

  test('the dashboard is one that Grafana takes: unique ids, no overlap, variables that it has', () => {
    const { panels, templating } = DASHBOARD;
    const ids = panels.map(({ id }: { id: number }) => id);
    assert.equal(new Set(ids).size, ids.length);
    const cells = panels.flatMap(({ gridPos: { x, y, w, h } }: { gridPos: Record<string, number> }) =>
      Array.from({ length: w * h }, (_, i) => `${x + (i % w)},${y + Math.floor(i / w)}`),
    );
    assert.equal(new Set(cells).size, cells.length);
    const names = new Set([...templating.list.map(({ name }: { name: string }) => name), '__rate_interval']);
    for (const { panel, expr, legend } of QUERIES) {
      for (const [, name] of expr.matchAll(/\$(\w+)/g)) assert.ok(names.has(name), name);
      assert.deepEqual(strangeLabels(expr, legend), [], panel);
    }
  });
});
