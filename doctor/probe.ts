/**
 * What the answers to probes say: at which hop a packet for a service is lost. Pure; doctor/send-probes.ts sends and listens.
 *
 * ```
 *   own address ─► SYN to VIP ── [tunnel] ──► backend ──► SYN-ACK from VIP ─► own address       one for each backend
 *               ─► the same, of full size                                                       where it fits here
 *               ─► SYN to VIP ─► router ─► hushlb ── [tunnel] ─► backend ─► SYN-ACK             the whole way
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

export interface BackendProbe {
  readonly target: Target;
  readonly backend: string;
  readonly address: string;
  /** Null: it was not sent, because there is no next hop. */
  readonly small: Outcome | null;
  /** Null: it was not sent, because it doesn't fit here, or because it is UDP. */
  readonly full: Outcome | null;
  /** The backend answers an echo request to its own address. */
  readonly echoes: boolean;
}

export interface WholeProbe {
  readonly target: Target;
  /** This host's address, which the VIP's packets are to be sent to. */
  readonly own: string;
  readonly outcome: Outcome;
}

/** `file`: the configuration; null where there is none, on a client. */
export function judgeBackendProbe(
  { target, backend, address, small, full, echoes }: BackendProbe,
  file: string,
): Finding {
  const who = `${target.service}/${backend} (${address})`;
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
  if (small.kind === 'silence') {
    if (target.protocol === 'udp') {
      return note('probe-datagram', `no answer to ${what}`, 'a UDP server need not answer; nothing was refused either');
    }
    const far = echoes
      ? 'the host answers ping, so it is lost there: VIP not on lo, rp_filter, a firewall, or no route back to here'
      : 'the host does not answer ping either: it is down, or lost on the way, or a firewall drops both';
    return error('probe-silence', `lost at the backend or before: no answer to ${what}`, far, [look]);
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
  if (!stripped && (refusal === 'protocol' || (refusal === 'port' && target.encap === 'gue'))) {
    return error(
      'probe-decapsulation',
      `lost at the decapsulation: ${from} does not know ${target.encap}`,
      `it answered ${what} with ICMP ${refusal} unreachable`,
      [decap],
    );
  }
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
      : `ICMP says ${refusal === 'host' ? 'host unreachable' : 'no'}`;
  return error('probe-way', `lost on the way, at ${from}: ${why}`, `that was the answer to ${what}`, [
    { command: `ip route get ${from}`, on: from },
  ]);
}

/** How many of the backends have answered the balancer through their tunnels. */
export type Tunnels = 'all' | 'some' | 'none';

/** The whole way; `throughTunnel` undefined: nobody knows. */
export function judgeWholeProbe({ target, own, outcome }: WholeProbe, throughTunnel: Tunnels | undefined): Finding {
  const { protocol, vip } = target;
  const what = `a ${protocol === 'tcp' ? 'SYN' : 'datagram'} to ${targetText(target)} by the router`;
  if (outcome.kind === 'accepted' || outcome.kind === 'datagram') {
    return ok('probe-whole', `the whole way: ${what} was answered in ${outcome.ms.toFixed(1)} ms`);
  }
  if (outcome.kind === 'reset' || (outcome.kind === 'error' && outcome.refusal === 'port' && outcome.towards === vip)) {
    const answer = outcome.kind === 'reset' ? 'a RST' : 'ICMP port unreachable';
    return error('probe-whole-reset', `the whole way: ${answer} for ${what}`, whyReset(throughTunnel), [
      onBalancer(''),
    ]);
  }
  if (outcome.kind === 'error') {
    const { from, refusal } = outcome;
    // Behind the balancer all is well: it is the router that knows no way to the VIP.
    const command = throughTunnel === 'all' && refusal === 'host' ? routeToVip(vip, own) : `ip route get ${vip}`;
    return error('probe-whole-way', `the whole way: lost at ${from}, by ICMP (${refusal})`, `that answered ${what}`, [
      { command, on: from },
    ]);
  }
  if (protocol === 'udp') {
    return note('probe-datagram', `the whole way: no answer to ${what}`, 'a UDP server need not answer');
  }
  if (throughTunnel === 'all') {
    return error(
      'probe-router',
      `lost before the balancer: no answer to ${what}, though all tunnels work`,
      'the router does not send the VIP here, or hushlb does not run',
      [{ command: routeToVip(vip, own), on: 'the router' }],
    );
  }
  const why =
    throughTunnel === undefined
      ? 'lost before the balancer, on it, or behind it'
      : 'lost before the balancer, or at the backends that were silent above: mend those first';
  return error('probe-whole-silence', `the whole way: no answer to ${what}`, why, [onBalancer(' --probe')]);
}

function routeToVip(vip: string, balancer: string): string {
  return `ip route replace ${withLength(vip)} via ${balancer}`;
}

function onBalancer(option: string): MendText {
  return { command: `hushlb doctor -c hushlb.yaml${option}`, on: 'the balancer' };
}

function whyReset(throughTunnel: Tunnels | undefined): string {
  if (throughTunnel === undefined) return 'a backend has no listener on the VIP, or another host answers for it';
  if (throughTunnel === 'all')
    return 'all backends accept it when it comes from here: another host answers for the VIP';
  return 'backends without a listener are named above: mend those first';
}
