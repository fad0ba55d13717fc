/**
 * One simulation from settings to result: opens connections through the balancer, lets each idle until a moment that
 * matters, sends again, and follows all of it to the end, half-open sockets included. The command (cli/simulate.ts), the
 * matrix and the tests call `simulate`.
 */
import type { OnExpiry, OnMiss } from '../lb/profiles.ts';
import type { BalancerFacts } from './balancer.ts';
import { type Exchange, OUTCOMES, type Outcome, startClient, startServer } from './programs.ts';
import { createRandom, shuffled } from './random.ts';
import { changedBackend, configurationAfter, configurationOf, type Settings, VIP_PORT } from './settings.ts';
import type { Tale } from './story.ts';
import { createWorld, LEG_MS, type World } from './world.ts';

/**
 * When a client sends again. `last`: at the last moment at which the connection should still be good. `probed`: the same,
 * on a connection that was used right after a keepalive probe, so that the next probe is a whole interval away. Where the
 * server closes first, also `race`, while the server's FIN is on its way, and `late`, after it.
 */
export type MomentKind = 'last' | 'probed' | 'race' | 'late';

export interface Moment {
  readonly kind: MomentKind;
  readonly pauseMs: number;
}

export interface ConnectionResult extends Exchange {
  readonly id: number;
  readonly moment: MomentKind;
  readonly outcome: Outcome;
  /** When the balancer forgot it, before the second request or without one; null if it did not. */
  readonly forgottenMs: number | null;
  /** Backends that kept a socket after the client's was gone, and until when; null for ever. */
  readonly halfOpen: readonly { readonly backend: string; readonly untilMs: number | null }[];
}

export interface SimulationResult {
  readonly settings: Settings;
  /** What is in force in the balancer, wherever it is from. */
  readonly behaviour: { readonly idleTimeoutMs: number; readonly onMiss: OnMiss; readonly onExpiry: OnExpiry };
  /** True where no connection was lost under a request or taken away from the client. */
  readonly lives: boolean;
  readonly moments: readonly (Moment & { readonly outcomes: Readonly<Partial<Record<Outcome, number>>> })[];
  readonly connections: readonly ConnectionResult[];
  readonly balancer: BalancerFacts & { readonly ownResets: number };
  /** The story of the connection that fared worst. */
  readonly shown: number;
  readonly story: readonly Tale[];
}

/** Which outcomes lose something, the worst first. */
export const BROKEN: readonly Outcome[] = ['hung', 'reset-by-balancer', 'reset-by-backend', 'raced'];
const BY_SEVERITY: readonly Outcome[] = [...BROKEN, 'closed-by-server', 'kept'];

const FIRST_PORT = 32_768;
/** Those that send at the same moment do so within this time, in random order. */
const MOST_JITTER_MS = LEG_MS / 20;
/** By then a message has arrived at the other end, and its answer too. */
const WORD_MS = 10 * LEG_MS;

export function simulate(settings: Settings): SimulationResult {
  const config = configurationOf(settings);
  const random = createRandom(settings.seed);
  const world = createWorld(settings, config, random);
  const moments = momentsOf(settings);
  const exchanges = moments.flatMap((moment, m) =>
    shuffled(settings.connections, random).map((rank, i): Planned => {
      const id = m * settings.connections + i;
      const clientPort = FIRST_PORT + ((id * 7 + (random() % 7)) % 28_000);
      return { id, moment: moment.kind, rank, exchange: createExchange(clientPort, moment, settings) };
    }),
  );
  const halfOpen = watchHalfOpen(world);
  const byPort = new Map(exchanges.map((planned) => [planned.exchange.clientPort, planned.exchange]));
  for (const host of world.backends) {
    const onRequest = (clientPort: number): void => noteRequest(byPort.get(clientPort), host.name);
    const { clock, story } = world;
    const onGone = (clientPort: number): void => halfOpen.socketIsGone(clientPort, host.name);
    startServer({ host, port: VIP_PORT, clock, story, idleMs: settings.serverIdleMs, onRequest, onGone });
  }
  for (const { exchange, rank } of exchanges) {
    const { clock, story, vip, client: host } = world;
    const jitterMs = (rank / settings.connections) * MOST_JITTER_MS;
    startClient({ host, vip, port: VIP_PORT, clock, story, exchange, jitterMs, onDone: halfOpen.clientIsDone });
  }
  planChange(settings, world, moments[0].pauseMs / 2, [...byPort.keys()]);
  world.clock.run();
  const connections = exchanges.map(({ id, moment, exchange }): ConnectionResult => {
    const { outcome } = exchange;
    if (outcome === null) throw new Error(`connection ${id} of the simulation has no outcome`);
    const { clientPort, secondRequestMs } = exchange;
    const forgottenMs = world.story.of(clientPort).find(({ kind }) => kind === 'forget')?.timeMs ?? null;
    const wasForgotten = forgottenMs !== null && forgottenMs <= (secondRequestMs ?? Number.POSITIVE_INFINITY);
    return {
      ...exchange,
      id,
      moment,
      outcome,
      forgottenMs: wasForgotten ? forgottenMs : null,
      halfOpen: halfOpen.of(clientPort),
    };
  });
  const shown = BY_SEVERITY.map((outcome) => connections.find((each) => each.outcome === outcome)).find(Boolean);
  const [{ onMiss, onExpiry, conntrack }] = config.services;
  return {
    settings,
    behaviour: { idleTimeoutMs: conntrack.idleTimeoutMs, onMiss, onExpiry },
    lives: connections.every(({ outcome }) => !BROKEN.includes(outcome)),
    moments: moments.map((moment) => ({ ...moment, outcomes: countOutcomes(connections, moment.kind) })),
    connections,
    balancer: { ...world.balancer.facts(), ownResets: world.ownResets() },
    shown: shown?.id ?? 0,
    story: world.story.of(shown?.clientPort ?? 0),
  };
}

const HAPPENINGS = { added: 'joins', removed: 'is removed', drained: 'drains' } as const;

/** The backends change when all connections idle. */
function planChange(
  settings: Settings,
  { clock, story, balancer }: World,
  delayMs: number,
  clientPorts: readonly number[],
): void {
  const { change } = settings;
  if (change === undefined) return;
  clock.after(delayMs, () => {
    balancer.takeOver(configurationAfter(settings, change));
    const text = `is told that ${changedBackend(settings)} ${HAPPENINGS[change]}`;
    for (const clientPort of clientPorts) story.tell(clientPort, 'balancer', 'change', text);
  });
}

/** The outcome that a simulation is remembered by: the worst. */
export function worstOutcome({ connections }: SimulationResult): Outcome {
  return BY_SEVERITY.find((outcome) => connections.some((each) => each.outcome === outcome)) ?? 'kept';
}

interface Planned {
  readonly id: number;
  readonly moment: MomentKind;
  /** Its turn among those that send at the same moment. */
  readonly rank: number;
  readonly exchange: Exchange;
}

function createExchange(clientPort: number, { kind, pauseMs }: Moment, settings: Settings): Exchange {
  return {
    clientPort,
    leadMs: kind === 'probed' ? firstProbeMs(settings) + WORD_MS : null,
    pauseMs,
    backendBefore: null,
    backendAfter: null,
    outcome: null,
    error: null,
    resetBy: null,
    secondRequestMs: null,
    outcomeMs: null,
  };
}

function noteRequest(exchange: Exchange | undefined, backend: string): void {
  if (exchange === undefined) return;
  if (exchange.secondRequestMs === null) exchange.backendBefore = backend;
  else exchange.backendAfter ??= backend;
}

export function momentsOf(settings: Settings): Moment[] {
  const { clientIdleMs, serverIdleMs } = settings;
  if (serverIdleMs === null || serverIdleMs > clientIdleMs) return lastMoments(clientIdleMs, settings);
  const moments: Moment[] = [
    ...lastMoments(serverIdleMs - Math.min(1000, serverIdleMs / 10), settings),
    // The server's clock starts a leg before the client's, so its FIN is half way.
    { kind: 'race', pauseMs: serverIdleMs - LEG_MS / 2 },
  ];
  if (clientIdleMs > serverIdleMs + WORD_MS) moments.push({ kind: 'late', pauseMs: clientIdleMs });
  return moments;
}

/** With a keepalive interval that is the longer of its two times, when a pause begins decides how long the silence is. */
function lastMoments(pauseMs: number, settings: Settings): Moment[] {
  const probeMs = firstProbeMs(settings);
  const last: Moment = { kind: 'last', pauseMs };
  const matters = probeMs + WORD_MS < pauseMs && probeMs < settings.keepaliveIntervalMs;
  return matters ? [last, { kind: 'probed', pauseMs }] : [last];
}

/** After what silence the first keepalive probe passes, the client's or the server's; Infinity where none does. */
function firstProbeMs({ clientKeepaliveMs, serverKeepaliveMs }: Settings): number {
  return Math.min(clientKeepaliveMs ?? Number.POSITIVE_INFINITY, serverKeepaliveMs ?? Number.POSITIVE_INFINITY);
}

function countOutcomes(connections: readonly ConnectionResult[], moment: MomentKind): Partial<Record<Outcome, number>> {
  const counts: Partial<Record<Outcome, number>> = {};
  for (const outcome of OUTCOMES) {
    const count = connections.filter((each) => each.moment === moment && each.outcome === outcome).length;
    if (count > 0) counts[outcome] = count;
  }
  return counts;
}

interface HalfOpenWatch {
  /** The connection has ended for the client. */
  clientIsDone(exchange: Exchange): void;
  /** The backend's socket is gone. */
  socketIsGone(clientPort: number, backend: string): void;
  of(clientPort: number): ConnectionResult['halfOpen'];
}

/** Looks, a moment after a connection was lost for the client, which backends still have a socket of it. */
function watchHalfOpen({ clock, story, backends }: World): HalfOpenWatch {
  const found = new Map<number, { backend: string; untilMs: number | null }[]>();
  return {
    clientIsDone({ clientPort, outcome }) {
      if (outcome === 'kept' || outcome === 'closed-by-server') return;
      clock.after(WORD_MS, () => {
        const kept = backends.filter(({ sockets }) => sockets.get(clientPort)?.connection.state === 'established');
        for (const { name } of kept) story.tell(clientPort, name, 'half-open', 'keeps a half-open socket');
        found.set(
          clientPort,
          kept.map(({ name }) => ({ backend: name, untilMs: null })),
        );
      });
    },
    socketIsGone(clientPort, backend) {
      const own = found.get(clientPort)?.find((each) => each.backend === backend);
      if (own !== undefined) own.untilMs = clock.now;
    },
    of: (clientPort) => found.get(clientPort) ?? [],
  };
}
