/**
 * Networks as data: hosts, cables, addresses and routes, and nothing that acts. lab/network.ts builds what is described
 * here; a scenario that needs another network describes another one.
 */

import { type Addresses, addressesOf, type Family, IPV4 } from './addresses.ts';

/** A route as `ip route` takes it: `to` is a prefix or 'default', `via` the next hop's address, or several of equal cost. */
export interface Route {
  readonly to: string;
  readonly via: string | readonly string[];
  /** The MSS that SYNs and SYN-ACKs announce, unless it is what the link takes. */
  readonly advmss?: number;
}

export interface HostDescription {
  readonly name: string;
  /** Addresses with prefix length by interface; 'lo' may be among them. */
  readonly addresses: Readonly<Record<string, readonly string[]>>;
  /** Bridges by name, each with the interfaces that are its ports. */
  readonly bridges?: Readonly<Record<string, readonly string[]>>;
  readonly routes?: readonly Route[];
  /** As `ip rule add` takes them. */
  readonly rules?: readonly string[];
  /** Below /proc/sys/net, on top of what every host gets (lab/network.ts). */
  readonly sysctls?: Readonly<Record<string, number>>;
}

export interface CableEnd {
  readonly host: string;
  readonly interface: string;
}

export type Cable = readonly [CableEnd, CableEnd];

export interface Topology {
  /** Of all addresses and routes: IPv4 unless it is said. */
  readonly family?: Family;
  readonly hosts: readonly HostDescription[];
  readonly cables: readonly Cable[];
}

export const VIP_PORT = 80;
export const DNS_PORT = 53;
/** Of the network in IPv4. */
export const { vip: VIP, client: CLIENT_ADDRESS, backend: backendAddress } = IPV4;
export const BALANCER_ADDRESS = IPV4.balancer('lb');

/** b1 has the LAN's address 1, b2 the address 2 …; the balancer's own 10 bounds their number. */
export const MAX_BACKENDS = 9;

export function backendNames(count: number): string[] {
  return Array.from({ length: count }, (_, i) => `b${i + 1}`);
}

/** Only what comes from elsewhere: the router's own neighbour discovery is ICMP too. */
function noIcmp({ client, single, family }: Addresses): string {
  return `iif br0 to ${client}/${single} ipproto ${family === 6 ? 'ipv6-icmp' : 'icmp'} blackhole`;
}

/** Next hops of equal cost are chosen by ports too, or all connections of one client would go the same way. */
const HASH_PORTS_TOO = { 'ipv4/fib_multipath_hash_policy': 1, 'ipv6/fib_multipath_hash_policy': 1 };
/** What makes a host a router. */
export const FORWARDING = { 'ipv4/ip_forward': 1, 'ipv6/conf/all/forwarding': 1 };

/** The host that delays packets, and its two interfaces (lab/long-cable.ts). */
export const LONG_CABLE = { host: 'cable', near: 'near', far: 'far' } as const;

export interface LanOptions {
  /** Those that take the VIP: lb, or lb and lb2, or none. */
  readonly balancers?: readonly string[];
  /** Whose cable is a long one, with a host in the middle that delays packets. */
  readonly longCableOf?: string | null;
  readonly family?: Family;
  /** The router drops ICMP that is for the client. */
  readonly losesIcmp?: boolean;
  /** What the backends announce. */
  readonly advmss?: number | undefined;
}

/** What the router's routing table says of the VIP while these balancers live. */
export function vipRoute({ vip, single, balancer }: Addresses, balancers: readonly string[]): Route {
  return { to: `${vip}/${single}`, via: balancers.map(balancer) };
}

/**
 * The lab's house network. Balancer and backends share a LAN, so both ways of direct server return work on it (IPIP, and
 * L2, which needs the backend's MAC); the backends' default route leads past the balancer, back to the client. With two
 * balancers the router spreads connections over both (ECMP, by addresses and ports).
 *
 *     client ──── router ════╦═══ lb      198.18.2.10, takes the VIP
 *     198.18.0.2   route:    ╠═══ b1      198.18.2.1, VIP on lo
 *                  VIP → lb  ╠═══ b2      198.18.2.2, VIP on lo
 *                            ╚═══ …
 *
 * In IPv6 the client is 2001:db8::2, the LAN 2001:db8:2::/64, and the hosts' numbers on it are the same.
 */
export function sharedLan(backendCount: number, options: LanOptions = {}): Topology {
  const { balancers = ['lb'], longCableOf = null, family = IPV4.family, losesIcmp = false, advmss } = options;
  const addresses = addressesOf(family);
  const inNetwork = (address: string): string => `${address}/${addresses.network}`;
  const toRouterOnLan = { to: 'default', via: addresses.lanGateway };
  const backends = backendNames(backendCount);
  // A balancer that takes no VIP is still a host of the LAN: a layer-7 balancer has an address of its own.
  const balancerHosts = balancers.length === 0 ? ['lb'] : balancers;
  const onLan = [...balancerHosts, ...backends];
  return {
    family,
    hosts: [
      {
        name: 'client',
        addresses: { eth0: [inNetwork(addresses.client)] },
        routes: [{ to: 'default', via: addresses.clientGateway }],
      },
      {
        name: 'router',
        addresses: { client: [inNetwork(addresses.clientGateway)], br0: [inNetwork(addresses.lanGateway)] },
        bridges: { br0: onLan },
        // What BGP would announce: the VIP is behind the balancers.
        routes: balancers.length === 0 ? [] : [vipRoute(addresses, balancers)],
        rules: losesIcmp ? [noIcmp(addresses)] : [],
        sysctls: { ...FORWARDING, ...(balancers.length > 1 ? HASH_PORTS_TOO : {}) },
      },
      ...balancerHosts.map((name) => ({
        name,
        addresses: { eth0: [inNetwork(addresses.balancer(name))] },
        routes: [toRouterOnLan],
      })),
      ...backends.map((name) => ({
        name,
        addresses: { eth0: [inNetwork(addresses.backend(name))], lo: [`${addresses.vip}/${addresses.single}`] },
        routes: [{ ...toRouterOnLan, ...(advmss === undefined ? {} : { advmss }) }],
        // All backends own the VIP, on the same LAN: none may answer ARP for it or name it in an ARP request, or the
        // router would learn one of them as the VIP's owner.
        sysctls: { 'ipv4/conf/all/arp_ignore': 1, 'ipv4/conf/all/arp_announce': 2 },
      })),
      ...(longCableOf === null ? [] : [{ name: LONG_CABLE.host, addresses: {} }]),
    ],
    cables: ['client', ...onLan].flatMap((name) => toRouter(name, name === longCableOf)),
  };
}

/** From a host's eth0 to the router's interface of the host's name. */
function toRouter(name: string, long: boolean): Cable[] {
  const host: CableEnd = { host: name, interface: 'eth0' };
  const router: CableEnd = { host: 'router', interface: name };
  if (!long) return [[host, router]];
  const middle = (end: string): CableEnd => ({ host: LONG_CABLE.host, interface: end });
  return [
    [host, middle(LONG_CABLE.near)],
    [middle(LONG_CABLE.far), router],
  ];
}
