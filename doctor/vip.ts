/**
 * The VIPs on a backend: each an address of the host, on an interface that no ARP request comes in by.
 */
import { type Finding, tell } from './finding.ts';
import { isIpv6, type Target, withLength } from './target.ts';

const { ok, warning, error } = tell('vip');

export interface VipFacts {
  /** The host's addresses. */
  readonly addresses: readonly { readonly text: string; readonly interface: string; readonly prefixLength: number }[];
  /** Where packets come in. */
  readonly interface: string;
  readonly loopbackUp: boolean;
}

export function judgeVips({ addresses, interface: name, loopbackUp }: VipFacts, targets: readonly Target[]): Finding[] {
  const findings: Finding[] = [];
  if (!loopbackUp) {
    findings.push(
      error('loopback-down', 'lo is down', 'the kernel takes no packet for an address of an interface that is down', [
        'ip link set lo up',
      ]),
    );
  }
  for (const vip of new Set(targets.map((target) => target.vip))) {
    const found = addresses.find(({ text }) => text === vip);
    const add = `ip address add ${withLength(vip)} dev lo`;
    if (found === undefined) {
      findings.push(
        error(
          'vip-missing',
          `${vip} is not an address of this host`,
          'packets keep the VIP as their destination: a kernel that does not have it drops them without a word',
          [add],
        ),
      );
      continue;
    }
    const { interface: on, prefixLength } = found;
    const remove = `ip address del ${vip}/${prefixLength} dev ${on}`;
    if (on === name && !isIpv6(vip)) {
      const l2 = targets.some((target) => target.vip === vip && target.encap === 'l2');
      findings.push(
        (l2 ? error : warning)(
          'vip-on-link',
          `${vip} is an address of ${name}, where packets come in`,
          'the host answers ARP for it there, and the link sends its packets past the balancer; on lo it can be silent',
          [remove, add],
        ),
      );
    } else if (prefixLength !== (isIpv6(vip) ? 128 : 32) && on === 'lo') {
      findings.push(
        warning(
          'vip-network',
          `${vip} is on lo with a whole network, /${prefixLength}`,
          "every address of that network is this host's then, also those of clients and other hosts",
          [remove, add],
        ),
      );
    } else findings.push(ok('vip', `${vip} is on ${on}`));
  }
  return findings;
}
