/**
 * What a scenario is, as data: who takes part, how their idle timeouts are ordered, which plot they act out
 * (lab/plots.ts), and the promise that a run is checked against. lab/scenarios.ts lists them all.
 */
import type { Family } from './addresses.ts';
import type { WebServer } from './backends.ts';
import type { BalancerSettings } from './balancer.ts';
import type { Outcome } from './connections.ts';
import type { Findings } from './findings.ts';

export interface Claim {
  /** What was promised, as a sentence without a full stop. */
  readonly promised: string;
  readonly seen: string;
  readonly held: boolean;
}

/** Idle timeouts of the three who have one, in milliseconds. */
export interface Timeouts {
  readonly client: number;
  readonly balancer: number;
  readonly server: number;
}

/**
 * What happens after every connection has had its first answer.
 *
 * `idle`: nothing, until the client sends again on each. `transfer`: each asks for an answer that comes in pieces, and
 * maybe disaster strikes meanwhile. `sessions`: clients of Python's requests, each sending again and again. `change`: the
 * running balancer gets another configuration or a backend's server dies, new connections are opened, and the client sends again on the old ones.
 * `upload`: the client sends much on each; maybe the backends announce what fits (by `hushlb
 * decap --mss-clamp` or as their routes say), maybe ICMP errors never reach the client.
 */
export type Plot =
  | { readonly kind: 'idle' }
  | {
      readonly kind: 'transfer';
      readonly everyMs: (timeouts: Timeouts) => number;
      readonly pieces: number;
      readonly disaster: Disaster | null;
    }
  | { readonly kind: 'change'; readonly change: BackendChange }
  | {
      readonly kind: 'upload';
      readonly bytes: number;
      readonly announcedBy: 'decap' | 'route' | null;
      readonly losesIcmp: boolean;
    }
  | { readonly kind: 'sessions'; readonly method: 'GET' | 'POST'; readonly together: boolean; readonly pace: Pace };

/** The balancer dies of a kill -9: `restart` starts it again, `failover` sends its connections to the other one. */
export type Disaster = 'restart' | 'failover';

/**
 * What becomes of one backend: a new one joins, the last one is deleted, or it is set to `state: draining`; or its server dies,
 * of which the configuration says nothing.
 */
export type BackendChange = 'added' | 'removed' | 'drained' | 'died';

/** A session sends `requests` times, and waits in between for `aroundMs` less `least` to `most` milliseconds. */
export interface Pace {
  readonly requests: number;
  readonly aroundMs: (timeouts: Timeouts) => number;
  readonly least: number;
  readonly most: number;
  /** How long a packet takes from one end of the racing pair to the other. */
  readonly delayMs: number;
}

/** What `hushlb lab run` may change of a scenario. */
export type Adjustable = 'client-idle' | 'lb-idle' | 'server-idle' | 'mode' | 'scheduler' | 'backends' | 'connections';

export interface Scenario {
  readonly name: string;
  /** Of several runs of the same name, what sets this one apart; null for the first or only one. */
  readonly variant: string | null;
  /** One line, for `hushlb lab list`. */
  readonly summary: string;
  /** Two sentences, for people who see the run. */
  readonly story: string;
  /** hushlb's settings; null where it takes no part. Its idle timeout is `timeouts.balancer`. */
  readonly balancer: Omit<BalancerSettings, 'idleTimeoutMs'> | null;
  /** A program that balances in layer 7 in hushlb's place. */
  readonly proxy?: 'haproxy' | 'nginx';
  readonly timeouts: Timeouts;
  /** Of all addresses; IPv4 unless it is said. */
  readonly family?: Family;
  /** True where the times are real ones times DEFAULT_SCALE; false where they are real ones already. */
  readonly scaled: boolean;
  readonly plot: Plot;
  /** null: whatever this machine has. */
  readonly webServer: WebServer | null;
  /** Where their number is part of the story. */
  readonly backends?: number;
  readonly connections?: number;
  readonly adjustable: readonly Adjustable[];
  /** Where the client is no program that could hold thousands. */
  readonly mostConnections?: number;
  /** Where it needs room for more of them than it starts with. */
  readonly mostBackends?: number;
  /** How long the client waits for an answer. */
  readonly patienceMs: number;
  /** The ladder shows a connection that ended so, where there is one. */
  readonly shows: Outcome;
  promise(findings: Findings): Claim[];
}

/** 'syn-only', or 'syn-only, loose' for a variant. */
export function titleOf({ name, variant }: Pick<Scenario, 'name' | 'variant'>): string {
  return variant === null ? name : `${name}, ${variant}`;
}

/** How long an answer takes to come in full; 0 where it comes at once. */
export function answerMs({ plot, timeouts }: Pick<Scenario, 'plot' | 'timeouts'>): number {
  return plot.kind === 'transfer' ? plot.everyMs(timeouts) * plot.pieces : 0;
}

/** How long the client of an `idle` plot is silent: past the balancer's timeout, its sweep and the probe's look at the table. */
export function silenceMs({ balancer }: Timeouts): number {
  return balancer + Math.max(1500, balancer / 2);
}
