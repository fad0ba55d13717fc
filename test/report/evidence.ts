/**
 * Made-up evidence of runs for the report's tests: stories (test/lab/story.ts) as frames that captures could have seen.
 * Not a test.
 */
import type { CapturedFrame } from '../../lab/captures.ts';
import type { Evidence } from '../../lab/findings.ts';
import type { ExchangeReport } from '../../lab/keepalive-client.ts';
import { BY_SEVERITY, type CellOutcome, type MatrixResult, ORDERINGS, timeoutsOf } from '../../lab/matrix.ts';
import { MATRIX_ROWS } from '../../lab/matrix-rows.ts';
import type { Packet } from '../../lab/packets.ts';
import type { Scenario } from '../../lab/scenario.ts';
import type { TableSample } from '../../lab/table-probe.ts';
import { sharedLan } from '../../lab/topology.ts';
import { HUNG, KEPT, RESET_BY_BALANCER, RESET_BY_STRANGER, ROLES, START_MS, story } from '../lab/story.ts';
import { CLIENT_MAC, ETHERTYPE_IPV4, ethernetFrame, ipv4Packet, OWN_MAC, tcpPacket } from '../packets.ts';

const LETTERS = [
  [1, 'F'],
  [2, 'S'],
  [4, 'R'],
  [8, 'P'],
  [16, 'A'],
] as const;

export function frameOf(packet: Packet): CapturedFrame {
  const { host, direction, timeMs, tunnel, flags, httpLine, payloadLength, ...fields } = packet;
  const inner = tcpPacket({
    ...fields,
    flags: LETTERS.flatMap(([bit, letter]) => ((flags & bit) === 0 ? [] : [letter])).join(''),
    payload: (httpLine === undefined ? '' : `${httpLine}\r\n`).padEnd(payloadLength),
  });
  const whole = tunnel === undefined ? inner : ipv4Packet(tunnel.source, tunnel.destination, inner, { protocol: 4 });
  const bytes = ethernetFrame(OWN_MAC, CLIENT_MAC, ETHERTYPE_IPV4, whole);
  return { host, direction, timeMs, bytes: bytes.subarray(0, 256), originalLength: bytes.length };
}

/** A server that closes while a request is on its way; a cable of 5 ms. */
export const RACE = `
  0    client>b1 SYN 100 0
  10   b1>client SYN-ACK 500 101
  20   client>b1 GET / 101 501
  30   b1>client 200 OK 501 141
  1030 b1>client FIN-ACK 541 141
  1033 client>b1 GET / 141 541
  1039 b1>client RST 541 0
`;

/** Each leg of the race's packets takes 5 ms. */
export function overLongCable(packets: readonly Packet[]): Packet[] {
  return packets.map((packet) => (packet.direction === 'in' ? { ...packet, timeMs: packet.timeMs + 4.9 } : packet));
}

const STORIES: Partial<Record<Scenario['shows'], string>> = {
  kept: KEPT,
  'reset-by-backend': RESET_BY_STRANGER,
  'reset-by-balancer': RESET_BY_BALANCER,
  hung: HUNG,
};

function sample(timeMs: number, entries: number, expired: number, nonSynMisses = 0): TableSample {
  return { timeMs: START_MS + timeMs, entries, expired, nonSynMisses, hits: 0, synMisses: 60, resetsSent: 0 };
}

const SAMPLES = [
  sample(-50, 0, 0),
  sample(350, 60, 0),
  sample(2500, 30, 30),
  sample(2700, 0, 60),
  sample(3900, 60, 60, 60),
];

/** Of a run with one connection, which went as the scenario shows it. */
export function evidenceOf(scenario: Scenario): Evidence {
  const hushlb = scenario.balancer !== null;
  const raced = STORIES[scenario.shows] === undefined || !hushlb;
  const packets = raced ? overLongCable(story(RACE)) : story(STORIES[scenario.shows] ?? KEPT);
  const error = scenario.shows === 'hung' ? 'hung' : scenario.shows.startsWith('reset') ? 'ECONNRESET' : 'closed';
  const common = { event: 'exchange', connection: 0, localPort: 40001, backend: 'b2', id: 0 } as const;
  const first: ExchangeReport = {
    ...common,
    round: 'first',
    sentAtMs: START_MS,
    endedAtMs: START_MS + 30,
    status: 200,
    error: null,
  };
  const second: ExchangeReport = {
    ...common,
    round: 'second',
    sentAtMs: START_MS + 1032,
    endedAtMs: START_MS + 3700,
    status: scenario.shows === 'kept' ? 200 : null,
    error: scenario.shows === 'kept' ? null : error,
  };
  return {
    topology: sharedLan(
      3,
      hushlb ? {} : { balancers: [], longCableOf: scenario.proxy === undefined ? 'client' : 'lb' },
    ),
    roles: hushlb || scenario.proxy !== undefined ? ROLES : { ...ROLES, balancer: null },
    backends: ['b1', 'b2', 'b3'],
    connectionsAsked: 1,
    settings: scenario.balancer && { ...scenario.balancer, idleTimeoutMs: scenario.timeouts.balancer },
    webServer: 'nginx',
    reports: [first, second],
    samples: hushlb ? SAMPLES : [],
    frames: packets.map(frameOf),
    framesLost: 0,
    secondRoundMs: START_MS + 3000,
    requests: scenario.plot.kind === 'sessions' ? 2 : 0,
  };
}

/** Every row with every outcome somewhere, and one cell in each that did not keep its promise. */
export function anyMatrix(): MatrixResult {
  const rows = MATRIX_ROWS.map(({ name, summary }, r) => ({
    name,
    summary,
    balancerResets: null,
    held: false,
    broken: [],
    cells: ORDERINGS.map((ordering, i) => {
      const verdict: CellOutcome = BY_SEVERITY[(r + i) % BY_SEVERITY.length];
      const outcomes = verdict === 'kept' ? { kept: 24 } : { kept: 17, [verdict]: 7 };
      return {
        ordering,
        timeouts: timeoutsOf(ordering),
        moments: [{ kind: 'last' as const, pauseMs: 2000, outcomes }],
        outcomes,
        verdict,
        promised: i === 0 ? ('hung' as const) : verdict,
        held: i !== 0,
        broken: i === 0 ? [`promised hung, seen ${verdict}`] : [],
      };
    }),
  }));
  const settings = { connections: 12, seed: 1, webServer: 'nginx' as const, cableMs: 250 };
  return { orderings: ORDERINGS, settings, rows, held: false };
}
