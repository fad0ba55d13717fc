/**
 * Builds a described network (lab/topology.ts) out of network namespaces, one a host, in well under a second: `ip` reads
 * its commands in batches, so that a host costs one process. lab/experiment.ts calls it; lab/runs.ts takes it down.
 */
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { setOffloads } from '../io/ethtool.ts';
import { inNamespace } from '../io/namespace.ts';
import type { Family } from './addresses.ts';
import { LabError } from './errors.ts';
import { namespaceName } from './runs.ts';
import type { HostDescription, Route, Topology } from './topology.ts';

export interface Network {
  readonly topology: Topology;
  /** The namespace of a host of the topology. */
  namespace(host: string): string;
}

/** Builds `topology` for the run `runId`. Throws LabError; what it made until then is for `removeRun` to clear. */
export function buildNetwork(runId: string, topology: Topology): Network {
  const namespace = (host: string): string => namespaceName(runId, host);
  ip(topology.hosts.map((host) => `netns add ${namespace(host.name)}`));
  for (const host of topology.hosts)
    writeSysctls(namespace(host.name), { ...QUIET_HOST, ...ipv6Sysctls(topology.family ?? 4), ...host.sysctls });
  ip(
    topology.cables.map(
      ([a, b]) =>
        // An XDP program on a veth end needs as many RX queues there as the peer has TX queues: one each.
        `link add name ${a.interface} netns ${namespace(a.host)} numtxqueues 1 numrxqueues 1 type veth ` +
        `peer name ${b.interface} netns ${namespace(b.host)} numtxqueues 1 numrxqueues 1`,
    ),
  );
  for (const host of topology.hosts) {
    ip(hostCommands(host, topology), namespace(host.name));
    const rules = (host.rules ?? []).map((rule) => `rule add ${rule}`);
    if (rules.length > 0) ip(rules, namespace(host.name), topology.family);
  }
  for (const { host, interface: name } of topology.cables.flat()) {
    // veth hands packets over with their TCP checksum still to be computed, and several segments glued together: right
    // between two kernels, but XDP and AF_XDP see such a frame as it is, forward it, and the receiver drops it.
    inNamespace(namespace(host), () => setOffloads(name, { txChecksum: false, tso: false, gso: false }));
  }
  return { topology, namespace };
}

// These settings are inherited from the machine, so each that matters is set. Answers leave a backend from the VIP and
// by another way than the request came: no reverse-path check may stand in the way.
const QUIET_HOST: Readonly<Record<string, number>> = {
  'ipv4/ip_forward': 0,
  // Path MTU discovery by ICMP alone, as the hosts of the world have it: no guessing behind its back.
  'ipv4/tcp_mtu_probing': 0,
  'ipv4/ip_no_pmtu_disc': 0,
  'ipv4/conf/all/rp_filter': 0,
  'ipv4/conf/default/rp_filter': 0,
  // Frames on the bridge are for no firewall to see, also where a container engine has loaded br_netfilter.
  'bridge/bridge-nf-call-iptables': 0,
  'bridge/bridge-nf-call-ip6tables': 0,
  'bridge/bridge-nf-call-arptables': 0,
};

/** Off where it is not what the lab is about: captures stay quiet. Addresses are nobody else's, and usable at once. */
function ipv6Sysctls(family: Family): Record<string, number> {
  const settings =
    family === 4 ? { disable_ipv6: 1 } : { disable_ipv6: 0, accept_dad: 0, dad_transmits: 0, accept_ra: 0 };
  const quiet = Object.entries({ ...settings, router_solicitations: 0 });
  return Object.fromEntries(
    ['all', 'default'].flatMap((which) => quiet.map(([key, value]) => [`ipv6/conf/${which}/${key}`, value])),
  );
}

/** Below /proc/sys/net of a namespace. Throws LabError. */
export function writeSysctls(namespace: string, sysctls: Readonly<Record<string, number>>): void {
  inNamespace(namespace, () => {
    for (const [path, value] of Object.entries(sysctls)) {
      try {
        writeFileSync(`/proc/sys/net/${path}`, String(value));
      } catch (error) {
        // A kernel without IPv6 says the rest when it is given an address; bridges are seldom filtered.
        if (/^(ipv6|bridge)\//.test(path) && (error as NodeJS.ErrnoException).code === 'ENOENT') continue;
        throw new LabError('LAB_NETWORK', `could not set net/${path} in ${namespace}: ${(error as Error).message}`);
      }
    }
  });
}

function hostCommands(host: HostDescription, topology: Topology): string[] {
  const cabled = topology.cables
    .flat()
    .filter((end) => end.host === host.name)
    .map((end) => end.interface);
  const bridges = Object.entries(host.bridges ?? {});
  const interfaces = ['lo', ...cabled, ...bridges.map(([name]) => name)];
  return [
    ...bridges.map(([name]) => `link add ${name} type bridge stp_state 0 forward_delay 0 mcast_snooping 0`),
    ...bridges.flatMap(([name, ports]) => ports.map((port) => `link set ${port} master ${name}`)),
    ...Object.entries(host.addresses).flatMap(([name, list]) => list.map((each) => `address add ${each} dev ${name}`)),
    ...interfaces.map((name) => `link set ${name} up`),
    ...(host.routes ?? []).map((route) => `route add ${routeWords(route)}`),
  ];
}

/** Points a host of a running network's route elsewhere, as a routing protocol would. Throws LabError. */
export function replaceRoute(network: Network, host: string, route: Route): void {
  ip([`route replace ${routeWords(route)}`], network.namespace(host));
}

function routeWords({ to, via, advmss }: Route): string {
  const metrics = advmss === undefined ? '' : ` advmss ${advmss}`;
  const hops = typeof via === 'string' ? [via] : via;
  return hops.length === 1
    ? `${to} via ${hops[0]}${metrics}`
    : [to, ...hops.map((hop) => `nexthop via ${hop}`)].join(' ');
}

/** `family`: of rules, which don't tell it by their addresses. */
function ip(commands: readonly string[], namespace?: string, family: Family = 4): void {
  const where = [...(family === 6 ? ['-6'] : []), ...(namespace === undefined ? [] : ['-netns', namespace])];
  const { status, stderr, error } = spawnSync('ip', [...where, '-batch', '-'], {
    input: commands.join('\n'),
    encoding: 'utf8',
  });
  if (error !== undefined) throw new LabError('LAB_NETWORK', `could not run ip: ${error.message}`);
  if (status !== 0) {
    const failed = /Command failed -:(\d+)/.exec(stderr)?.[1];
    const command = failed === undefined ? '' : `'ip ${[...where, commands[Number(failed) - 1]].join(' ')}': `;
    throw new LabError('LAB_NETWORK', `could not build the network: ${command}${stderr.split('\n')[0]}`);
  }
}
