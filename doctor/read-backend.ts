/**
 * Facts about a backend's host: what it is to serve, which devices take headers off, settings, listeners, the way to clients.
 */
import { spawnSync } from 'node:child_process';
import { overhead } from '../dsr/encap.ts';
import type { Encapsulation } from '../dsr/tunnel.ts';
import { testRun, XDP_PASS } from '../io/bpf.ts';
import { openProgram, type XdpProgram } from '../io/bpf-objects.ts';
import { closeDescriptor } from '../io/ffi.ts';
import { readLinks } from '../io/links.ts';
import { lookupRoute } from '../io/routes.ts';
import { readInterfaceSysctl, readSysctl } from '../io/sysctls.ts';
import type { Config } from '../lb/config.ts';
import { encapsulationOf } from '../lb/forwarding-state.ts';
import { addressBytes, formatAddress } from '../wire/address.ts';
import { ETHERNET_HEADER_LENGTH } from '../wire/ethernet.ts';
import { SYN } from '../wire/tcp.ts';
import type { ClientRoute } from './answers.ts';
import { deviceFor, type TunnelDevice } from './decapsulation.ts';
import { type HostAddress, unlessRefused } from './read-host.ts';
import { frameOf, MARK_SEQUENCE, packetOf } from './sample.ts';
import type { FilterFacts, SysctlFacts } from './sysctls.ts';
import { isIpv6, type Target } from './target.ts';

/** Documentation's own (RFC 5737, RFC 3849): routed as any client on the Internet is. */
const SOMEBODY = { 4: '192.0.2.1', 6: '2001:db8:ffff::1' } as const;
const TUNNEL_KINDS = ['ipip', 'sit', 'ip6tnl', 'gre', 'ip6gre'];

/** A target, with what a sample of its packets is made of. */
export interface ReadTarget extends Target {
  readonly encapsulation: Encapsulation;
  /** This host's address that the balancer sends to; undefined where it is not known. */
  readonly address: HostAddress | undefined;
}

/** The services of the configuration that this host is a backend of; of all of them where it is one of none. */
export function targetsOf(config: Pick<Config, 'services'>, addresses: readonly HostAddress[]): ReadTarget[] {
  const all = config.services.map((service): ReadTarget => {
    const named = service.backends.map(({ address }) => address);
    const address = addresses.find(({ text }) => named.includes(text));
    const outer = isIpv6(address?.text ?? named[0] ?? '') ? 6 : 4;
    const encapsulation = encapsulationOf(service);
    return {
      service: service.name,
      vip: service.vip,
      protocol: service.protocol,
      ports: service.ports,
      encap: service.encap,
      guePort: service.gue?.port ?? null,
      overhead: overhead(encapsulation, outer),
      outer,
      encapsulation,
      address,
    };
  });
  const own = all.filter(({ address }) => address !== undefined);
  return own.length > 0 ? own : all;
}

/** Runs the program on a packet of the target's, in the kernel's test frame: no packet leaves; its counters count it. */
export function stripsHeaders(program: XdpProgram | undefined, target: ReadTarget): 'yes' | 'no' | 'unseen' {
  if (program === undefined) return 'no';
  if (target.address === undefined) return 'unseen';
  const { bytes: destination } = target.address;
  const source = Uint8Array.from(destination, (byte, i) => (i === destination.length - 1 ? byte ^ 0x80 : byte));
  const inside = packetOf({
    source: addressBytes(SOMEBODY[isIpv6(target.vip) ? 6 : 4]),
    destination: addressBytes(target.vip),
    sourcePort: 40_000,
    destinationPort: target.ports.first,
    protocol: target.protocol,
    flags: SYN,
    sequence: MARK_SEQUENCE,
    payloadLength: 64,
  });
  const mac = new Uint8Array(6);
  const frame = frameOf(inside, target.encapsulation, { mac, ownMac: mac, source, destination });
  return (
    unlessRefused(() => {
      const fd = openProgram(program.id);
      try {
        const { verdict, packet } = testRun(fd, frame);
        const stripped = verdict === XDP_PASS && packet.length === ETHERNET_HEADER_LENGTH + inside.length;
        return stripped && packet.subarray(ETHERNET_HEADER_LENGTH).equals(inside) ? 'yes' : 'no';
      } finally {
        closeDescriptor(fd);
      }
    }) ?? 'unseen'
  );
}

export function readTunnels(): TunnelDevice[] {
  return readLinks().flatMap(({ name, kind, up }) =>
    kind !== undefined && TUNNEL_KINDS.includes(kind) ? [{ name, kind, up }] : [],
  );
}

/** `clients`: addresses to ask about in place of somebody on the Internet, one of each family at most. */
export function readClientRoutes(targets: readonly Target[], clients: readonly string[]): ClientRoute[] {
  const families = [...new Set(targets.map(({ vip }) => (isIpv6(vip) ? 6 : 4)))] as (4 | 6)[];
  const links = new Map(readLinks().map((link) => [link.index, link]));
  return families.map((family) => {
    const client = clients.find((each) => isIpv6(each) === (family === 6)) ?? SOMEBODY[family];
    const route = unlessRefused(() => lookupRoute(addressBytes(client)));
    const link = links.get(route?.interfaceIndex ?? 0);
    if (route === undefined || route.unreachable || link === undefined) return { family, client, route: null };
    const gateway = route.gateway === undefined ? null : formatAddress(route.gateway);
    const { mtu = link.mtu, advmss = null } = route;
    return { family, client, route: { interface: link.name, gateway, mtu, advmss } };
  });
}

/** `stripped`: by XDP, so that packets come in by the interface itself. */
export function readSysctlFacts(
  interfaceName: string,
  targets: readonly Target[],
  clients: readonly ClientRoute[],
  stripped: boolean,
): SysctlFacts {
  const ipv4 = targets.filter(({ vip }) => !isIpv6(vip));
  const tunnels = readTunnels();
  const devices = ipv4.flatMap((target) => {
    const kind = stripped ? undefined : deviceFor(target)?.kind;
    return tunnels.find((tunnel) => tunnel.kind === kind)?.name ?? interfaceName;
  });
  const filters = [...new Set(devices)].flatMap((device): FilterFacts[] => {
    const own = readSysctl(`ipv4/conf/${device}/rp_filter`);
    return own === undefined ? [] : [{ device, own, all: readSysctl('ipv4/conf/all/rp_filter') ?? 0 }];
  });
  return {
    interface: interfaceName,
    filters,
    clientsBehind: clients.find(({ family }) => family === 4)?.route?.interface ?? null,
    arpIgnore: ipv4.length === 0 ? null : (readInterfaceSysctl(interfaceName, 'arp_ignore') ?? null),
    arpAnnounce: ipv4.length === 0 ? null : (readInterfaceSysctl(interfaceName, 'arp_announce') ?? null),
    sharesLink: ipv4.some(({ encap }) => encap === 'l2'),
  };
}

/** With numbers in place of names. Undefined without nft, or without the right to ask. */
export function readRuleset(): string | undefined {
  const { status, stdout } = spawnSync('nft', ['--numeric', 'list', 'ruleset'], { encoding: 'utf8' });
  return status === 0 ? stdout : undefined;
}
