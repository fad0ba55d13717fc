/**
 * From evidence to findings: what a run captured and was told, turned into what it shows. lab/scenarios.ts holds it
 * against the promise.
 */
import type { BalancerSettings } from './balancer.ts';
import type { CapturedFrame } from './captures.ts';
import { type Connection, countOwnResets, judgeConnections, type Outcome, type Roles } from './connections.ts';
import type { ExchangeReport } from './keepalive-client.ts';
import { buildLadder, type Ladder } from './ladder.ts';
import { parsePackets } from './packets.ts';
import type { TableSample } from './table-probe.ts';
import { CLIENT_ADDRESS } from './topology.ts';

/** All that a run brings home. */
export interface Evidence {
  readonly backends: readonly string[];
  /** How many connections the client was to open. */
  readonly connectionsAsked: number;
  readonly settings: BalancerSettings;
  readonly webServer: 'nginx' | 'node';
  readonly reports: readonly ExchangeReport[];
  readonly samples: readonly TableSample[];
  readonly frames: readonly CapturedFrame[];
  readonly framesLost: number;
  /** Wall clock at which the client was told to send again. */
  readonly secondRoundMs: number;
}

export interface BalancerFindings extends BalancerSettings {
  /** RSTs that left it by its cable, and those that its metrics count. */
  readonly resetsCaptured: number;
  readonly resetsCounted: number;
  readonly entriesAtPeak: number;
  readonly entriesBeforeSecond: number;
  readonly expired: number;
  readonly hits: number;
  readonly synMisses: number;
  readonly nonSynMisses: number;
}

export interface Findings {
  readonly backends: readonly string[];
  readonly webServer: 'nginx' | 'node';
  readonly balancer: BalancerFindings;
  readonly connectionsAsked: number;
  readonly connections: readonly Connection[];
  readonly framesCaptured: number;
  readonly framesLost: number;
  /** Of one connection, which tells the story; null where nothing was captured. */
  readonly ladder: Ladder | null;
}

const ROLES: Roles = { client: 'client', clientAddress: CLIENT_ADDRESS, balancer: 'lb' };

/** `shows` is how the connection ended that the ladder prefers. */
export function examine(evidence: Evidence, shows: Outcome): Findings {
  const packets = parsePackets(evidence.frames);
  const connections = judgeConnections(evidence.reports, packets, ROLES);
  const shown = connections.find(({ outcome }) => outcome === shows) ?? connections[0];
  const { samples, secondRoundMs } = evidence;
  const beforeSecond = samples.findLast(({ timeMs }) => timeMs <= secondRoundMs);
  const last = samples.at(-1);
  return {
    backends: evidence.backends,
    webServer: evidence.webServer,
    balancer: {
      ...evidence.settings,
      resetsCaptured: countOwnResets(packets, ROLES.balancer),
      resetsCounted: last?.resetsSent ?? 0,
      entriesAtPeak: Math.max(0, ...samples.map(({ entries }) => entries)),
      entriesBeforeSecond: beforeSecond?.entries ?? 0,
      expired: last?.expired ?? 0,
      hits: last?.hits ?? 0,
      synMisses: last?.synMisses ?? 0,
      nonSynMisses: last?.nonSynMisses ?? 0,
    },
    connectionsAsked: evidence.connectionsAsked,
    connections,
    framesCaptured: evidence.frames.length,
    framesLost: evidence.framesLost,
    ladder: shown === undefined ? null : buildLadder({ packets, samples, roles: ROLES, clientPort: shown.clientPort }),
  };
}
