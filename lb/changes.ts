/**
 * What one configuration changes about another, by the names that people gave: for the log line of a reload.
 */
import { disruption } from '../hashing/table-facts.ts';
import type { BackendConfig, ServiceConfig } from './config.ts';
import type { Prepared } from './prepare.ts';

/** Services are named `web`, backends `web/b2`; the backends of an added or removed service are not named. */
export interface Changes {
  readonly added: readonly string[];
  readonly removed: readonly string[];
  readonly changed: readonly string[];
  /** By service, where it is not 0: the share of its lookup table's slots, 0 to 1, that lead to another backend. */
  readonly moved: Readonly<Record<string, number>>;
}

/** In the order of the files: what was added, changed and moved by the new one, what was removed by the old one. */
export function changesBetween(before: Prepared, after: Prepared): Changes {
  const added: string[] = [];
  const removed: string[] = [];
  const changed: string[] = [];
  const moved: Record<string, number> = {};
  const olds = new Map(
    before.config.services.map((service, i) => [service.name, { service, table: before.tables[i] }]),
  );
  for (const [i, service] of after.config.services.entries()) {
    const old = olds.get(service.name);
    olds.delete(service.name);
    if (old === undefined) {
      added.push(service.name);
      continue;
    }
    const ofBackends = backendChanges(old.service, service);
    added.push(...ofBackends.added);
    removed.push(...ofBackends.removed);
    if (!equal(settingsOf(old.service), settingsOf(service))) changed.push(service.name);
    changed.push(...ofBackends.changed);
    const share = old.table === after.tables[i] ? 0 : disruption(old.table, after.tables[i]);
    if (share > 0) moved[service.name] = Number(share.toFixed(4));
  }
  return { added, removed: [...olds.keys(), ...removed], changed, moved };
}

/** Of a service that stays. */
function backendChanges(before: ServiceConfig, after: ServiceConfig): Omit<Changes, 'moved'> {
  const olds = new Map(before.backends.map((backend) => [backend.name, backend]));
  const news = new Set(after.backends.map(({ name }) => name));
  const named = ({ name }: BackendConfig): string => `${after.name}/${name}`;
  return {
    added: after.backends.filter(({ name }) => !olds.has(name)).map(named),
    removed: before.backends.filter(({ name }) => !news.has(name)).map(named),
    changed: after.backends.filter((backend) => !equal(olds.get(backend.name) ?? backend, backend)).map(named),
  };
}

function settingsOf({ backends: _backends, ...settings }: ServiceConfig): object {
  return settings;
}

/** Both are made by one schema, so their keys stand in one order. */
function equal(a: BackendConfig | object, b: BackendConfig | object): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
