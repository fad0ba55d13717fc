/**
 * Every known balancer against every ordering of the three idle times: the table that says at a glance which chains hold.
 * The balancer's idle timeout is each row's own, at its real length; the client's and the server's are set around it.
 * `hushlb simulate --matrix` prints it.
 */
import { PROFILE_NAMES } from '../lb/profiles.ts';
import type { Outcome } from './programs.ts';
import { simulate, worstOutcome } from './run.ts';
import { configurationOf, type Settings } from './settings.ts';

export type Side = 'client' | 'balancer' | 'server';

/** An ordering, the shortest idle time first. */
export type Ordering = readonly [Side, Side, Side];

export const ORDERINGS: readonly Ordering[] = [
  ['client', 'balancer', 'server'],
  ['client', 'server', 'balancer'],
  ['balancer', 'client', 'server'],
  ['balancer', 'server', 'client'],
  ['server', 'client', 'balancer'],
  ['server', 'balancer', 'client'],
];

export interface MatrixRow {
  readonly name: string;
  readonly idleTimeoutMs: number;
  /** In the order of ORDERINGS. */
  readonly cells: readonly { readonly outcome: Outcome; readonly lives: boolean }[];
}

type Row = Pick<Settings, 'profile' | 'mode' | 'scheduler' | 'conntrack' | 'onMiss'>;

const PLAIN: Row = { profile: null, mode: 'stateless', scheduler: 'maglev', conntrack: true, onMiss: null };

/** hushlb's own ways first, then the profiles. */
export const ROWS: readonly (readonly [name: string, row: Row])[] = [
  ['stateless', PLAIN],
  ['stateless, no table', { ...PLAIN, conntrack: false }],
  ['round-robin', { ...PLAIN, scheduler: 'round-robin' }],
  ['stateful', { ...PLAIN, mode: 'stateful' }],
  ['silent drop', { ...PLAIN, onMiss: 'drop' }],
  ...PROFILE_NAMES.map((name) => [name, { ...PLAIN, profile: name }] as const),
];

/** `base` gives what the rows leave open: connections, backends, keepalive, the seed, and an idle timeout for all rows. */
export function simulateMatrix(base: Settings): MatrixRow[] {
  return ROWS.map(([name, row]) => {
    const settings = { ...base, ...row };
    const { idleTimeoutMs } = configurationOf(settings).services[0].conntrack;
    const cells = ORDERINGS.map((ordering) => {
      const result = simulate({ ...settings, ...idleTimesAround(ordering, idleTimeoutMs) });
      return { outcome: worstOutcome(result), lives: result.lives };
    });
    return { name, idleTimeoutMs, cells };
  });
}

/** The client's and the server's idle times that make the ordering true: parts of the balancer's, or multiples of it. */
export function idleTimesAround(
  ordering: Ordering,
  lbIdleMs: number,
): { readonly clientIdleMs: number; readonly serverIdleMs: number } {
  const place = ordering.indexOf('balancer');
  const idleMs = (side: Side): number => {
    const distance = ordering.indexOf(side) - place;
    // One side below: a half. Two below: a third and two thirds. Above: twice, three times.
    return distance < 0 ? Math.round((lbIdleMs * (place + 1 + distance)) / (place + 1)) : lbIdleMs * (distance + 1);
  };
  return { clientIdleMs: idleMs('client'), serverIdleMs: idleMs('server') };
}
