/**
 * What a balancer sends to a backend, for tests: the packet of a client behind the headers of a tunnel, built byte by byte
 * from the RFCs and on purpose not with dsr/ or wire/.
 */
import { ipv4Packet } from './packets.ts';
import { bytesOfAddress, ETHERTYPE_IPV6, ipv6Packet } from './packets6.ts';

export interface TunnelFields {
  encap?: 'ipip' | 'gue' | 'gre';
  /** Outer addresses, of either family. */
  source?: string;
  destination?: string;
  tos?: number;
  ttl?: number;
  /** Of IPv4. */
  id?: number;
  fragment?: number;
  options?: number[];
  /** Of IPv6. */
  flowLabel?: number;
  extensions?: readonly (readonly [number: number, rest: readonly number[]])[];
  /** Of GUE. */
  variant?: 0 | 1;
  sourcePort?: number;
  port?: number;
  /** Lies: what stands between the outer header and the packet, and its number, instead of the truth. */
  between?: readonly number[];
  protocol?: number;
}

const u16 = (value: number): number[] => [value >> 8, value & 255];

export const familyOf = (packet: readonly number[]): 4 | 6 => (packet[0] >> 4 === 6 ? 6 : 4);
/** EtherType of a packet of either family. */
export const typeOf = (packet: readonly number[]): number => (familyOf(packet) === 6 ? ETHERTYPE_IPV6 : 0x0800);

/** The number of the protocol behind the outer header, and the bytes between that and the inner packet. */
function shim(inner: readonly number[], { encap = 'ipip', ...fields }: TunnelFields): [number, number[]] {
  const innerProtocol = familyOf(inner) === 6 ? 41 : 4;
  if (encap === 'ipip') return [innerProtocol, []];
  if (encap === 'gre') return [47, [0, 0, ...u16(typeOf(inner))]];
  const gue = fields.variant === 1 ? [] : [0, innerProtocol, 0, 0];
  const length = 8 + gue.length + inner.length;
  return [17, [...u16(fields.sourcePort ?? 0xc000), ...u16(fields.port ?? 6080), ...u16(length), 0, 0, ...gue]];
}

export function tunnelPacket(inner: readonly number[], fields: TunnelFields = {}): number[] {
  const [number, header] = shim(inner, fields);
  const payload = [...(fields.between ?? header), ...inner];
  const { source = '198.18.1.1', destination = '198.18.2.1', tos = 0, ttl = 64, protocol = number } = fields;
  if (bytesOfAddress(source).length === 16) {
    const { flowLabel = 0, extensions = [] } = fields;
    return ipv6Packet(source, destination, payload, {
      trafficClass: tos,
      hopLimit: ttl,
      flowLabel,
      extensions,
      protocol,
    });
  }
  const { id = 0x1234, fragment = 0x4000, options = [] } = fields;
  return ipv4Packet(source, destination, payload, { tos, ttl, id, fragment, options, protocol });
}
