/**
 * The network of case `real-tcp`: one LAN with the client, the backends and a host for each balancer, so that all subjects stand
 * ready at the same time and are loaded in turn. Who is between client and backends depends on the address alone, by the
 * client's routes:
 *
 * ```
 *                      ╔═ hushlb  .10  takes 198.18.10.2, and 198.18.10.3 for tunnels
 *   client ─── br0 ════╬═ nat     .11  owns 198.18.10.4
 *   198.18.2.100       ╠═ haproxy .12  listens on its own address
 *                      ╠═ nginx   .13  listens on its own address
 *                      ╠═ b1, b2       own 198.18.10.1, over which the client's route spreads it, and 198.18.10.2
 *                      ╚═ b3, b4       own 198.18.10.3, and end tunnels
 * ```
 */
import { existsSync } from 'node:fs';
import { setOffloads } from '../../io/ethtool.ts';
import { inNamespace } from '../../io/namespace.ts';
import { buildNetwork, type Network, writeSysctls } from '../../lab/network.ts';
import type { Cable, HostDescription, Topology } from '../../lab/topology.ts';

/** A host on the LAN: its name, which is also that of the switch's interface to it, and its address. */
export type LanHost = readonly [name: string, address: string];

export const CLIENT: LanHost = ['client', '198.18.2.100'];
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

/** Addresses that the client has a route for. */
export const VIPS = { straight: '198.18.10.1', l2: '198.18.10.2', ipip: '198.18.10.3', nat: '198.18.10.4' } as const;

const SWITCH = 'switch';

/** A connection a request: without, a host would run out of ports for as long as TIME-WAIT lasts. */
const REUSE_PORTS = { 'ipv4/tcp_tw_reuse': 1 };

/** Builds it for the run `runId`. Throws LabError; what it made until then is for `removeRun` to clear. */
export function buildTcpNetwork(runId: string): Network {
  const network = buildNetwork(runId, tcpTopology());
  // The lab turns these off everywhere. Here the kernel's paths are to have what a NIC would give them; only the client, whose
  // segments reach AF_XDP, sends them whole: with their checksum, one frame each.
  for (const { host, interface: name } of network.topology.cables.flat()) {
    if (host === CLIENT[0]) continue;
    inNamespace(network.namespace(host), () => setOffloads(name, { txChecksum: true, tso: true, gso: true }));
  }
  // The kernel's bridge has netfilter look at what it switches, which a switch doesn't. Where it cannot, there is no such setting.
  const bridge = network.namespace(SWITCH);
  if (inNamespace(bridge, () => existsSync('/proc/sys/net/bridge'))) {
    writeSysctls(bridge, { 'bridge/bridge-nf-call-iptables': 0 });
  }
  return network;
}

function tcpTopology(): Topology {
  const lan = [
    client(),
    ...[HUSHLB, HAPROXY, NGINX].map(onLan),
    natHost(),
    ...BACKENDS.map((host) => backend(host, [VIPS.straight, VIPS.l2])),
    ...TUNNELLED_BACKENDS.map((host) => backend(host, [VIPS.ipip])),
  ];
  const names = lan.map(({ name }) => name);
  return {
    hosts: [{ name: SWITCH, addresses: {}, bridges: { br0: names } }, ...lan],
    cables: names.map(
      (name): Cable => [
        { host: name, interface: 'eth0' },
        { host: SWITCH, interface: name },
      ],
    ),
  };
}

function client(): HostDescription {
  return {
    ...onLan(CLIENT),
    routes: [
      { to: `${VIPS.straight}/32`, via: BACKENDS.map(([, address]) => address) },
      ...[VIPS.l2, VIPS.ipip].map((vip) => ({ to: `${vip}/32`, via: HUSHLB[1] })),
      { to: `${VIPS.nat}/32`, via: NAT[1] },
    ],
    // A route of several next hops is to spread connections.
    sysctls: { ...REUSE_PORTS, 'ipv4/fib_multipath_hash_policy': 1 },
  };
}

function onLan([name, address]: LanHost): HostDescription {
  return {
    name,
    addresses: { eth0: [`${address}/24`] },
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
