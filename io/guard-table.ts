/**
 * The rules of nftables that drop what the socket filter lets through, as text for nft: for io/tap-guard.ts, where the
 * kernel has no TCX. They say what io/steering-program.ts says, with these differences, all of frames that hardly occur:
 *
 * - two VLAN tags: the rules don't see behind the second, so the kernel keeps its copy;
 * - more than six extension headers, or hop-by-hop options that come late: the rules drop what no socket got;
 * - headers that are cut or lie about a length: the rules and the program differ, and the kernel answers to none of them.
 */
import { isAllPorts, type PortRange } from './port-prefixes.ts';
import type { SteeredService, SteeringOptions } from './service-map.ts';

/** Before all other rules. */
const PRIORITY = -500;

/** The table, without services. `meta protocol` is what stands behind the tag that the kernel took off. */
export function guardTable(table: string, interfaceName: string): string {
  const lines = [
    `add table netdev ${table} { flags owner; }`,
    ...[4, 6].flatMap((version) => [
      `add set netdev ${table} services${version} { type ipv${version}_addr . inet_proto . inet_service; flags interval; }`,
      `add set netdev ${table} protocols${version} { type ipv${version}_addr . inet_proto; }`,
      `add set netdev ${table} vips${version} { type ipv${version}_addr; }`,
      `add set netdev ${table} echo${version} { type ipv${version}_addr; }`,
      `add chain netdev ${table} of_ipv${version}`,
    ]),
    `add chain netdev ${table} ingress { type filter hook ingress device "${interfaceName}" priority ${PRIORITY}; }`,
    ...[
      'of_ipv4 ip frag-off & 0x1fff != 0 ip daddr . ip protocol @protocols4 drop',
      'of_ipv4 ip frag-off & 0x1fff != 0 accept',
      'of_ipv4 ip daddr . ip protocol . th dport @services4 drop',
      'of_ipv4 ip frag-off & 0x3fff != 0 accept',
      'of_ipv4 icmp type { 3, 11, 12 } ip daddr @vips4 drop',
      'of_ipv4 icmp type 8 ip daddr @echo4 drop',
      'of_ipv6 rt seg-left != 0 accept',
      'of_ipv6 frag frag-off != 0 ip6 daddr . meta l4proto @protocols6 drop',
      'of_ipv6 frag frag-off != 0 frag nexthdr 60 ip6 daddr @vips6 drop',
      'of_ipv6 frag frag-off != 0 accept',
      'of_ipv6 ip6 daddr . meta l4proto . th dport @services6 drop',
      'of_ipv6 frag more-fragments 1 accept',
      'of_ipv6 icmpv6 type { 1, 2, 3, 4 } ip6 daddr @vips6 drop',
      'of_ipv6 icmpv6 type 128 ip6 daddr @echo6 drop',
      'ingress meta pkttype != host accept',
      'ingress meta protocol ip goto of_ipv4',
      'ingress meta protocol ip6 goto of_ipv6',
    ].map((rule) => `add rule netdev ${table} ${rule}`),
  ];
  return lines.join('; ');
}

/** Replaces the services of the table: one line, and so one transaction. */
export function guardElements(
  table: string,
  services: readonly SteeredService[],
  { echo = 'kernel' }: SteeringOptions = {},
): string {
  const fill = (set: string, elements: readonly string[]) => {
    const list = [...new Set(elements)].join(', ');
    return [
      `flush set netdev ${table} ${set}`,
      ...(list === '' ? [] : [`add element netdev ${table} ${set} { ${list} }`]),
    ];
  };
  const lines = [4, 6].flatMap((version) => {
    const own = services.filter(({ address }) => address.length === (version === 4 ? 4 : 16));
    const rangesOf = new Map<string, PortRange[]>();
    for (const { address, protocol, ports } of own) {
      const key = `${textOf(address)} . ${protocol}`;
      rangesOf.set(key, [...(rangesOf.get(key) ?? []), isAllPorts(ports) ? { first: 0, last: ports.last } : ports]);
    }
    const vips = own.map(({ address }) => textOf(address));
    return [
      ...fill(
        `services${version}`,
        [...rangesOf].flatMap(([key, ranges]) => merged(ranges).map(({ first, last }) => `${key} . ${first}-${last}`)),
      ),
      ...fill(`protocols${version}`, [...rangesOf.keys()]),
      ...fill(`vips${version}`, vips),
      ...fill(`echo${version}`, echo === 'kernel' ? [] : vips),
    ];
  });
  return lines.join('; ');
}

/** Sets of nftables refuse elements that overlap. */
function merged(list: readonly PortRange[]): PortRange[] {
  const ranges: PortRange[] = [];
  for (const { first, last } of list.toSorted((a, b) => a.first - b.first)) {
    const before = ranges.at(-1);
    if (before === undefined || first > before.last) ranges.push({ first, last });
    else ranges[ranges.length - 1] = { first: before.first, last: Math.max(before.last, last) };
  }
  return ranges;
}

function textOf(address: Uint8Array): string {
  if (address.length === 4) return address.join('.');
  const groups = Array.from({ length: 8 }, (_, i) => (address[2 * i] << 8) | address[2 * i + 1]);
  return groups.map((group) => group.toString(16)).join(':');
}
