/**
 * What the answers of one backend say: at which hop a packet for it is lost. Pure; doctor/send-probes.ts sends and listens,
 * doctor/probe-whole.ts judges the way of clients.
 *
 * ```
 *   own address ─► SYN to VIP ── [tunnel] ──► backend ──► SYN-ACK from VIP ─► own address       one for each backend
 *               ─► the same, of full size                                                       where it fits here
 *               ─► ping to VIP ── [tunnel], TTL 1                                               has it the VIP itself?
 *               ─► pings to the backend, with the tunnel and without                            of who is silent
 * ```
 */
import { quoted } from './configuration.ts';
import { type Finding, type Mend, type MendText, tell } from './finding.ts';
import type { Refusal } from './probe-answer.ts';
import { decapCommand, type Target, targetText, withLength } from './target.ts';

const { ok, note, warning, error } = tell('probe');

export type Outcome =
  | { readonly kind: 'accepted' | 'reset' | 'datagram'; readonly ms: number }
  | {
      readonly kind: 'error';
      readonly from: string;
      readonly refusal: Refusal;
      readonly mtu: number | null;
      /** Where the packet was going that was refused: the backend while its tunnel is around it, then the VIP. */
      readonly towards: string;
    }
  | { readonly kind: 'silence' };

/** `ttl`: TTL 1 did not suffice, the host that took the headers off sends the packet on. */
export type PingOutcome = 'answered' | 'ttl' | 'silence';

export interface BackendPings {
  /** Through the tunnel to the VIP, with TTL 1. */
  readonly vip: PingOutcome;
  /** To the backend's own address; null: not asked, because it is not silent. */
  readonly host: PingOutcome | null;
  /** The same through the tunnel; null too where there is none, or none for packets of the backend's family. */
  readonly tunnel: PingOutcome | null;
}

export interface BackendProbe {
  readonly target: Target;
  readonly backend: string;
  readonly address: string;
  /** Null: it was not sent, because there is no next hop. */
  readonly small: Outcome | null;
  /** Null: it was not sent, because it doesn't fit here, or because it is UDP. */
  readonly full: Outcome | null;
  readonly pings: BackendPings;
}

/** `file`: the configuration. */
export function judgeBackendProbe(probe: BackendProbe, file: string): Finding {
  const { target, backend, small, full, pings } = probe;
  const who = whoIs(probe);
  const what = `a ${target.protocol === 'tcp' ? 'SYN' : 'datagram'} for ${targetText(target)} through ${target.encap} to ${who}`;
  const look = { command: `hushlb doctor --backend -c ${quoted(file)}`, on: backend };
  if (small === null) {
    return error(
      'probe-next-hop',
      `lost at the next hop: ${who} has none`,
      'nothing can be sent to it: see path above',
    );
  }
  if (small.kind === 'error') return refused(small, what, target, look);
  if (small.kind === 'reset') return listenerLost(what, 'a RST', look);
  if (small.kind === 'silence') return judgeSilence(probe, what, look);
  if (pings.vip === 'ttl') {
    return warning(
      'probe-routed-on',
      `${who} routes packets for ${target.vip} on, and the answer came from elsewhere`,
      'where the VIP is not in a container of its, but missing on lo, they go round by the router and other backends',
      [addVip(target, backend)],
    );
  }
  if (full?.kind === 'error' && full.refusal === 'too-big') {
    return warning(
      'probe-mtu',
      `lost at ${full.from}: a full packet to ${who} does not fit there, ${full.mtu} bytes do`,
      'handshakes pass and uploads stall',
      mtuMend(target),
    );
  }
  if (full !== null && full.kind !== 'accepted') {
    return warning(
      'probe-mtu',
      `lost for its size: a small packet to ${who} is answered, a full one is not`,
      'some link on the way takes less than that of this host, and says nothing',
      mtuMend(target),
    );
  }
  const size = full === null ? '' : ', of full size too';
  return ok('probe', `${who} answered through ${target.encap} in ${small.ms.toFixed(1)} ms${size}`);
}

/** Nothing came back; pings say how far it came. */
function judgeSilence(probe: BackendProbe, what: string, look: Mend): Finding {
  const { target, backend, address, pings } = probe;
  const { vip, protocol, encap } = target;
  const isTcp = protocol === 'tcp';
  if (pings.vip === 'ttl') return routedOn(target, look);
  if (pings.vip === 'answered') {
    const way = `${vip} answers ping through ${encap}`;
    if (!isTcp) return note('probe-datagram', `no answer to ${what}`, `a UDP server need not answer; ${way}`);
    const why = `${way}, so it came as far: a firewall there drops it, or the server's queue is full`;
    return error('probe-port', `lost at the port: no answer to ${what}`, why, [look]);
  }
  const isHere = pings.host === 'answered';
  if (pings.tunnel === 'answered' || (encap === 'l2' && isHere)) {
    const through = encap === 'l2' ? '' : ` through ${encap}`;
    const why = `${address} answers ping${through}, ${vip} does not: it is not on lo there, or lo is down, or a firewall drops it`;
    return error('probe-vip', `lost at the VIP: no answer to ${what}`, why, [addVip(target, backend), look]);
  }
  if (pings.tunnel === 'silence' && isHere) {
    const why =
      `the host answers ping, but not through ${encap}: nothing takes it off there and a firewall keeps that quiet, ` +
      'or it drops what comes out of the tunnel: rp_filter on its device';
    return error('probe-decapsulation', `lost at the decapsulation: no answer to ${what}`, why, [look]);
  }
  if (!isTcp) {
    return note('probe-datagram', `no answer to ${what}`, 'a UDP server need not answer; nothing was refused either');
  }
  const far = isHere
    ? 'the host answers ping, so it is lost there: VIP not on lo, rp_filter, a firewall, or no route back to here'
    : 'the host does not answer ping either: it is down, or lost on the way, or a firewall drops both';
  return error('probe-silence', `lost at the backend or before: no answer to ${what}`, far, [look]);
}

function whoIs({ target, backend, address }: BackendProbe): string {
  return `${target.service}/${backend} (${address})`;
}

function routedOn(target: Target, look: Mend): Finding {
  return error(
    'probe-vip',
    `lost at the VIP: ${look.on} takes ${target.encap} off, and routes packets for ${target.vip} on`,
    'it has not the VIP itself: they come back to the balancer, or go astray',
    [addVip(target, look.on), look],
  );
}

function addVip({ vip }: Target, on: string | null): Mend {
  return { command: `ip address add ${withLength(vip)} dev lo`, on };
}

function mtuMend({ overhead }: Target): MendText[] {
  return [{ command: `ip link set eth0 mtu ${1500 + overhead}`, on: 'every link on the way' }];
}

function listenerLost(what: string, answer: string, look: MendText): Finding {
  return error(
    'probe-listener',
    `lost at the listener: ${answer} for ${what}`,
    'the packet arrived, and no server listens on the VIP',
    [look],
  );
}

function refused(outcome: Outcome & { kind: 'error' }, what: string, target: Target, look: Mend): Finding {
  const { from, refusal, mtu, towards } = outcome;
  const stripped = towards === target.vip;
  const decap = { command: decapCommand('eth0', target, true), on: look.on };
  // Linux says "port" of IP in IP and GRE, too, where the protocol is there and no device that is up.
  if (!stripped && (refusal === 'protocol' || refusal === 'port')) {
    return error(
      'probe-decapsulation',
      `lost at the decapsulation: ${from} does not take ${target.encap} off`,
      `it answered ${what} with ICMP ${refusal} unreachable`,
      [decap],
    );
  }
  if (refusal === 'ttl' && stripped) return routedOn(target, look);
  if (refusal === 'port') return listenerLost(what, 'ICMP port unreachable', look);
  if (refusal === 'too-big') {
    return error(
      'probe-mtu',
      `lost at ${from}: even a small packet does not fit, ${mtu} bytes do`,
      `that was ${what}`,
      mtuMend(target),
    );
  }
  const why =
    refusal === 'prohibited'
      ? 'a filter there prohibits it'
      : `ICMP says ${refusal === 'host' ? 'host unreachable' : refusal === 'ttl' ? 'TTL exceeded: a loop' : 'no'}`;
  return error('probe-way', `lost on the way, at ${from}: ${why}`, `that was the answer to ${what}`, [
    { command: `ip route get ${from}`, on: from },
  ]);
}
