/**
 * What the answers to packets for a VIP say that took the way of a client's: at which hop they are lost. Pure.
 *
 * ```
 *   own address ─► SYN to VIP ─► router ─► hushlb ── [tunnel] ─► backend ─► SYN-ACK
 * ```
 */
import { type Finding, type MendText, tell } from './finding.ts';
import type { Outcome } from './probe.ts';
import { type Target, targetText, withLength } from './target.ts';

const { ok, note, error } = tell('probe');

export interface WholeProbe {
  readonly target: Target;
  /** This host's address, which the VIP's packets are to be sent to. */
  readonly own: string;
  /** Of SYNs from several ports, so that one silent backend does not speak for all. */
  readonly outcomes: readonly Outcome[];
}

/** How many of the backends have answered the balancer through their tunnels. */
export type Tunnels = 'all' | 'some' | 'none';

/** The whole way; `throughTunnel` undefined: nobody knows. */
export function judgeWholeProbe({ target, own, outcomes }: WholeProbe, throughTunnel: Tunnels | undefined): Finding {
  const { protocol, vip } = target;
  const answered = outcomes.filter(isAnswer);
  const outcome = answered[0] ?? outcomes.find(({ kind }) => kind !== 'silence') ?? SILENCE;
  const what = `a ${protocol === 'tcp' ? 'SYN' : 'datagram'} to ${targetText(target)} by the router`;
  if (outcome.kind === 'accepted' || outcome.kind === 'datagram') {
    if (protocol === 'tcp' && answered.length < outcomes.length) {
      const resets = outcomes.filter(({ kind }) => kind === 'reset').length;
      const others = resets === 0 ? 'the others are lost' : `${resets} are reset`;
      return error(
        'probe-whole-some',
        `the whole way: an answer came for ${answered.length} of ${outcomes.length} SYNs to ${targetText(target)} by the router, ${others}`,
        whySome(throughTunnel),
        someMend(vip, throughTunnel),
      );
    }
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

const SILENCE: Outcome = { kind: 'silence' };

function isAnswer({ kind }: Outcome): boolean {
  return kind === 'accepted' || kind === 'datagram';
}

function someMend(vip: string, throughTunnel: Tunnels | undefined): MendText[] {
  if (throughTunnel === undefined) return [onBalancer(' --probe')];
  return throughTunnel === 'all' ? [{ command: `ip route get ${vip}`, on: 'the router' }] : [];
}

function whySome(throughTunnel: Tunnels | undefined): string {
  if (throughTunnel === undefined)
    return 'some backend does not answer this host, and takes its share of clients all the same';
  if (throughTunnel === 'all')
    return 'all backends answer through their tunnels: packets are lost on the way, or the router sends some elsewhere';
  return 'the backends that are named above get their share of clients all the same: mend them, or drain them';
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
