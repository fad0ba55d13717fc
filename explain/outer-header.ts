/**
 * What the forwarder put in front of a packet, read from the frame that it sent: explain/explain.ts shows it. Of the fields
 * that are copied from the client's packet (DSCP, ECN, DF, identification) there is nothing to say beforehand.
 */
import type { ServiceConfig } from '../lb/config.ts';
import { formatAddress, formatMac } from '../wire/address.ts';
import { ETHERNET_HEADER_LENGTH } from '../wire/ethernet.ts';
import * as ipv4 from '../wire/ipv4.ts';
import * as ipv6 from '../wire/ipv6.ts';
import * as udp from '../wire/udp.ts';

/** Where the addresses of IPv4 stand (RFC 791). */
const IPV4_SOURCE = 12;

export interface OuterHeader {
  readonly encap: ServiceConfig['encap'];
  /** The frame's. Null where nobody has asked the network. */
  readonly sourceMac: string | null;
  readonly destinationMac: string | null;
  /** Null with `l2`, which adds no header; `source` also where nobody has asked the network. */
  readonly source: string | null;
  readonly destination: string | null;
  /** Of what stands behind the outer IP header: 4, 41, 17 or 47; null with `l2`. */
  readonly protocol: number | null;
  /** Or hop limit. Null with `l2`, and with `outerTtl: copy`, where it is the client packet's. */
  readonly ttl: number | null;
  /** IPv6 only. */
  readonly flowLabel: number | null;
  /** GUE only. */
  readonly sourcePort: number | null;
  readonly port: number | null;
  readonly variant: 0 | 1 | null;
  /** Bytes that it adds. */
  readonly bytes: number;
}

const NO_HEADER = {
  source: null,
  destination: null,
  protocol: null,
  ttl: null,
  flowLabel: null,
  sourcePort: null,
  port: null,
  variant: null,
  bytes: 0,
};

/**
 * Of the frame that was sent for `service` with a packet that came in a frame of `length` bytes; `isMadeUp`: its MACs and
 * outer source are not those of a network.
 */
export function readOuterHeader(
  frame: Uint8Array,
  length: number,
  service: ServiceConfig,
  isMadeUp: boolean,
): OuterHeader {
  const { encap, gue, outerTtl } = service;
  const known = <T>(value: T): T | null => (isMadeUp ? null : value);
  const macs = {
    encap,
    sourceMac: known(formatMac(frame.subarray(6, 12))),
    destinationMac: known(formatMac(frame.subarray(0, 6))),
  };
  if (encap === 'l2') return { ...macs, ...NO_HEADER };
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  const ip = ETHERNET_HEADER_LENGTH;
  const isIpv6 = ipv4.version(view, ip) === 6;
  const [at, size] = isIpv6 ? [ip + ipv6.SOURCE, 16] : [ip + IPV4_SOURCE, 4];
  const l4 = ip + (isIpv6 ? ipv6.IPV6_HEADER_LENGTH : ipv4.IPV4_HEADER_LENGTH);
  const ttl = isIpv6 ? ipv6.hopLimit(view, ip) : ipv4.ttl(view, ip);
  return {
    ...macs,
    source: known(formatAddress(frame.slice(at, at + size))),
    destination: formatAddress(frame.slice(at + size, at + 2 * size)),
    protocol: isIpv6 ? ipv6.nextHeader(view, ip) : ipv4.protocol(view, ip),
    ttl: outerTtl === 'copy' ? null : ttl,
    flowLabel: isIpv6 ? ipv6.flowLabel(view, ip) : null,
    sourcePort: gue === null ? null : udp.sourcePort(view, l4),
    port: gue === null ? null : udp.destinationPort(view, l4),
    variant: gue === null ? null : gue.variant,
    bytes: frame.length - length,
  };
}
