/**
 * Whether balancers send the same flow to the same backend, by what their metrics say (docs/decisions/0009-comparing-balancers.md).
 * Pure; `hushlb agree` shows it.
 */
import { readSamples } from './read-exposition.ts';

/** What of a balancer must be the same on all others. */
export interface BalancerView {
  /** As it was asked for: `lb1:9108`. */
  readonly balancer: string;
  readonly version: string;
  readonly seedCheck: string;
  /** By name; each fact by its name: those of FACTS in their order, then the backends' addresses. */
  readonly services: ReadonlyMap<string, ReadonlyMap<string, string>>;
}

export interface Disagreement {
  /** Null: the whole balancer. */
  readonly service: string | null;
  /** `service`, `hash seed`, one of FACTS, or `address of b2`. */
  readonly what: string;
  /** The most frequent first. Null: the service is not there. */
  readonly values: readonly { readonly value: string | null; readonly balancers: readonly string[] }[];
}

/** Of a service, with the metric and label that tell it. The fingerprint is last: the ones before it explain it. */
const FACTS: readonly (readonly [fact: string, metric: string, label: string])[] = [
  ['VIP', 'hushlb_service_info', 'vip'],
  ['protocol', 'hushlb_service_info', 'protocol'],
  ['port', 'hushlb_service_info', 'port'],
  ['scheduler', 'hushlb_service_info', 'scheduler'],
  ['hash', 'hushlb_service_info', 'hash'],
  ['onMiss', 'hushlb_service_info', 'on_miss'],
  ['onExpiry', 'hushlb_service_info', 'on_expiry'],
  ['table size', 'hushlb_lookup_table_info', 'table_size'],
  ['lookup table', 'hushlb_lookup_table_info', 'fingerprint'],
];

const BUILD = 'hushlb_build_info';
const SEED = 'hushlb_hash_seed_info';
const BACKEND = 'hushlb_backend_info';
const READ = new Set([BUILD, SEED, BACKEND, ...FACTS.map(([, metric]) => metric)]);

const ADDRESS_OF = 'address of ';
const addressOf = (backend: string): string => `${ADDRESS_OF}${backend}`;

/** Undefined if the text is not hushlb's. */
export function viewOf(balancer: string, text: string): BalancerView | undefined {
  const samples = readSamples(text, READ);
  const label = (metric: string, name: string) => samples.find((sample) => sample.name === metric)?.labels.get(name);
  const version = label(BUILD, 'version');
  if (version === undefined) return undefined;
  const services = new Map<string, Map<string, string>>();
  for (const [fact, metric, name] of FACTS) {
    for (const { labels } of samples.filter((sample) => sample.name === metric)) {
      const service = labels.get('service') ?? '';
      const facts = services.get(service) ?? new Map<string, string>();
      services.set(service, facts.set(fact, labels.get(name) ?? 'unknown'));
    }
  }
  for (const { labels } of samples.filter(({ name }) => name === BACKEND)) {
    services
      .get(labels.get('service') ?? '')
      ?.set(addressOf(labels.get('backend') ?? ''), labels.get('address') ?? 'unknown');
  }
  return { balancer, version, seedCheck: label(SEED, 'check') ?? 'unknown', services };
}

/** Empty where all agree. A service whose table sizes differ is not told to have different tables as well. */
export function compareBalancers(views: readonly BalancerView[]): Disagreement[] {
  const seeds = grouped(views, ({ seedCheck }) => seedCheck);
  const found: Disagreement[] = seeds.length > 1 ? [{ service: null, what: 'hash seed', values: seeds }] : [];
  const names = new Set(views.flatMap(({ services }) => [...services.keys()]));
  for (const service of [...names].sort()) found.push(...compareService(service, views));
  return found;
}

function compareService(service: string, views: readonly BalancerView[]): Disagreement[] {
  const having = views.filter(({ services }) => services.has(service));
  const found: Disagreement[] = [];
  if (having.length < views.length) {
    const values = grouped(views, ({ services }) => (services.has(service) ? 'there' : null));
    found.push({ service, what: 'service', values });
  }
  for (const [what] of FACTS) {
    const values = grouped(having, ({ services }) => services.get(service)?.get(what) ?? 'unknown');
    const isExplained = what === 'lookup table' && found.some((other) => other.what === 'table size');
    const isAlone = what === 'scheduler' && values[0]?.value === 'round-robin';
    if ((values.length > 1 && !isExplained) || isAlone) found.push({ service, what, values });
  }
  const facts = new Set(having.flatMap(({ services }) => [...(services.get(service)?.keys() ?? [])]));
  for (const what of [...facts].filter((fact) => fact.startsWith(ADDRESS_OF))) {
    // Who has it and who not, the lookup table tells.
    const knowing = having.filter(({ services }) => services.get(service)?.has(what));
    const values = grouped(knowing, ({ services }) => services.get(service)?.get(what) ?? null);
    if (values.length > 1) found.push({ service, what, values });
  }
  return found;
}

function grouped(
  views: readonly BalancerView[],
  told: (view: BalancerView) => string | null,
): Disagreement['values'][number][] {
  const groups = new Map<string | null, string[]>();
  for (const view of views) {
    const value = told(view);
    groups.set(value, [...(groups.get(value) ?? []), view.balancer]);
  }
  return [...groups]
    .map(([value, balancers]) => ({ value, balancers }))
    .sort((a, b) => b.balancers.length - a.balancers.length);
}
