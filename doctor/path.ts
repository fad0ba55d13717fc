/**
 * The balancer's way to each backend: a route through its interface, a next hop that answers, and room for the headers that
 * the encapsulation adds to a client's packet of full size.
 */
import { type Finding, tell } from './finding.ts';
import { withLength } from './target.ts';

const { ok, note, warning, error } = tell('path');

/** What a network of Ethernet carries, and so what clients send. */
export const FULL_SIZE = 1500;

export type Way =
  | { readonly kind: 'none' }
  /** An address of this host. */
  | { readonly kind: 'local' }
  /** Through an interface that is not the balancer's. */
  | { readonly kind: 'elsewhere'; readonly interface: string }
  | {
      readonly kind: 'link';
      /** The next hop: a gateway, or the backend. */
      readonly via: string;
      /** `unasked`: the kernel knows nothing of it, and doctor may not ask. */
      readonly neighbour: 'answers' | 'silent' | 'unasked';
      /** Of the route, or else of the interface. */
      readonly mtu: number;
      readonly onLink: boolean;
    };

export interface BackendPath {
  readonly service: string;
  readonly backend: string;
  readonly address: string;
  readonly encap: string;
  /** Bytes that are put in front of a packet for this backend. */
  readonly overhead: number;
  /** What a SYN may announce leaves room for the headers on the clients' way (`mssClamp` of the balancer bounds answers only). */
  readonly protocol: 'tcp' | 'udp';
  readonly way: Way;
}

export interface PathFacts {
  readonly interface: string;
  /** Of the interface's own networks, one holds `address`. */
  isOnLink(address: string): boolean;
  /** A gateway behind the interface that the kernel knows; undefined where none is known. */
  gatewayFor(address: string): string | undefined;
  readonly backends: readonly BackendPath[];
}

export function judgePaths(facts: PathFacts): Finding[] {
  const byAddress = new Map<string, BackendPath[]>();
  for (const path of facts.backends) byAddress.set(path.address, [...(byAddress.get(path.address) ?? []), path]);
  const findings: Finding[] = [];
  const reached: BackendPath[] = [];
  for (const paths of byAddress.values()) {
    const problem = judgeWay(facts, paths[0]);
    if (problem !== undefined) findings.push(problem);
    else reached.push(...paths);
  }
  const addresses = new Set(reached.map(({ address }) => address));
  if (addresses.size > 0) {
    const all = addresses.size === byAddress.size ? 'all ' : '';
    findings.push(ok('path', `a way to ${all}${addresses.size} backend${addresses.size === 1 ? '' : 's'}`));
  }
  return [...findings, ...judgeRoom(facts, reached)];
}

function judgeWay(facts: PathFacts, path: BackendPath): Finding | undefined {
  const { address, way, service, backend } = path;
  const who = `${service}/${backend} (${address})`;
  if (way.kind === 'none') {
    return error('no-route', `no route leads to ${who}`, 'hushlb does not start with a backend that it cannot reach', [
      routeCommand(facts, address),
    ]);
  }
  if (way.kind === 'local') {
    return error(
      'backend-local',
      `${who} is an address of this host`,
      "a backend is another host: packets for oneself don't go over the link. Name the backend's own address",
    );
  }
  if (way.kind === 'elsewhere') {
    return error(
      'route-elsewhere',
      `the route to ${who} leads through ${way.interface}, not ${facts.interface}`,
      'hushlb sends out of the interface where packets came in',
      [routeCommand(facts, address)],
    );
  }
  if (way.neighbour === 'silent') {
    const question = way.via.includes(':') ? 'neighbour solicitations' : 'ARP';
    return error(
      'next-hop-silent',
      `${way.via}, the next hop to ${who}, does not answer ${question} on ${facts.interface}`,
      'without its MAC address nothing can be sent there: its packets are dropped as no-neighbour',
      [{ command: 'ip link set eth0 up', on: way.onLink ? backend : way.via }],
    );
  }
  if (way.neighbour === 'unasked') {
    return note(
      'next-hop-unasked',
      `the kernel does not know the MAC address of ${way.via}, the next hop to ${who}`,
      'hushlb asks for it at its start; only root may ask now',
      [`ping -c 1 ${address}`],
    );
  }
  return undefined;
}

function routeCommand({ interface: name, isOnLink, gatewayFor }: PathFacts, address: string): string {
  const prefix = withLength(address);
  if (isOnLink(address)) return `ip route replace ${prefix} dev ${name}`;
  return `ip route replace ${prefix} via ${gatewayFor(address) ?? 'GATEWAY'} dev ${name}`;
}

/**
 * A full packet and its headers in the next hop's MTU. That of the links behind is for `--probe`; and whether backends announce
 * an MSS that leaves room is theirs to say, so that this is a note: doctor on the backend warns.
 */
function judgeRoom({ interface: name }: PathFacts, paths: readonly BackendPath[]): Finding[] {
  const tight = paths.filter(({ way, overhead }) => way.kind === 'link' && way.mtu < FULL_SIZE + overhead);
  if (tight.length === 0) {
    const most = Math.max(0, ...paths.map(({ overhead }) => overhead));
    return paths.length === 0 ? [] : [ok('mtu', `room for full packets and ${most} bytes of headers`)];
  }
  const needed = Math.max(...tight.map(({ overhead }) => FULL_SIZE + overhead));
  const mtu = Math.min(...tight.map(({ way }) => (way.kind === 'link' ? way.mtu : needed)));
  const encaps = [...new Set(tight.map(({ encap }) => encap))].join(', ');
  const found = `full packets of clients want ${needed} bytes with ${encaps}, the way to backends takes ${mtu}`;
  // Fewer than the smallest that IPv6 allows, less headers: handshakes pass and nothing else.
  if (mtu < 1280) {
    return [warning('mtu-small', found, 'uploads stall, or are cut', [`ip link set ${name} mtu ${needed}`])];
  }
  return [
    note(
      'mtu-tight',
      found,
      'one of two: a larger MTU here and on the way, or backends that announce a smaller MSS (doctor --backend looks there)',
      [{ command: `ip link set ${name} mtu ${needed}`, on: 'balancer, switches and backends' }],
    ),
  ];
}
