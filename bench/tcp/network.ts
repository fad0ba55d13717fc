/**
 * The network of case `real-tcp`: one client, one LAN with the backends and a host for each balancer, so that all subjects
 * stand ready at the same time and are loaded in turn. Who is between client and backends depends on the address alone:
 *
 * ```
 *                                  ╔═ hushlb  .10  takes 198.18.10.2, and 198.18.10.3 for tunnels
 *   client ───── router ══ br0 ════╬═ nat     .11  owns 198.18.10.4
 *   198.18.0.2   198.18.2.254      ╠═ haproxy .12  listens on its own address
 *                                  ╠═ nginx   .13  listens on its own address
 *                                  ╠═ b1, b2       own 198.18.10.1, over which the router spreads it, and 198.18.10.2
 *                                  ╚═ b3, b4       own 198.18.10.3, and end tunnels
 * ```
 */
import { setOffloads } from '../../io/ethtool.ts';
import { inNamespace } from '../../io/namespace.ts';
import { buildNetwork, type Network } from '../../lab/network.ts';
import { type Cable, CLIENT_ADDRESS, type HostDescription, type Topology } from '../../lab/topology.ts';

/** A host on the LAN: its name, which is also that of the router's interface to it, and its address. */
export type LanHost = readonly [name: string, address: string];

export const CLIENT = 'client';
export const BACKENDS: readonly LanHost[] = [
  ['b1', '198.18.2.1'],
  ['b2', '198.18.2.2'],
];
/** Apart from the others, whose packets no XDP program is to look at. */
export const TUNNELLED_BACKENDS: readonly LanHost[] = [
  ['b3', '198.18.2.3'],
  ['b4', '198.18.2.4'],
];
export const HUSHLB: LanHost = ['hushlb', '198.18.2.10'];
export const NAT: LanHost = ['nat', '198.18.2.11'];
export const HAPROXY: LanHost = ['haproxy', '198.18.2.12'];
export const NGINX: LanHost = ['nginx', '198.18.2.13'];

/** Addresses that the router has a route for. */
export const VIPS = { straight: '198.18.10.1', l2: '198.18.10.2', ipip: '198.18.10.3', nat: '198.18.10.4' } as const;

const ROUTER = 'router';
const ROUTER_ADDRESS = '198.18.2.254';

/** A connection a request: without, a host would run out of ports for as long as TIME-WAIT lasts. */
const REUSE_PORTS = { 'ipv4/tcp_tw_reuse': 1 };

/** Builds it for the run `runId`. Throws LabError; what it made until then is for `removeRun` to clear. */
export function buildTcpNetwork(runId: string): Network {
  const network = buildNetwork(runId, tcpTopology());
  // The lab turns these off everywhere. Here balancers and backends are to have what a NIC would give them. What reaches them is as a
  // wire would carry it: the router's ends and the client send whole frames with their checksum, which AF_XDP needs.
  for (const { host, interface: name } of network.topology.cables.flat()) {
    if (host === CLIENT || host === ROUTER) continue;
    inNamespace(network.namespace(host), () => setOffloads(name, { txChecksum: true, tso: true, gso: true }));
  }
  return network;
}

function tcpTopology(): Topology {
  const lan = [
    ...[HUSHLB, HAPROXY, NGINX].map(onLan),
    natHost(),
    ...BACKENDS.map((host) => backend(host, [VIPS.straight, VIPS.l2])),
    ...TUNNELLED_BACKENDS.map((host) => backend(host, [VIPS.ipip])),
  ];
  const names = lan.map(({ name }) => name);
  return {
    hosts: [
      {
        name: CLIENT,
        addresses: { eth0: [`${CLIENT_ADDRESS}/24`] },
        routes: [{ to: 'default', via: '198.18.0.1' }],
        sysctls: REUSE_PORTS,
      },
      {
        name: ROUTER,
        addresses: { [CLIENT]: ['198.18.0.1/24'], br0: [`${ROUTER_ADDRESS}/24`] },
        bridges: { br0: names },
        routes: [
          { to: `${VIPS.straight}/32`, via: BACKENDS.map(([, address]) => address) },
          ...[VIPS.l2, VIPS.ipip].map((vip) => ({ to: `${vip}/32`, via: HUSHLB[1] })),
          { to: `${VIPS.nat}/32`, via: NAT[1] },
        ],
        // Connections, and not clients, are spread over the backends.
        sysctls: { 'ipv4/ip_forward': 1, 'ipv4/fib_multipath_hash_policy': 1 },
      },
      ...lan,
    ],
    cables: [CLIENT, ...names].map(
      (name): Cable => [
        { host: name, interface: 'eth0' },
        { host: ROUTER, interface: name },
      ],
    ),
  };
}

function onLan([name, address]: LanHost): HostDescription {
  return {
    name,
    addresses: { eth0: [`${address}/24`] },
    routes: [{ to: 'default', via: ROUTER_ADDRESS }],
    sysctls: REUSE_PORTS,
  };
}

/** It owns the VIP, and sends on what its rules give another destination. */
function natHost(): HostDescription {
  return {
    ...onLan(NAT),
    addresses: { eth0: [`${NAT[1]}/24`], lo: [`${VIPS.nat}/32`] },
    sysctls: { 'ipv4/ip_forward': 1, 'ipv4/conf/all/send_redirects': 0, 'ipv4/conf/default/send_redirects': 0 },
  };
}

/** Several hosts own the same address: none answers ARP for it. */
function backend(host: LanHost, vips: readonly string[]): HostDescription {
  return {
    ...onLan(host),
    addresses: { eth0: [`${host[1]}/24`], lo: vips.map((vip) => `${vip}/32`) },
    sysctls: { 'ipv4/conf/all/arp_ignore': 1, 'ipv4/conf/all/arp_announce': 2 },
  };
}
