/**
 * Whether a chain of idle timeouts is safe, which pair races, what the client sees, what to change. Pure; `hushlb audit`
 * calls it.
 *
 * The one rule: whoever may still send on an idle connection must give it up before whoever may close or forget it. A
 * client sends to the server, so its timeout is the shorter one. A layer-7 balancer is a server to the client and a client
 * to the server. A layer-4 balancer is neither; its timeout matters only if it does not forward what it has forgotten, or
 * resets at expiry.
 */
import { formatSpan, wellAbove, wellBelow } from './span.ts';

/** What a layer-4 balancer does when an entry expires, and with the next packet of a flow that it forgot. */
export interface LayerFour {
  readonly kind: 'l4';
  readonly name: string;
  readonly onExpiry: 'silent' | 'reset';
  readonly onMiss: 'forward' | 'reset' | 'drop';
}

export type Balancer = { readonly kind: 'l7'; readonly name: string } | LayerFour;

export const BALANCERS: readonly Balancer[] = [
  { kind: 'l7', name: 'l7' },
  { kind: 'l4', name: 'stateless', onExpiry: 'silent', onMiss: 'forward' },
  { kind: 'l4', name: 'stateful', onExpiry: 'silent', onMiss: 'reset' },
];

/** Milliseconds; Infinity where a side never gives up. */
export interface Chain {
  readonly clientMs: number;
  readonly serverMs: number;
  /** Null without a balancer. */
  readonly balancerMs: number | null;
  /** After what silence the client's kernel sends a TCP keepalive probe (tcp_keepalive_time); null for never. */
  readonly keepaliveMs: number | null;
  /** For how long it then sends no other (tcp_keepalive_intvl), answered or not. */
  readonly keepaliveIntervalMs: number;
}

export type Side = 'client' | 'balancer' | 'server';

export interface Race {
  /** The first should give up before the second, and does not. */
  readonly between: readonly [Side, Side];
  readonly why: string;
  readonly sees: string;
  readonly change: string;
}

export interface Verdict {
  readonly balancer: string | null;
  readonly safe: boolean;
  readonly races: readonly Race[];
  /** Timeouts that are safe, as close to the given ones as can be; the given ones where they are. */
  readonly safeChain: Chain;
  readonly notes: readonly string[];
}

/** Less than this between two timeouts is at the mercy of the network and of timers' granularity. */
const COMFORT_MS = 1000;
/** The timer wheel rounds up to an eighth of what a timer waits for (kernel/time/timer.c, LVL_CLK_SHIFT). */
const MOST_LATE = 9 / 8;

export function audit(chain: Chain, balancer: Balancer | null): Verdict {
  const races = racesOf(chain, balancer);
  return {
    balancer: balancer?.name ?? null,
    safe: races.length === 0,
    races,
    safeChain: repair(chain, balancer),
    notes: notesOf(chain, balancer),
  };
}

/** Whether the timeout of a layer-4 balancer means anything to the others. */
export function isHarmless({ onExpiry, onMiss }: LayerFour): boolean {
  return onExpiry === 'silent' && onMiss === 'forward';
}

function racesOf(chain: Chain, balancer: Balancer | null): Race[] {
  const { clientMs, serverMs } = chain;
  const balancerMs = chain.balancerMs ?? Number.POSITIVE_INFINITY;
  const races: Race[] = [];
  if (balancer?.kind === 'l7') {
    if (!givesUpFirst(clientMs, balancerMs)) races.push(clientRace(chain, 'balancer', balancerMs));
    if (!givesUpFirst(balancerMs, serverMs)) races.push(upstreamRace(balancerMs, serverMs));
    return races;
  }
  if (!givesUpFirst(clientMs, serverMs)) races.push(clientRace(chain, 'server', serverMs));
  if (balancer !== null && !isHarmless(balancer) && !givesUpFirst(longestSilence(chain), balancerMs)) {
    races.push(forgottenRace(chain, balancer, balancerMs));
  }
  return races;
}

/** Two that both never give up do not race. */
function givesUpFirst(firstMs: number, secondMs: number): boolean {
  return firstMs < secondMs || secondMs === Number.POSITIVE_INFINITY;
}

/** For how long a layer-4 balancer may see nothing of a live connection. */
function longestSilence(chain: Chain): number {
  return Math.min(chain.clientMs, probePeriod(chain));
}

/**
 * How far apart keepalive probes can be. Linux sends one after tcp_keepalive_time of silence and then looks again after
 * tcp_keepalive_intvl, whatever came in between (net/ipv4/tcp_timer.c, tcp_keepalive_timer): a connection used right
 * after a probe is silent for the longer of the two.
 */
function probePeriod({ keepaliveMs, keepaliveIntervalMs }: Chain): number {
  return keepaliveMs === null ? Number.POSITIVE_INFINITY : Math.max(keepaliveMs, keepaliveIntervalMs);
}

function clientRace({ clientMs, keepaliveMs }: Chain, other: 'balancer' | 'server', otherMs: number): Race {
  return {
    between: ['client', other],
    why: `after ${formatSpan(otherMs)} the ${other} closes; the client may still send (${limitOf(clientMs)})`,
    sees:
      'now and then a reset, or a connection closed without an answer, on a request that reuses a connection ' +
      '(ECONNRESET, RemoteDisconnected, "socket hang up")',
    change:
      `give the client an idle timeout below ${formatSpan(otherMs)}, say ${formatSpan(wellBelow(otherMs))}` +
      (keepaliveMs === null ? '' : `; TCP keepalive does not help, the ${other} waits for requests`),
  };
}

function upstreamRace(balancerMs: number, serverMs: number): Race {
  const raise = Number.isFinite(balancerMs)
    ? `raise the server's above it, say to ${formatSpan(wellAbove(balancerMs))}, or `
    : '';
  return {
    between: ['balancer', 'server'],
    why: `after ${formatSpan(serverMs)} the server closes; the balancer may still send on it (${limitOf(balancerMs)})`,
    sees: 'now and then 502 Bad Gateway (or a reset) from the balancer, while the server has no such request in its log',
    change: `${raise}lower the balancer's below ${formatSpan(serverMs)}`,
  };
}

function forgottenRace(chain: Chain, { name, onExpiry, onMiss }: LayerFour, balancerMs: number): Race {
  const { clientMs, keepaliveMs, keepaliveIntervalMs } = chain;
  const below = wellBelow(Math.min(balancerMs, chain.serverMs));
  const keepalive =
    keepaliveMs === null ? '' : `, and its keepalive may come only every ${formatSpan(probePeriod(chain))}`;
  // Below the interval a shorter time alone changes nothing.
  const sysctls =
    below < keepaliveIntervalMs ? 'both tcp_keepalive_time and tcp_keepalive_intvl' : 'tcp_keepalive_time';
  const ending = onExpiry === 'reset' ? 'resets both sides' : 'forgets the connection without a word';
  return {
    between: ['client', 'balancer'],
    why: `after ${formatSpan(balancerMs)} the balancer (${name}) ${ending}; the client may still send (${limitOf(clientMs)}${keepalive})`,
    sees: onExpiry === 'silent' && onMiss === 'drop' ? HANG : RESET,
    change:
      `give the client an idle timeout below ${formatSpan(balancerMs)}, say ${formatSpan(below)}, ` +
      `or TCP keepalive every ${formatSpan(below)} (${sysctls}); best, have the balancer forward what it does not know`,
  };
}

const RESET = 'ECONNRESET on the first request after a pause, while the server keeps a half-open connection';
const HANG =
  'a request that hangs: its packets are dropped and sent again, on Linux for some 15 minutes, unless the client has ' +
  'a timeout of its own';

function limitOf(ms: number): string {
  return Number.isFinite(ms) ? `it gives up after ${formatSpan(ms)}` : 'it never gives up';
}

/** Moves the client's timeout down where that is enough, and the server's up where it is not. */
function repair(chain: Chain, balancer: Balancer | null): Chain {
  const { clientMs, serverMs } = chain;
  const balancerMs = chain.balancerMs ?? Number.POSITIVE_INFINITY;
  if (balancer?.kind === 'l7') {
    const between = Number.isFinite(balancerMs) || !Number.isFinite(serverMs) ? balancerMs : wellBelow(serverMs);
    return {
      ...chain,
      clientMs: givesUpFirst(clientMs, between) ? clientMs : wellBelow(between),
      balancerMs: chain.balancerMs === null ? null : between,
      serverMs: givesUpFirst(between, serverMs) ? serverMs : wellAbove(between),
    };
  }
  const reach = longestSilence(chain) < balancerMs ? Number.POSITIVE_INFINITY : balancerMs;
  const limit = balancer === null || isHarmless(balancer) ? serverMs : Math.min(serverMs, reach);
  return { ...chain, clientMs: givesUpFirst(clientMs, limit) ? clientMs : wellBelow(limit) };
}

function notesOf(chain: Chain, balancer: Balancer | null): string[] {
  const { clientMs, balancerMs, serverMs, keepaliveMs } = chain;
  const notes: string[] = [];
  if (balancer?.kind === 'l4' && isHarmless(balancer)) {
    notes.push("The balancer's idle timeout does not matter: it forwards what it has forgotten to the same server.");
  }
  if (keepaliveMs !== null && (balancer === null || balancer.kind === 'l7')) {
    notes.push('TCP keepalive changes nothing here: it refreshes no timer that waits for requests.');
  }
  const periodMs = probePeriod(chain);
  const forgetful = balancer?.kind === 'l4' && !isHarmless(balancer) && balancerMs !== null;
  if (forgetful && clientMs >= balancerMs && periodMs < balancerMs) {
    notes.push('This relies on TCP keepalive, which a program must ask for on its sockets (SO_KEEPALIVE).');
    if (periodMs * MOST_LATE >= balancerMs) {
      notes.push(`Linux's timers may come an eighth late: take ${formatSpan(wellBelow(balancerMs))} for the probes.`);
    }
  }
  const next = balancer?.kind === 'l7' && balancerMs !== null ? balancerMs : serverMs;
  const gaps: [Side, number][] = [['client', next - clientMs]];
  if (balancer?.kind === 'l7' && balancerMs !== null) gaps.push(['balancer', serverMs - balancerMs]);
  for (const [side, gap] of gaps) {
    if (gap > 0 && gap < COMFORT_MS) {
      notes.push(`The ${side} gives up only ${formatSpan(gap)} before the next: take a second or more.`);
    }
  }
  return notes;
}
