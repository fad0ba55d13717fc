/** Packet rows: every tunnel, of both families in both, and what is copied to the outer header. */
import { type Ipv4Fields, tcpPacket } from '../../packets.ts';
import { type Ipv6Fields, tcp6Packet } from '../../packets6.ts';
import type { TunnelFields } from '../../tunnels.ts';
import { frameOf, ipip, ipip6, ON_IPV6, ON_IPV6_BACKENDS, type Out, type PacketRow, tunnel, VIP_IPV6 } from './row.ts';

const PAYLOAD = { flags: 'PA', payload: 'GET / HTTP/1.1\r\n\r\n' } as const;
const packet4 = (ip: Ipv4Fields = {}, payload: string = PAYLOAD.payload) => tcpPacket({ ...PAYLOAD, payload, ip });
const packet6 = (ip: Ipv6Fields = {}, payload: string = PAYLOAD.payload) => tcp6Packet({ ...PAYLOAD, payload, ip });

/** Which backends (of which family) a VIP of which family has. */
const FAMILIES = {
  '4 in 4': { packet: packet4, isOuter6: false, ipHeader: 20, settings: {} },
  '6 in 4': { packet: packet6, isOuter6: false, ipHeader: 40, settings: { vip: `"${VIP_IPV6}"` } },
  '4 in 6': { packet: packet4, isOuter6: true, ipHeader: 20, settings: ON_IPV6_BACKENDS },
  '6 in 6': { packet: packet6, isOuter6: true, ipHeader: 40, settings: ON_IPV6 },
} as const;

/** An IPv6 packet is never fragmented on its way, and an atomic datagram of IPv4 around it says so (RFC 4213, 3.2.2). */
const around = (packet: readonly number[]): TunnelFields => (packet[0] >> 4 === 6 ? { id: 0 } : {});

const ENCAPS: Record<string, { service: string; bytes: number; fields: TunnelFields }> = {
  ipip: { service: 'encap: ipip', bytes: 0, fields: { encap: 'ipip' } },
  gre: { service: 'encap: gre', bytes: 4, fields: { encap: 'gre' } },
  gue: { service: 'encap: gue', bytes: 12, fields: { encap: 'gue' } },
  'gue, variant 1': {
    service: 'encap: gue\n    gue: { variant: 1, port: 5555 }',
    bytes: 8,
    fields: { encap: 'gue', variant: 1, port: 5555 },
  },
};

const EVERY_TUNNEL: PacketRow[] = Object.entries(FAMILIES).flatMap(
  ([families, { packet, isOuter6, ipHeader, settings }]) =>
    Object.entries(ENCAPS).flatMap(([encap, { service, bytes, fields }]): PacketRow[] => {
      const largest = 1500 - (isOuter6 ? 40 : 20) - bytes;
      const fits = packet({}, 'x'.repeat(largest - ipHeader - 20));
      const common = { ...settings, service };
      return [
        {
          ...common,
          name: `${families} by ${encap}`,
          in: frameOf(packet()),
          exit: 'forward',
          out: tunnel(packet(), isOuter6, { ...around(packet()), ...fields }),
        },
        {
          ...common,
          name: `${families} by ${encap}: ${largest} bytes fit`,
          in: frameOf(fits),
          exit: 'forward',
          out: tunnel(fits, isOuter6, { ...around(fits), ...fields }),
        },
      ];
    }),
);

const row = (name: string, packet: number[], out: Out, more: Partial<PacketRow> = {}): PacketRow => ({
  name,
  in: frameOf(packet),
  exit: 'forward',
  out,
  ...more,
});

const COPIED: PacketRow[] = [
  row(
    'DSCP and ECN, 6 in 4',
    packet6({ trafficClass: 0xb9 }),
    ipip(packet6({ trafficClass: 0xb9 }), { tos: 0xb9, id: 0 }),
    FAMILIES['6 in 4'].settings,
  ),
  row('DSCP and ECN, 4 in 6', packet4({ tos: 0x2b }), ipip6(packet4({ tos: 0x2b }), { tos: 0x2b }), ON_IPV6_BACKENDS),
  row(
    'DF is not needed around IPv4 in IPv6',
    packet4({ fragment: 0, id: 7 }),
    ipip6(packet4({ fragment: 0, id: 7 })),
    ON_IPV6_BACKENDS,
  ),
  row(
    'congestion that was met before, in GUE',
    packet4({ tos: 3 }),
    tunnel(packet4({ tos: 3 }), false, { encap: 'gue', tos: 3 }),
    { service: 'encap: gue' },
  ),
  row('outerTtl: 7', packet4(), ipip(packet4(), { ttl: 7 }), { service: 'outerTtl: 7' }),
  row('outerTtl: copy', packet4({ ttl: 33 }), ipip(packet4({ ttl: 33 }), { ttl: 33 }), { service: 'outerTtl: copy' }),
  row('outerTtl: copy of 255, 6 in 6', packet6({ hopLimit: 255 }), ipip6(packet6({ hopLimit: 255 }), { ttl: 255 }), {
    ...ON_IPV6,
    service: 'outerTtl: copy',
  }),
  row('outerTtl: 1, by GRE', packet4(), tunnel(packet4(), false, { encap: 'gre', ttl: 1 }), {
    service: 'encap: gre\n    outerTtl: 1',
  }),
];

export const TUNNEL_ROWS: readonly PacketRow[] = [...EVERY_TUNNEL, ...COPIED].map((each) => ({
  ...each,
  name: `tunnel: ${each.name}`,
}));
