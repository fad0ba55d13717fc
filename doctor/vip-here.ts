/**
 * The VIPs on a balancer, where they need not be: what the kernel does with them beside hushlb, or while it doesn't run.
 */
import type { Echo, Io } from '../lb/config.ts';
import { type Finding, tell } from './finding.ts';

const { ok, note, warning, error } = tell('vip');

export interface VipHereFacts {
  /** Addresses of this host that are VIPs, with their interfaces. */
  readonly local: readonly { readonly vip: string; readonly interface: string; readonly prefixLength: number }[];
  readonly vips: readonly string[];
  readonly io: Io;
  readonly echo: Echo;
  /** CAP_NET_ADMIN: the portable device has its guard. */
  readonly mayGuard: boolean;
  readonly forwards: boolean;
}

export function judgeVipsHere({ local, vips, io, echo, mayGuard, forwards }: VipHereFacts): Finding[] {
  const findings: Finding[] = [];
  const unguarded = io === 'portable' && !mayGuard;
  for (const { vip, interface: name, prefixLength } of local) {
    const found = `${vip} is also an address of this host, on ${name}`;
    const mend = [`ip address del ${vip}/${prefixLength} dev ${name}`];
    if (unguarded) {
      const why = 'without CAP_NET_ADMIN the kernel gets a copy of every packet, and resets what it does not know';
      findings.push(error('vip-here', found, why, mend));
    } else if (echo === 'kernel') {
      const why = 'echo: kernel wants it so; but while hushlb does not run, the kernel resets every connection';
      findings.push(note('vip-here', found, why));
    } else {
      const why =
        'while hushlb does not run, the kernel answers for it and resets every connection, which is not quiet';
      findings.push(warning('vip-here', found, why, mend));
    }
  }
  if (unguarded && forwards) {
    findings.push(
      warning(
        'forwards-too',
        'this host forwards packets (ip_forward), and the portable device has no guard',
        'the kernel sends its copy of every packet on as well, back to the router',
        ['sysctl -w net.ipv4.ip_forward=0'],
      ),
    );
  }
  if (findings.length === 0) {
    findings.push(ok('vip', `${vips.join(', ')}: not on this host, as it should be`));
  }
  return findings;
}
