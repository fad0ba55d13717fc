/**
 * Settings of a configuration as a file writes them, and those that differ between two: for plan/plan.ts.
 */
import type { Config, ServiceConfig } from '../lb/config.ts';
import { type PortRange, portText } from '../lb/ports.ts';
import { fixedDifferences } from '../lb/reload.ts';

export interface Setting {
  readonly key: string;
  readonly before: string;
  readonly after: string;
  /** What follows from it, one sentence without a full stop; null where it speaks for itself. */
  readonly note: string | null;
}

const RESTART = 'needs a restart';

/** Of the whole balancer. */
export function globalDifferences(before: Config, after: Config): Setting[] {
  const fixed = fixedDifferences(before, after).map((each) => ({ ...each, note: RESTART }));
  const [mine, others] = [before, after].map(({ mode, echo, watch }) => ({ mode, echo, watch }));
  return [...fixed, ...differences(flat(mine), flat(others), () => null)];
}

/** Of one service, without its backends. */
export function serviceDifferences(before: ServiceConfig, after: ServiceConfig): Setting[] {
  const settings = ({ name: _name, backends: _backends, ports, ...rest }: ServiceConfig) =>
    flat({ ...rest, port: portText(ports satisfies PortRange) });
  const all = differences(settings(before), settings(after), (key) => NOTES[key] ?? null);
  // What another encapsulation has no use for says nothing more.
  return before.encap === after.encap ? all : all.filter(({ key }) => !key.startsWith('gue'));
}

const OTHER_SOCKET = 'another service to clients: its connection table begins empty';
const DEALT_ANEW = 'connections without an entry are dealt anew';
const BOTH_ENDS = 'the backends have to take it off from the moment it changes';

const NOTES: Readonly<Record<string, string>> = {
  vip: OTHER_SOCKET,
  protocol: OTHER_SOCKET,
  port: OTHER_SOCKET,
  scheduler: DEALT_ANEW,
  hash: DEALT_ANEW,
  tableSize: DEALT_ANEW,
  encap: BOTH_ENDS,
  'gue.port': BOTH_ENDS,
  'gue.variant': BOTH_ENDS,
  'conntrack.enabled': 'the connection table begins empty, or goes',
  'conntrack.capacity': 'counts from the next start of hushlb on',
  'conntrack.idleTimeout': 'counts for the entries that are there, too',
};

function differences(
  before: ReadonlyMap<string, string>,
  after: ReadonlyMap<string, string>,
  noteOf: (key: string) => string | null,
): Setting[] {
  return [...new Set([...before.keys(), ...after.keys()])].flatMap((key) => {
    const [old, next] = [before, after].map((settings) => settings.get(key) ?? 'none');
    return old === next ? [] : [{ key, before: old, after: next, note: noteOf(key) }];
  });
}

/** `{ conntrack: { idleTimeoutMs: 60000 } }` as `conntrack.idleTimeout` = `60s`. */
function flat(value: object, prefix = ''): Map<string, string> {
  return new Map(
    Object.entries(value).flatMap(([key, child]: [string, unknown]): (readonly [string, string])[] => {
      const path = `${prefix}${key}`;
      if (typeof child === 'object' && child !== null && !Array.isArray(child)) return [...flat(child, `${path}.`)];
      if (key.endsWith('Ms') && typeof child === 'number') return [[path.slice(0, -2), `${child / 1000}s`]];
      return [[path, child === null ? 'none' : Array.isArray(child) ? child.join(' ') : String(child)]];
    }),
  );
}
