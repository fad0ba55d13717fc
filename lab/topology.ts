/**
 * Networks as data: hosts, cables, addresses and routes, and nothing that acts. lab/network.ts builds what is described
 * here; a scenario that needs another network describes another one.
 */

/** A route as `ip route` takes it: `to` is a prefix or 'default', `via` the next hop's address. */
export interface Route {
  readonly to: string;
  readonly via: string;
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

/**
 * The lab's house network. Balancer and backends share a LAN, so both ways of direct server return work on it (IPIP, and
 * L2, which needs the backend's MAC); the backends' default route leads past the balancer, back to the client.
 *
 *     client ──── router ════╦═══ lb      198.18.2.10, takes the VIP
 *     198.18.0.2   route:    ╠═══ b1      198.18.2.1, VIP on lo
 *                  VIP → lb  ╠═══ b2      198.18.2.2, VIP on lo
 *                            ╚═══ …
 */
export function sharedLan(backendCount: number): Topology {
  const backends = backendNames(backendCount);
  const onLan = ['lb', ...backends];
  return {
    hosts: [
      { name: 'client', addresses: { eth0: [`${CLIENT_ADDRESS}/24`] }, routes: [{ to: 'default', via: '198.18.0.1' }] },
      {
        name: 'router',
        addresses: { client: ['198.18.0.1/24'], br0: [`${ROUTER_LAN_ADDRESS}/24`] },
        bridges: { br0: onLan },
        // What BGP would announce: the VIP is behind the balancer.
        routes: [{ to: `${VIP}/32`, via: BALANCER_ADDRESS }],
        sysctls: { 'ipv4/ip_forward': 1 },
      },
      {
        name: 'lb',
        addresses: { eth0: [`${BALANCER_ADDRESS}/24`] },
        routes: [{ to: 'default', via: ROUTER_LAN_ADDRESS }],
      },
      ...backends.map((name) => ({
        name,
        addresses: { eth0: [`${backendAddress(name)}/24`], lo: [`${VIP}/32`] },
        routes: [{ to: 'default', via: ROUTER_LAN_ADDRESS }],
        // All backends own the VIP, on the same LAN: none may answer ARP for it or name it in an ARP request, or the
        // router would learn one of them as the VIP's owner.
        sysctls: { 'ipv4/conf/all/arp_ignore': 1, 'ipv4/conf/all/arp_announce': 2 },
      })),
    ],
    cables: [
      [
        { host: 'client', interface: 'eth0' },
        { host: 'router', interface: 'client' },
      ],
      ...onLan.map(
        (name): Cable => [
          { host: name, interface: 'eth0' },
          { host: 'router', interface: name },
        ],
      ),
    ],
  };
}
