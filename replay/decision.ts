/**
 * Why a packet went where it went, in one line: what replay/witness.ts has seen of the walk. replay/replay.ts writes it as a
 * comment on each packet.
 */
import type { Config, Encap, ServiceConfig } from '../lb/config.ts';
import { EXITS, FORWARDED, NO_NEIGHBOUR, TOO_BIG, TOO_BIG_ANSWERED } from '../lb/exits.ts';
import type { Decision, Finding } from './witness.ts';

/** Behind the choice of a backend. */
const NOT_SENT: readonly number[] = [TOO_BIG, TOO_BIG_ANSWERED, NO_NEIGHBOUR];

const KNOWN: readonly Finding[] = ['hit', 'error-hit', 'fragment', 'server-id'];

const ENCAPS: Record<Encap, string> = { l2: 'L2', ipip: 'IPIP', gue: 'GUE', gre: 'GRE' };

/** `web: miss (SYN) → slot 12345 of 65537 → b2; IPIP to 198.18.2.2`, or the like, for the exit that the packet left by. */
export function decisionText(config: Config, exit: number, decision: Decision | undefined): string {
  const { verdict, reason } = EXITS[exit];
  const service = decision === undefined ? undefined : config.services[decision.service];
  if (decision === undefined || service === undefined) return `${verdict}: ${reason}`;
  const found = `${service.name}: ${findingText(decision, service)}`;
  if (exit === FORWARDED) return `${found} → ${choiceText(decision, service)}; ${wayText(decision, service)}`;
  if (NOT_SENT.includes(exit)) return `${found} → ${choiceText(decision, service)}; ${verdict}: ${reason}`;
  return `${found}; ${verdict}: ${reason}`;
}

function findingText({ finding }: Decision, { protocol, conntrack }: ServiceConfig): string {
  const idle = `idle for ${conntrack.idleTimeoutMs / 1000}s`;
  const isUdp = protocol === 'udp';
  switch (finding) {
    case 'hit':
      return 'hit';
    case 'syn':
      return 'miss (SYN)';
    case 'forgotten':
      return isUdp ? `miss (forgotten: ${idle})` : `miss (not SYN, forgotten: ${idle} or closed)`;
    case 'unknown':
      return isUdp ? 'miss' : 'miss (not SYN)';
    case 'no-table':
      return 'no connection table';
    case 'error-hit':
      return 'ICMP error, hit';
    case 'error-miss':
      return 'ICMP error, miss';
    case 'ping':
      return 'ping';
    case 'fragment':
      return 'fragment';
    case 'server-id':
      return 'server id';
  }
}

function choiceText({ finding, slot, tableSize, backend }: Decision, { backends }: ServiceConfig): string {
  const name = backends[backend]?.name ?? 'nobody';
  const isKnown = KNOWN.includes(finding);
  if (slot < 0) return isKnown ? name : `${name}, whose turn it is`;
  return isKnown ? `${name} (slot ${slot} of ${tableSize})` : `slot ${slot} of ${tableSize} → ${name}`;
}

function wayText({ backend }: Decision, { encap, backends }: ServiceConfig): string {
  return `${ENCAPS[encap]} to ${backends[backend]?.address}`;
}
