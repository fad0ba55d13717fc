/**
 * Networks as data: hosts, cables, addresses and routes, and nothing that acts. lab/network.ts builds what is described
 * here; a scenario that needs another network describes another one.
 */

/** A route as `ip route` takes it: `to` is a prefix or 'default', `via` the next hop's address, or several of equal cost. */
export interface Route {
  readonly to: string;
  readonly via: string | readonly string[];
}

export interface HostDescription {
  readonly name: string;
  /** Addresses with prefix length by interface; 'lo' may be among them. */
  readonly addresses: Readonly<Record<string, readonly string[]>>;
  /** Bridges by name, each with the interfaces that are its ports. */
  readonly bridges?: Readonly<Record<string, readonly string[]>>;
  readonly routes?: readonly Route[];
  /** Below /proc/sys/net, on top of what every host gets (lab/network.ts). */
  readonly sysctls?: Readonly<Record<string, number>>;
}

export interface CableEnd {
  readonly host: string;
  readonly interface: string;
}

export type Cable = readonly [CableEnd, CableEnd];

export interface Topology {
  readonly hosts: readonly HostDescription[];
  readonly cables: readonly Cable[];
}

export const VIP = '198.18.10.1';
export const VIP_PORT = 80;
export const CLIENT_ADDRESS = '198.18.0.2';
export const BALANCER_ADDRESS = '198.18.2.10';

/** b1 has 198.18.2.1, b2 198.18.2.2 …; the balancer's own .10 bounds their number. */
export const MAX_BACKENDS = 9;

export function backendNames(count: number): string[] {
  return Array.from({ length: count }, (_, i) => `b${i + 1}`);
}

export function backendAddress(name: string): string {
  return `198.18.2.${name.slice(1)}`;
}

const ROUTER_LAN_ADDRESS = '198.18.2.254';
/** lb has 198.18.2.10, and a second balancer, lb2, 198.18.2.11. */
const BALANCER_ADDRESSES: Readonly<Record<string, string>> = { lb: BALANCER_ADDRESS, lb2: '198.18.2.11' };

/** Next hops of equal cost are chosen by ports too, or all connections of one client would go the same way. */
const HASH_PORTS_TOO = { 'ipv4/fib_multipath_hash_policy': 1 };

/** The host that delays packets, and its two interfaces (lab/long-cable.ts). */
export const LONG_CABLE = { host: 'cable', near: 'near', far: 'far' } as const;

export interface LanOptions {
  /** Those that take the VIP: lb, or lb and lb2, or none. */
  readonly balancers?: readonly string[];
  /** Whose cable is a long one, with a host in the middle that delays packets. */
  readonly longCableOf?: string | null;
}

/** Its own, not the VIP: where a layer-7 balancer listens. */
export function balancerAddress(name: string): string {
  return BALANCER_ADDRESSES[name];
}

/** What the router's routing table says for the VIP while these balancers live. */
export function vipNextHops(balancers: readonly string[]): string[] {
  return balancers.map(balancerAddress);
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
 */
export function sharedLan(backendCount: number, options: LanOptions = {}): Topology {
  const { balancers = ['lb'], longCableOf = null } = options;
  const backends = backendNames(backendCount);
  // A balancer that takes no VIP is still a host of the LAN: a layer-7 balancer has an address of its own.
  const balancerHosts = balancers.length === 0 ? ['lb'] : balancers;
  const onLan = [...balancerHosts, ...backends];
  return {
    hosts: [
      { name: 'client', addresses: { eth0: [`${CLIENT_ADDRESS}/24`] }, routes: [{ to: 'default', via: '198.18.0.1' }] },
      {
        name: 'router',
        addresses: { client: ['198.18.0.1/24'], br0: [`${ROUTER_LAN_ADDRESS}/24`] },
        bridges: { br0: onLan },
        // What BGP would announce: the VIP is behind the balancers.
        routes: balancers.length === 0 ? [] : [{ to: `${VIP}/32`, via: vipNextHops(balancers) }],
        sysctls: { 'ipv4/ip_forward': 1, ...(balancers.length > 1 ? HASH_PORTS_TOO : {}) },
      },
      ...balancerHosts.map((name) => ({
        name,
        addresses: { eth0: [`${balancerAddress(name)}/24`] },
        routes: [{ to: 'default', via: ROUTER_LAN_ADDRESS }],
      })),
      ...backends.map((name) => ({
        name,
        addresses: { eth0: [`${backendAddress(name)}/24`], lo: [`${VIP}/32`] },
        routes: [{ to: 'default', via: ROUTER_LAN_ADDRESS }],
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
