/**
 * Something on a backend that takes the balancer's headers off: `hushlb decap`, or the kernel's own tunnel devices.
 */
import type { XdpProgram } from '../io/bpf-objects.ts';
import { type Finding, tell } from './finding.ts';
import { DECAP_NAME } from './interface.ts';
import { decapCommand, isIpv6, type Target } from './target.ts';

const { ok, note, error } = tell('decapsulation');

export interface TunnelDevice {
  readonly name: string;
  /** As `ip -d link` has it: ipip, sit, ip6tnl, gre, ip6gre. */
  readonly kind: string;
  readonly up: boolean;
}

export interface DecapsulationFacts<T extends Target = Target> {
  readonly interface: string;
  readonly xdp: readonly XdpProgram[];
  /** Whether the XDP program took the headers off a packet of this target's that it was tried with. */
  strips(target: T): 'yes' | 'no' | 'unseen';
  readonly tunnels: readonly TunnelDevice[];
  /** UDP ports that something is bound to: what `ip fou` listens on is among them. */
  readonly udpPorts: readonly number[];
}

/** The devices by whose kind the kernel takes headers off, and their first one's name (docs/backends.md). */
interface Device {
  readonly kind: string;
  readonly name: string;
  readonly commands: readonly string[];
}

const UP = (name: string) => `ip link set ${name} up`;
const IPIP: Device = { kind: 'ipip', name: 'tunl0', commands: ['modprobe ipip', UP('tunl0')] };
const SIT: Device = { kind: 'sit', name: 'sit0', commands: ['modprobe sit', UP('sit0')] };
const IP6TNL: Device = {
  kind: 'ip6tnl',
  name: 'lb6',
  commands: ['modprobe ip6_tunnel', 'ip link add lb6 type ip6tnl mode any external', UP('lb6')],
};
const GRE: Device = { kind: 'gre', name: 'gre0', commands: ['modprobe ip_gre', UP('gre0')] };
const IP6GRE: Device = { kind: 'ip6gre', name: 'ip6gre0', commands: ['modprobe ip6_gre', UP('ip6gre0')] };

/** The kernel's device for this target's packets; undefined where they come without headers. */
export function deviceFor({ encap, outer, vip }: Target): Device | undefined {
  if (encap === 'l2') return undefined;
  if (encap === 'gre') return outer === 6 ? IP6GRE : GRE;
  if (outer === 6) return IP6TNL;
  return isIpv6(vip) ? SIT : IPIP;
}

/** One finding for each way in which packets come. */
export function judgeDecapsulation<T extends Target>(facts: DecapsulationFacts<T>, targets: readonly T[]): Finding[] {
  const kinds = new Map(
    targets.map((target) => [`${target.encap} ${target.outer} ${isIpv6(target.vip)} ${target.guePort}`, target]),
  );
  return [...kinds.values()].map((target) => judgeTarget(facts, target));
}

function judgeTarget<T extends Target>(facts: DecapsulationFacts<T>, target: T): Finding {
  const { interface: name, xdp, tunnels } = facts;
  const device = deviceFor(target);
  const { encap } = target;
  if (device === undefined) return ok('decapsulation', 'l2: packets come without headers of the balancer');

  const [program] = xdp;
  const strips = program === undefined ? 'no' : facts.strips(target);
  if (strips === 'yes') {
    const who = program?.name === DECAP_NAME ? 'hushlb decap' : `the XDP program ${program?.name}`;
    return ok('decapsulation', `${who} takes ${encap} off on ${name}`);
  }
  const found = tunnels.filter(({ kind }) => kind === device.kind);
  const up = found.find((tunnel) => tunnel.up);
  if (up !== undefined) return judgeFou(facts, target, up);
  if (strips === 'unseen') {
    return note(
      'decapsulation-unseen',
      `an XDP program is attached to ${name}, and only root may see whether it takes ${encap} off`,
      "without that, the kernel drops the balancer's packets",
      ['sudo -s'],
    );
  }
  const why = 'the kernel drops what it cannot unwrap, and answers it with ICMP protocol unreachable at most';
  if (found.length > 0) {
    const [first] = found;
    return error('tunnel-down', `${first.name}, which takes ${encap} off, is down`, why, [UP(first.name)]);
  }
  if (program?.name === DECAP_NAME) {
    return error(
      'decap-other',
      `hushlb decap runs on ${name}, and leaves ${encap} to this host as it is`,
      'it takes off the one encapsulation that it was started with, of GUE on one port',
      [{ command: decapCommand(name, target, true), on: 'this host, in place of the one that runs' }],
    );
  }
  return error(
    'no-decapsulation',
    `nothing takes ${encap} off here: no hushlb decap on ${name}, no ${device.name}`,
    why,
    [decapCommand(name, target, true)],
  );
}

/** GUE comes in by a UDP port that the kernel's fou has to know. */
function judgeFou(
  { udpPorts }: Pick<DecapsulationFacts, 'udpPorts'>,
  { encap, guePort, outer }: Target,
  { name }: TunnelDevice,
): Finding {
  if (guePort === null || udpPorts.includes(guePort)) return ok('decapsulation', `${name} takes ${encap} off`);
  return error(
    'no-fou',
    `${name} is up, and nothing listens on UDP port ${guePort} for GUE`,
    'the kernel answers it with ICMP port unreachable',
    ['modprobe fou', `ip ${outer === 6 ? '-6 ' : ''}fou add port ${guePort} gue`],
  );
}
