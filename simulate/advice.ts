/**
 * From what happened in a simulation to why, and to what can be changed: a sentence for each cause that was at work, the
 * worst first. simulate/report.ts prints them.
 */
import { formatDuration } from './duration.ts';
import type { Outcome } from './programs.ts';
import { BROKEN, type SimulationResult } from './run.ts';
import { changedBackend } from './settings.ts';

/** Timers of two machines that are closer than this decide by chance. */
const LEAST_MARGIN_MS = 1000;

export interface Cause {
  readonly why: string;
  /** Ways out, each of them enough; empty where nothing is broken. */
  readonly remedies: readonly string[];
}

export function causesOf(result: SimulationResult): Cause[] {
  const seen = BROKEN.filter((outcome) => result.connections.some((each) => each.outcome === outcome));
  return seen.length === 0 ? [{ why: whyKept(result), remedies: [] }] : seen.map((outcome) => causeOf(outcome, result));
}

function causeOf(outcome: Outcome, result: SimulationResult): Cause {
  const { settings, behaviour } = result;
  const idle = formatDuration(behaviour.idleTimeoutMs);
  const forgets = `The balancer forgets a connection after ${idle} without a packet from the client`;
  const below = [...clientBelow(result), ...keepaliveBelow(result)];
  switch (outcome) {
    case 'hung':
      return {
        why: `${forgets}, and drops the next one without a word (onMiss: drop). The client's kernel retransmits into the void.`,
        remedies: [...below, 'have the balancer forward unknown connections (onMiss: forward)'],
      };
    case 'reset-by-balancer':
      return behaviour.onExpiry === 'reset' && wasIdle(result)
        ? {
            why: `The balancer ends a connection by RST after ${idle} without a packet from the client (onExpiry: reset).`,
            remedies: [...below, 'have the balancer forget silently (onExpiry: silent, onMiss: forward)'],
          }
        : {
            why: `${forgets}, and answers the next one with RST though the backend still knows the connection (onMiss: reset).`,
            remedies: [...below, 'have the balancer forward unknown connections (onMiss: forward)'],
          };
    case 'reset-by-backend': {
      if (settings.change !== undefined && settings.scheduler === 'maglev')
        return causeOfChange(result, forgets, below);
      const share = `${settings.backends - 1} in ${settings.backends}`;
      const remembered = settings.conntrack ? forgets : 'The balancer remembers nothing';
      return {
        why: `${remembered}, and gives the next one to another backend (round-robin), which never saw it and answers RST: ${share} are lost.`,
        remedies: ['pick backends by consistent hashing (scheduler: maglev)', ...(settings.conntrack ? below : [])],
      };
    }
    default: {
      const server = formatDuration(settings.serverIdleMs ?? 0);
      const client = formatDuration(settings.clientIdleMs);
      return {
        why: `The server closes connections idle for ${server}, the client uses them for up to ${client}: a request that leaves while the server's FIN is on its way is lost. No balancer can help that.`,
        remedies: [`keep the client's idle timeout below the server's ${server}`],
      };
    }
  }
}

function causeOfChange({ settings, connections }: SimulationResult, forgets: string, below: readonly string[]): Cause {
  const stranger = 'sends its next packet to another backend, which never saw it and answers RST';
  if (!settings.conntrack) {
    return {
      why: `The balancer goes by hash alone, and the change moved slots of its lookup table: it ${stranger}.`,
      remedies: ['keep a connection table (conntrack)'],
    };
  }
  const lost = connections.filter(({ outcome }) => outcome === 'reset-by-backend');
  if (settings.change === 'removed' && lost.every(({ backendBefore }) => backendBefore === changedBackend(settings))) {
    return {
      why: `The connection's backend was removed: the balancer ${stranger}.`,
      remedies: ['drain it first (state: draining), and remove it when its connections have ended'],
    };
  }
  return { why: `${forgets}. The backends changed meanwhile: it ${stranger}.`, remedies: [...below, LONGER] };
}

const LONGER = 'have the balancer remember for longer (conntrack.idleTimeout)';

/** True where the connection was ended between two requests. */
function wasIdle({ connections }: SimulationResult): boolean {
  return connections.some(
    ({ outcome, secondRequestMs }) => outcome === 'reset-by-balancer' && secondRequestMs === null,
  );
}

function clientBelow({ behaviour }: SimulationResult): string[] {
  return [`keep the client's idle timeout below ${formatDuration(behaviour.idleTimeoutMs)}`];
}

function keepaliveBelow({ settings, behaviour }: SimulationResult): string[] {
  const { clientKeepaliveMs, keepaliveIntervalMs } = settings;
  const idle = formatDuration(behaviour.idleTimeoutMs);
  const sysctls = keepaliveIntervalMs < behaviour.idleTimeoutMs ? 'tcp_keepalive_time' : INTERVAL_TOO;
  const everyMs = clientKeepaliveMs === null ? null : Math.max(clientKeepaliveMs, keepaliveIntervalMs);
  const late = everyMs === null || everyMs < behaviour.idleTimeoutMs ? '' : `: ${formatDuration(everyMs)} is too long`;
  return [`have the client's kernel send keepalives sooner than every ${idle} (${sysctls}${late})`];
}

/** The kernel waits for the interval after each probe, whatever comes. */
const INTERVAL_TOO = 'both tcp_keepalive_time and tcp_keepalive_intvl';

function whyKept({ settings, behaviour, connections, balancer }: SimulationResult): string {
  const idle = formatDuration(behaviour.idleTimeoutMs);
  if (connections.some(({ outcome }) => outcome === 'closed-by-server')) {
    return 'The server closes the connection in time, and the client knows.';
  }
  if (settings.change !== undefined && settings.conntrack) {
    return balancer.nonSynMisses === 0
      ? 'The backends changed, but the connection is in the table, and stays where it is.'
      : `The balancer forgets a connection after ${idle}, and the backends changed; but no slot of these connections moved, which is luck.`;
  }
  if (!settings.conntrack) return 'The balancer goes by hash alone: it has nothing to forget.';
  if (balancer.nonSynMisses > 0) {
    return `The balancer forgets a connection after ${idle}, silently, and forwards its next packet to the same backend all the same: its idle timeout does not matter.`;
  }
  const { clientKeepaliveMs, serverKeepaliveMs, keepaliveIntervalMs, clientIdleMs } = settings;
  const keepaliveMs = clientKeepaliveMs ?? serverKeepaliveMs;
  if (keepaliveMs !== null && clientIdleMs > behaviour.idleTimeoutMs) {
    const whose = clientKeepaliveMs === null ? "answers to the server's" : 'own';
    return `The client's ${whose} keepalives, every ${formatDuration(Math.max(keepaliveMs, keepaliveIntervalMs))}, keep the balancer from forgetting it after ${idle}.`;
  }
  const margin = behaviour.idleTimeoutMs - clientIdleMs < LEAST_MARGIN_MS ? ' By a hair: leave some seconds.' : '';
  return `The client sends again before the balancer forgets the connection after ${idle}.${margin}`;
}
