/**
 * The kernel's own stateful balancer in hushlb's place: destination NAT by nftables, connection tracking, answers through
 * the balancer. A control of the matrix that hushlb had no hand in. lab/matrix-parts.ts puts it up.
 */
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { type Addresses, addressesOf } from './addresses.ts';
import { LabError } from './errors.ts';
import { ORDERINGS, timeoutsOf } from './matrix.ts';
import { portOf } from './matrix-plan.ts';
import type { Between } from './matrix-rows.ts';
import { writeSysctls } from './network.ts';
import type { Packet } from './packets.ts';
import { findProgram } from './programs.ts';
import { FORWARDING, type Topology } from './topology.ts';

/** Who is behind it. */
interface Scene {
  readonly backends: readonly string[];
  readonly addresses: Addresses;
}

type Nat = Extract<Between, { kind: 'nft' }>;

/** The balancer's host forwards, and owns the VIP, as it must where something else than NAT should answer for it. */
export function withNatHost(topology: Topology, name: string): Topology {
  const { vip, single } = addressesOf(topology.family ?? 4);
  const natHost = (host: Topology['hosts'][number]): Topology['hosts'][number] => ({
    ...host,
    addresses: { ...host.addresses, lo: [`${vip}/${single}`] },
    sysctls: { ...FORWARDING, 'ipv4/conf/all/send_redirects': 0, 'ipv4/conf/default/send_redirects': 0 },
  });
  return { ...topology, hosts: topology.hosts.map((host) => (host.name === name ? natHost(host) : host)) };
}

/** Loads the rules into a namespace; nothing is left running. Throws LabError. */
export function startNat(namespace: string, nat: Nat, scene: Scene, file: string): void {
  writeFileSync(file, natRules(nat, scene));
  const command = ['netns', 'exec', namespace, findProgram('nft') ?? 'nft', '-f', file];
  const { status, stderr, error } = spawnSync('ip', command, { encoding: 'utf8' });
  if (error !== undefined || status !== 0) {
    const why = error?.message ?? stderr.split('\n')[0];
    throw new LabError('LAB_NETWORK', `could not load the rules of nftables: ${why}`);
  }
  // The rules have brought connection tracking to the namespace, and with it its settings.
  writeSysctls(namespace, { 'netfilter/nf_conntrack_tcp_loose': nat.loose ? 1 : 0 });
}

/**
 * As nf_conntrack_tcp_timeout_established would, a `ct timeout` says how long a connection is remembered; that sysctl is
 * one for all connections, and each cell has a timeout of its own.
 */
function natRules({ pick }: Nat, { backends, addresses }: Scene): string {
  const { vip, client } = addresses;
  const ip = addresses.family === 6 ? 'ip6' : 'ip';
  const choice = pick === 'hash' ? `jhash ${ip} saddr . tcp sport` : 'numgen random';
  const targets = backends.map((name, i) => `${i} : ${addresses.backend(name)}`).join(', ');
  const cells = ORDERINGS.map((ordering, i) => ({
    port: portOf(i),
    name: `idle-${i + 1}`,
    seconds: timeoutsOf(ordering).balancer / 1000,
  }));
  const policies = cells.map(
    ({ name, seconds }) => `  ct timeout ${name} {
    protocol tcp
    l3proto ${ip}
    policy = { established : ${seconds} }
  }`,
  );
  const uses = cells.map(({ port, name }) => `    ${ip} daddr ${vip} tcp dport ${port} ct timeout set "${name}"`);
  return `table ${ip} lab {
${policies.join('\n')}
  chain remember {
    type filter hook prerouting priority mangle
${uses.join('\n')}
  }
  chain choose {
    type nat hook prerouting priority dstnat
    ${ip} daddr ${vip} tcp dport ${portOf(0)}-${portOf(cells.length - 1)} dnat to ${choice} mod ${backends.length} map { ${targets} }
  }
  chain answer {
    type nat hook postrouting priority srcnat
    ${ip} saddr ${client} masquerade
  }
}
`;
}

/**
 * A packet between the NAT's host and a backend as it was, or will be, between client and VIP. Masquerading keeps the
 * client's port where it is free, and the lab's client uses none twice.
 */
export function beforeNat(packet: Packet, { backends, addresses }: Scene): Packet {
  const { vip, client } = addresses;
  const balancer = addresses.balancer('lb');
  const servers = backends.map(addresses.backend);
  if (packet.source === balancer && servers.includes(packet.destination)) {
    return { ...packet, source: client, destination: vip };
  }
  if (packet.destination === balancer && servers.includes(packet.source)) {
    return { ...packet, source: vip, destination: client };
  }
  return packet.source === client && servers.includes(packet.destination) ? { ...packet, destination: vip } : packet;
}
