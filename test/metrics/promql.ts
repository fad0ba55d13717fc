/**
 * As much of PromQL as hushlb's rules and dashboard are written in: which series an expression asks for, and which labels it names.
 * Not a test.
 */
import { CATALOGUE } from '../../metrics/catalogue.ts';

/** By the metric's name. `job` and `instance` are Prometheus' own. */
export const LABELS: ReadonlyMap<string, ReadonlySet<string>> = new Map(
  CATALOGUE.flatMap(({ metrics }) =>
    metrics.map(({ name, labels }) => [name, new Set(['job', 'instance', ...labels])]),
  ),
);

/** `hushlb_packets_total{verdict="drop"}`: hushlb's own metrics, with what is asked of their labels. */
export function selectorsOf(expr: string): readonly string[] {
  return [...expr.matchAll(/\bhushlb_\w+(?:\{[^}]*\})?/g)].map(([selector]) => selector);
}

export function nameOf(selector: string): string {
  return selector.replace(/\{.*/s, '');
}

/**
 * What is wrong with the labels that an expression about hushlb, and the text beside it, name: a matcher of a label that its metric
 * has not; a label in `by (…)`, `$labels.…` or `{{…}}` that none of its metrics has. Empty where all is well.
 */
export function strangeLabels(expr: string, text = ''): readonly string[] {
  const selectors = selectorsOf(expr);
  const labelsOf = (selector: string) => LABELS.get(nameOf(selector)) ?? new Set<string>();
  const matched = selectors.flatMap((selector) =>
    [...selector.matchAll(/(\w+)\s*[=!]~?"/g)]
      .filter(([, label]) => !labelsOf(selector).has(label))
      .map(([, label]) => `${nameOf(selector)} has no ${label}`),
  );
  const all = new Set(selectors.flatMap((selector) => [...labelsOf(selector)]));
  const lists = [...expr.matchAll(/\b(?:by|without|on|ignoring)\s*\(([^)]*)\)/g)].flatMap(([, list]) =>
    list.split(','),
  );
  const shown = [...text.matchAll(/\$labels\.(\w+)|\{\{(\w+)\}\}/g)].map(([, a, b]) => a ?? b);
  const unknown = [...lists, ...shown]
    .map((label) => label.trim())
    .filter((label) => selectors.length > 0 && !all.has(label));
  return [...matched, ...unknown.map((label) => `nothing has ${label}`)];
}
