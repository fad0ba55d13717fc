/** The alerting rules, by Prometheus' own promtool: each fires when it should and is quiet when it should be. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import { anchorsOf } from '../docs/pages.ts';
import { LABELS, nameOf, selectorsOf, strangeLabels } from './promql.ts';

interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly annotations: { readonly summary: string; readonly runbook: string };
}

interface Case {
  readonly alertname: string;
  readonly exp_alerts?: readonly unknown[];
}

const path = (name: string) => fileURLToPath(new URL(`../../../${name}`, import.meta.url));
const RULES = path('contrib/prometheus/hushlb.rules.yaml');
const CASES = path('test/metrics/rules-test.yaml');
const rules: Rule[] = parse(readFileSync(RULES, 'utf8')).groups.flatMap((group: { rules: Rule[] }) => group.rules);

test('every alert fires on what it is for, and on nothing else', () => {
  for (const command of [
    ['check', 'rules', RULES],
    ['test', 'rules', CASES],
  ]) {
    const { status, stdout, stderr } = spawnSync('promtool', command, { encoding: 'utf8' });
    assert.equal(status, 0, `${stdout}${stderr}`);
  }
});

test('every alert has a case in which it fires and one in which it does not', () => {
  const cases: Case[] = parse(readFileSync(CASES, 'utf8')).tests.flatMap(
    ({ alert_rule_test }: { alert_rule_test: Case[] }) => alert_rule_test,
  );
  for (const { alert } of rules) {
    const fires = cases
      .filter(({ alertname }) => alertname === alert)
      .map(({ exp_alerts = [] }) => exp_alerts.length > 0);
    assert.ok(fires.includes(true), `${alert} never fires`);
    const isSilent = fires.includes(false) || IMMEDIATE.has(alert);
    assert.ok(isSilent, `${alert} is never quiet`);
  }
});

test('the series that they are tried on are of metrics that exist, with labels that those have', () => {
  const tests: { input_series: { series: string }[] }[] = parse(readFileSync(CASES, 'utf8')).tests;
  for (const { series } of tests.flatMap(({ input_series }) => input_series)) {
    if (!series.startsWith('hushlb_')) continue;
    assert.ok(LABELS.has(nameOf(series)), series);
    assert.deepEqual(strangeLabels(series), []);
  }
});

/** Alerts whose quiet cases stand beside the firing one: other series, at the same time. */
const IMMEDIATE = new Set(['HushlbServicesDiffer']);

test('the metrics and labels of their expressions exist, and their runbooks too', () => {
  const anchors = anchorsOf(readFileSync(path('docs/operations.md'), 'utf8'));
  for (const { alert, expr, annotations } of rules) {
    for (const name of selectorsOf(expr).map(nameOf)) assert.ok(LABELS.has(name), `${alert}: ${name}`);
    assert.deepEqual(strangeLabels(expr, annotations.summary), [], alert);
    const [file, anchor] = annotations.runbook.split('#');
    assert.equal(file, 'docs/operations.md');
    assert.ok(anchors.has(anchor), `${alert}: ${anchor}`);
  }
});
