/**
 * The one network of case `stateful-stateless`: every subject has a balancer, a spare one and a VIP of its own, all share the
 * client, the router and the backends, so that the same thing happens to all at the same time under the same load.
 *
 * ```
 *   client ──── router ════╦═══ lb1, sp1     take 198.18.10.1
 *   198.18.0.2             ╠═══ lb2, sp2     take 198.18.10.2
 *   load (from here) ══════╬═══ …
 *                          ╚═══ b1, b2, b3, b4   all VIPs on lo
 * ```
 */
import type { HostDescription, Topology } from '../../lab/topology.ts';

export const CLIENT_ADDRESS = '198.18.0.2';
export const PORT = 80;
/** Sources of all that the load program makes up; what is answered to them ends at the router. */
export const SPOOFED = '198.19.0.0/16';
export const BACKENDS = ['b1', 'b2', 'b3', 'b4'];
/** Takes the place of the backends where only the balancer is to be measured. */
export const SINK = 'b9';

const ROUTER_ADDRESS = '198.18.2.254';

export interface Seat {
  /** Hosts: the first one takes the VIP until it fails. */
  readonly balancers: readonly [string, string];
  readonly vip: string;
  /** It forwards as a router does, both ways. */
  readonly routes: boolean;
}

/** The place of a subject, counted from 0. */
export function seatOf(index: number, routes: boolean): Seat {
  const number = index + 1;
  return { balancers: [`lb${number}`, `sp${number}`], vip: `198.18.10.${number}`, routes };
}

export function balancerAddress(host: string): string {
  return `198.18.2.${host.startsWith('sp') ? 2 : 1}${host.slice(2)}`;
}

export function backendAddress(name: string): string {
  return `198.18.2.${name.slice(1)}`;
}

export function topologyFor(seats: readonly Seat[]): Topology {
  const balancers = seats.flatMap((seat) => seat.balancers.map((name) => balancerHost(name, seat)));
  const vips = seats.map(({ vip }) => `${vip}/32`);
  const backends = BACKENDS.map(
    (name): HostDescription => ({
      name,
      addresses: { eth0: [`${backendAddress(name)}/24`], lo: vips },
      routes: [{ to: 'default', via: ROUTER_ADDRESS }],
      sysctls: { 'ipv4/conf/all/arp_ignore': 1, 'ipv4/conf/all/arp_announce': 2, 'ipv4/tcp_syncookies': 1 },
    }),
  );
  const sink: HostDescription = { name: SINK, addresses: { eth0: [`${backendAddress(SINK)}/24`] } };
  const onLan = [...balancers, ...backends, sink].map(({ name }) => name);
  return {
    hosts: [
      { name: 'client', addresses: { eth0: [`${CLIENT_ADDRESS}/24`] }, routes: [{ to: 'default', via: '198.18.0.1' }] },
      {
        name: 'router',
        addresses: { client: ['198.18.0.1/24'], br0: [`${ROUTER_ADDRESS}/24`] },
        bridges: { br0: onLan },
        routes: seats.map(({ vip, balancers: [first] }) => ({ to: `${vip}/32`, via: balancerAddress(first) })),
        sysctls: { 'ipv4/ip_forward': 1, 'ipv4/conf/all/send_redirects': 0, 'ipv4/conf/default/send_redirects': 0 },
      },
      ...balancers,
      ...backends,
      sink,
    ],
    cables: ['client', ...onLan].map((host) => [
      { host, interface: 'eth0' },
      { host: 'router', interface: host },
    ]),
  };
}

function balancerHost(name: string, { vip, routes }: Seat): HostDescription {
  return {
    name,
    addresses: { eth0: [`${balancerAddress(name)}/24`], ...(routes ? { lo: [`${vip}/32`] } : {}) },
    routes: [{ to: 'default', via: ROUTER_ADDRESS }],
    ...(routes
      ? {
          sysctls: {
            'ipv4/ip_forward': 1,
            'ipv4/conf/all/send_redirects': 0,
            'ipv4/conf/default/send_redirects': 0,
            // As silent about the VIP as the backends are, which have it too.
            'ipv4/conf/all/arp_ignore': 1,
            'ipv4/conf/all/arp_announce': 2,
          },
        }
      : {}),
  };
}
