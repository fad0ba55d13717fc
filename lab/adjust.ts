/**
 * What `hushlb lab run` may change of a scenario: scale, idle timeouts, mode, scheduler, packet device, encapsulation and
 * address family; and what would make it pointless, said in one line before anything is built. cli/lab.ts calls it.
 */
import type { Family } from './addresses.ts';
import type { BalancerSettings, Encap } from './balancer.ts';
import { type Adjustable, answerMs, type Scenario, silenceMs, type Timeouts, titleOf } from './scenario.ts';

/** The times of lab/scenarios.ts are real ones times this: 60 s become 12 s, 10 s become 2 s. */
export const DEFAULT_SCALE = 0.2;
const MAX_TIMEOUT_MS = 30 * 24 * 3600 * 1000;
/** What is longer than that is for virtual time. */
const LONGEST_MS = 2 * 3600 * 1000;
/** Connections are opened over 300 ms; a balancer that forgets sooner than this would forget the first meanwhile. */
const LEAST_TIMEOUT_MS = 1000;
/** A change comes, and all connections are used again, well before anyone's patience ends. */
const LEAST_FOR_CHANGE_MS = 5000;
/** Less, and sessions would wait for no longer than they take to ask and be answered. */
const LEAST_WAIT_MS = 200;

export interface Adjustments {
  readonly scale?: number | undefined;
  readonly timeouts?: Partial<Timeouts>;
  readonly mode?: BalancerSettings['mode'] | undefined;
  readonly scheduler?: BalancerSettings['scheduler'] | undefined;
  readonly io?: BalancerSettings['io'] | undefined;
  readonly encap?: Encap | undefined;
  readonly family?: Family | undefined;
}

export function adjustScenario(scenario: Scenario, adjustments: Adjustments): Scenario {
  const { scale, timeouts, mode, scheduler, io, encap, family } = adjustments;
  const factor = scale === undefined ? 1 : scale / (scenario.scaled ? DEFAULT_SCALE : 1);
  const { client, balancer, server } = scenario.timeouts;
  const scaled = { client: client * factor, balancer: balancer * factor, server: server * factor };
  return {
    ...scenario,
    ...(family === undefined ? {} : { family }),
    timeouts: roundAll({ ...scaled, ...timeouts }),
    balancer: scenario.balancer && {
      ...scenario.balancer,
      ...(mode === undefined ? {} : { mode }),
      ...(scheduler === undefined ? {} : { scheduler }),
      ...(io === undefined ? {} : { io }),
      ...(encap === undefined ? {} : { encap }),
    },
  };
}

function roundAll({ client, balancer, server }: Timeouts): Timeouts {
  return { client: Math.round(client), balancer: Math.round(balancer), server: Math.round(server) };
}

/** Why the options given cannot be had of these scenarios, or undefined. */
export function findMisfit(scenarios: readonly Scenario[], given: readonly Adjustable[]): string | undefined {
  for (const option of given) {
    const without = scenarios.filter(({ adjustable }) => !adjustable.includes(option));
    // Where a scenario's runs differ in just this, it says nothing to one of them.
    if (without.length > 0) return `--${option}: means nothing to ${listOf(without)}, leave it out`;
  }
  return undefined;
}

function listOf(scenarios: readonly Scenario[]): string {
  return [...new Set(scenarios.map(titleOf))].join('; ');
}

/** Why the scenario, as it is set now, would show nothing; undefined where it does. */
export function findPointless(scenario: Scenario): string | undefined {
  const { name, timeouts, plot } = scenario;
  for (const [who, milliseconds] of Object.entries(timeouts)) {
    if (milliseconds > MAX_TIMEOUT_MS)
      return `${name}: the ${who}'s idle timeout would be ${seconds(milliseconds)}, beyond 30 days`;
  }
  if (scenario.balancer !== null && timeouts.balancer < LEAST_TIMEOUT_MS) {
    return (
      `${name}: the balancer's idle timeout would be ${seconds(timeouts.balancer)}, and the first connections forgotten while ` +
      `the last are opened: use at least ${seconds(LEAST_TIMEOUT_MS)}`
    );
  }
  const length = lengthMs(scenario);
  if (length > LONGEST_MS) {
    return (
      `${name}: would take ${seconds(length)}, and runs are bounded to ${LONGEST_MS / 3_600_000} hours: use shorter timeouts, ` +
      'or hushlb simulate, which runs real ones in a moment'
    );
  }
  const unfit = findUnfit(scenario);
  if (unfit !== undefined) return unfit;
  if (plot.kind === 'change') return findTooShort(name, timeouts);
  if (plot.kind === 'sessions') return findTooFast(name, plot.pace.aroundMs(timeouts));
  if (plot.kind !== 'idle') return undefined;
  const silence = silenceMs(timeouts);
  for (const who of ['client', 'server'] as const) {
    if (timeouts[who] > silence) continue;
    const option = who === 'client' ? '--client-idle' : '--server-idle';
    return (
      `${name}: pointless, the ${who} closes after ${seconds(timeouts[who])}, before the request at ${seconds(silence)} that ` +
      `comes once the balancer has forgotten (${seconds(timeouts.balancer)}): use a longer ${option} or a shorter --lb-idle`
    );
  }
  return undefined;
}

/** Why the way to the backends leaves the scenario nothing to show; undefined where it does not. */
export function findUnfit({ name, plot, balancer }: Scenario): string | undefined {
  if (plot.kind !== 'upload' || balancer?.encap !== 'l2') return undefined;
  return `${name}: pointless, with --encap l2 packets don't grow, so none is too big: use ipip, gue or gre`;
}

/** About how long connections stay open. */
function lengthMs(scenario: Scenario): number {
  const { plot, timeouts } = scenario;
  switch (plot.kind) {
    case 'idle':
      return silenceMs(timeouts);
    case 'transfer':
      return answerMs(scenario);
    case 'sessions':
      return plot.pace.aroundMs(timeouts) * plot.pace.requests;
    case 'upload':
    case 'change':
      return 0; // as short as it can be, whatever the timeouts are
  }
}

function findTooShort(name: string, timeouts: Timeouts): string | undefined {
  const [who, milliseconds] = Object.entries(timeouts).sort(([, a], [, b]) => a - b)[0];
  if (milliseconds >= LEAST_FOR_CHANGE_MS) return undefined;
  return (
    `${name}: pointless, the ${who}'s idle timeout would be ${seconds(milliseconds)}, and might end what the change is to ` +
    `be seen on: use at least ${seconds(LEAST_FOR_CHANGE_MS)}, by a larger --scale`
  );
}

function findTooFast(name: string, waitMs: number): string | undefined {
  if (waitMs >= LEAST_WAIT_MS) return undefined;
  return (
    `${name}: sessions would send every ${seconds(waitMs)}, too fast for a race with the server's FIN: ` +
    `use at least ${seconds(LEAST_WAIT_MS)}, by a larger --scale`
  );
}

function seconds(milliseconds: number): string {
  return `${milliseconds / 1000} s`;
}
