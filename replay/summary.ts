/**
 * What a replay came to, by verdict, exit, service and backend: as data, and as text. replay/replay.ts gathers it,
 * cli/replay.ts prints it.
 */
import type { Config } from '../lb/config.ts';
import { EXITS, type Verdict } from '../lb/exits.ts';
import { portPhrase } from '../lb/ports.ts';
import * as slots from '../metrics/counters.ts';

/** Counted while the packets come. */
export interface Tally {
  /** In the capture, of the interface that was asked for. */
  packets: number;
  /** Left out: shorter in the capture than on the wire. */
  cut: number;
  /** Left out: sent by the captured host, as the file says. */
  outbound: number;
  /** Older than one in front of them. */
  backwards: number;
  /** Frames that went out, those included that the balancer made. */
  sent: number;
  firstNs: bigint;
  lastNs: bigint;
}

export interface ServiceFacts {
  readonly name: string;
  readonly hits: number;
  readonly synMisses: number;
  readonly nonSynMisses: number;
  readonly datagramMisses: number;
  /** ICMP errors about connections, sent to their backends. */
  readonly related: number;
  /** Datagrams whose QUIC connection id named their backend. */
  readonly quicRouted: number;
  readonly expired: number;
  readonly evicted: number;
  readonly resetsSent: number;
  /** Of those the ones for connections that idled out. */
  readonly expiryResetsSent: number;
  readonly unfinishedChecksums: number;
  readonly backends: readonly { readonly name: string; readonly packets: number; readonly bytes: number }[];
}

export interface Facts {
  readonly packets: number;
  readonly seconds: number;
  readonly leftOut: { readonly cut: number; readonly outbound: number };
  readonly backwards: number;
  readonly sent: number;
  readonly verdicts: Readonly<Record<Verdict, number>>;
  /** All there are; `service` is null for packets that belong to none. */
  readonly exits: readonly {
    readonly service: string | null;
    readonly verdict: Verdict;
    readonly reason: string;
    readonly packets: number;
  }[];
  readonly services: readonly ServiceFacts[];
}

export function factsOf(config: Config, layout: slots.CounterLayout, counters: Float64Array, tally: Tally): Facts {
  const owners = [...config.services.map(({ name }) => name), null];
  const exits = owners.flatMap((service, i) =>
    EXITS.flatMap(({ verdict, reason, ofService }, exit) =>
      ofService === (service !== null) || counters[layout.exitBase[i] + exit] > 0
        ? [{ service, verdict, reason, packets: counters[layout.exitBase[i] + exit] }]
        : [],
    ),
  );
  const verdicts = { forward: 0, reset: 0, answer: 0, pass: 0, hold: 0, drop: 0 };
  for (const { verdict, packets } of exits) verdicts[verdict] += packets;
  return {
    packets: tally.packets,
    seconds: Number(tally.lastNs - tally.firstNs) / 1e9,
    leftOut: { cut: tally.cut, outbound: tally.outbound },
    backwards: tally.backwards,
    sent: tally.sent,
    verdicts,
    exits,
    services: config.services.map(({ name, backends }, i) => {
      const of = (slot: number): number => counters[layout.serviceBase[i] + slot];
      return {
        name,
        hits: of(slots.SERVICE_HITS),
        synMisses: of(slots.SERVICE_SYN_MISSES),
        nonSynMisses: of(slots.SERVICE_NON_SYN_MISSES),
        datagramMisses: of(slots.SERVICE_DATAGRAM_MISSES),
        related: of(slots.SERVICE_RELATED),
        quicRouted: of(slots.SERVICE_QUIC_ROUTED),
        expired: of(slots.SERVICE_EXPIRED),
        evicted: of(slots.SERVICE_EVICTED),
        resetsSent: of(slots.SERVICE_RESETS_SENT),
        expiryResetsSent: of(slots.SERVICE_EXPIRY_RESETS_SENT),
        unfinishedChecksums: of(slots.SERVICE_UNFINISHED_CHECKSUMS),
        backends: backends.map((backend, place) => ({
          name: backend.name,
          packets: counters[layout.backendBase[i][place] + slots.BACKEND_PACKETS],
          bytes: counters[layout.backendBase[i][place] + slots.BACKEND_BYTES],
        })),
      };
    }),
  };
}

const VERDICTS: readonly Verdict[] = ['forward', 'reset', 'answer', 'pass', 'hold', 'drop'];
/** Have a line only where there is something in it; of the others a 0 is news too. */
const RARE_VERDICTS: readonly Verdict[] = ['answer', 'hold'];

/** Lines of the exits that packets left by, of the services that had any, and of what one should know. */
export function summaryText(facts: Facts, { services }: Config): string {
  const left = facts.exits.filter(({ packets }) => packets > 0);
  const verdicts = VERDICTS.filter((verdict) => facts.verdicts[verdict] > 0 || !RARE_VERDICTS.includes(verdict));
  const rows = verdicts.flatMap((verdict) => [
    ['', verdict, '', String(facts.verdicts[verdict])],
    ...left
      .filter((exit) => exit.verdict === verdict)
      .map(({ reason, service, packets }) => [
        '',
        '',
        service === null ? reason : `${reason}, ${service}`,
        `${packets}`,
      ]),
  ]);
  const widths = [1, 2, 3].map((column) => Math.max(...rows.map((row) => row[column].length)));
  const exits = rows.map(([, verdict, reason, packets]) =>
    `  ${verdict.padEnd(widths[0])}  ${reason.padEnd(widths[1])}  ${packets.padStart(widths[2])}`.trimEnd(),
  );
  const used = facts.services.filter(
    ({ hits, synMisses, nonSynMisses, datagramMisses, related, quicRouted }) =>
      hits + synMisses + nonSynMisses + datagramMisses + related + quicRouted > 0,
  );
  const span = `${Math.round(facts.seconds * 1000) / 1000} s`;
  return [
    `${count(facts.packets, 'packet')} in ${span}, ${facts.sent} sent`,
    ...exits,
    ...used.flatMap((service) => serviceLines(service, services)),
    ...notes(facts, services),
    '',
  ].join('\n');
}

function serviceLines(facts: ServiceFacts, services: Config['services']): string[] {
  const { name, hits, synMisses, nonSynMisses, datagramMisses, related, backends } = facts;
  const { quicRouted, expired, evicted, expiryResetsSent } = facts;
  const isUdp = services.some((service) => service.name === name && service.protocol === 'udp');
  const misses = isUdp
    ? [count(datagramMisses, 'miss')]
    : [count(synMisses, 'SYN miss'), count(nonSynMisses, 'non-SYN miss')];
  const more = [
    ...(quicRouted > 0 ? [`${quicRouted} by server id`] : []),
    ...(related > 0 ? [count(related, 'ICMP error')] : []),
    ...(expired > 0 ? [`${expired} expired`] : []),
    ...(evicted > 0 ? [`${evicted} evicted`] : []),
    ...(expiryResetsSent > 0 ? [`${count(expiryResetsSent, 'RST')} at expiry`] : []),
  ];
  const busy = backends.filter(({ packets }) => packets > 0);
  const shown = busy.slice(0, MOST_BACKENDS).map((backend) => `${backend.name} ${backend.packets}`);
  const others = busy.length > MOST_BACKENDS ? [`and ${busy.length - MOST_BACKENDS} more (--json has all)`] : [];
  return [
    `${name}: ${[count(hits, 'hit'), ...misses, ...more].join(', ')}`,
    ...(busy.length > 0 ? [`  to ${[...shown, ...others].join(', ')}`] : []),
  ];
}

const MOST_BACKENDS = 12;

function notes({ packets, leftOut, backwards, exits, services: used }: Facts, services: Config['services']): string[] {
  const lines: string[] = [];
  if (leftOut.cut > 0) {
    lines.push(`left out: ${count(leftOut.cut, 'packet')} that the capture cut; capture whole ones (tcpdump -s 0)`);
  }
  if (leftOut.outbound > 0) {
    lines.push(
      `left out: ${count(leftOut.outbound, 'packet')} that the captured host sent itself (--outbound takes them)`,
    );
  }
  if (backwards > 0) {
    lines.push(
      `time goes back at ${count(backwards, 'packet')}: the clock stood still meanwhile; reordercap sorts a file`,
    );
  }
  const unfinished = used.reduce((sum, { unfinishedChecksums }) => sum + unfinishedChecksums, 0);
  if (unfinished > 0) {
    lines.push(
      `unfinished checksums: ${count(unfinished, 'SYN')}, captured on a sender that leaves them to its network card`,
    );
  }
  if (packets > 0 && exits.every(({ service, packets: left }) => service === null || left === 0)) {
    const [first] = services;
    lines.push(
      `nothing was for a service: the first is ${first.name}, ${first.vip} ${first.protocol} ${portPhrase(first.ports)}`,
    );
  }
  return lines;
}

function count(number: number, what: string): string {
  if (number === 1) return `1 ${what}`;
  return `${number} ${what}${what.endsWith('s') ? 'es' : 's'}`;
}
