/**
 * Where the headers of a captured packet are: IPv4 or IPv6 with what stands between it and the transport, and the tunnels
 * that hushlb makes. lab/packets.ts reads what is inside. Packets may be cut short or lie: then there is nothing to find.
 */
import { formatAddress } from '../wire/address.ts';

export const PROTOCOL_TCP = 6;
export const PROTOCOL_UDP = 17;

/** How a tunnelled packet was carried. */
export type TunnelKind = 'IPIP' | 'GUE' | 'GRE';

export interface IpHeader {
  readonly source: string;
  readonly destination: string;
  /** Of the payload: past IPv6's extension headers. */
  readonly protocol: number;
  /** Offsets of the first byte behind the headers and behind the packet (the capture may end before). */
  readonly payload: number;
  readonly end: number;
}

/** The IP header at `offset`, or undefined where there is none, or none that is all there. */
export function readIp(view: DataView, offset: number): IpHeader | undefined {
  if (offset >= view.byteLength) return undefined;
  const version = view.getUint8(offset) >> 4;
  if (version === 4) return readIpv4(view, offset);
  return version === 6 ? readIpv6(view, offset) : undefined;
}

const IPV4_LENGTH = 20;

function readIpv4(view: DataView, offset: number): IpHeader | undefined {
  if (offset + IPV4_LENGTH > view.byteLength) return undefined;
  const fragmentOffset = view.getUint16(offset + 6) & 0x1fff;
  if (fragmentOffset !== 0) return undefined;
  return {
    source: addressAt(view, offset + 12, 4),
    destination: addressAt(view, offset + 16, 4),
    protocol: view.getUint8(offset + 9),
    payload: offset + (view.getUint8(offset) & 15) * 4,
    end: offset + view.getUint16(offset + 2),
  };
}

const IPV6_LENGTH = 40;
const [HOP_BY_HOP, ROUTING, FRAGMENT, DESTINATION_OPTIONS] = [0, 43, 44, 60];
const MAX_EXTENSIONS = 8;

function readIpv6(view: DataView, offset: number): IpHeader | undefined {
  if (offset + IPV6_LENGTH > view.byteLength) return undefined;
  let protocol = view.getUint8(offset + 6);
  let payload = offset + IPV6_LENGTH;
  for (let i = 0; i < MAX_EXTENSIONS; i++) {
    const isFragment = protocol === FRAGMENT;
    if (!isFragment && protocol !== HOP_BY_HOP && protocol !== ROUTING && protocol !== DESTINATION_OPTIONS) break;
    if (payload + 8 > view.byteLength) return undefined;
    if (isFragment && view.getUint16(payload + 2) >> 3 !== 0) return undefined;
    protocol = view.getUint8(payload);
    payload += isFragment ? 8 : (view.getUint8(payload + 1) + 1) * 8;
  }
  return {
    source: addressAt(view, offset + 8, 16),
    destination: addressAt(view, offset + 24, 16),
    protocol,
    payload,
    end: offset + IPV6_LENGTH + view.getUint16(offset + 4),
  };
}

function addressAt(view: DataView, offset: number, length: number): string {
  return formatAddress(new Uint8Array(view.buffer, view.byteOffset + offset, length));
}

export interface TunnelledPacket {
  readonly kind: TunnelKind;
  readonly inner: IpHeader;
}

const [PROTOCOL_IPIP, PROTOCOL_IPV6, PROTOCOL_GRE] = [4, 41, 47];
/** hushlb's, unless its configuration says another. */
const GUE_PORT = 6080;

/** The packet inside `outer`, where that is a tunnel's. */
export function openTunnel(view: DataView, outer: IpHeader): TunnelledPacket | undefined {
  const { protocol, payload } = outer;
  const as = (kind: TunnelKind, at: number | undefined): TunnelledPacket | undefined => {
    const inner = at === undefined ? undefined : readIp(view, at);
    return inner === undefined ? undefined : { kind, inner };
  };
  if (protocol === PROTOCOL_IPIP || protocol === PROTOCOL_IPV6) return as('IPIP', payload);
  if (protocol === PROTOCOL_GRE) return as('GRE', behindGre(view, payload));
  return protocol === PROTOCOL_UDP ? as('GUE', behindGue(view, payload)) : undefined;
}

/** RFC 2784, with the key and the sequence number of RFC 2890. */
function behindGre(view: DataView, offset: number): number | undefined {
  if (offset + 4 > view.byteLength || (view.getUint16(offset) & 7) !== 0) return undefined;
  const flags = view.getUint16(offset);
  const optional = [0x8000, 0x2000, 0x1000].filter((flag) => (flags & flag) !== 0).length;
  return offset + 4 + 4 * optional;
}

const UDP_LENGTH = 8;

/** draft-ietf-intarea-gue: variant 0 has a header of its own, of variant 1 the first bits are those of IP's version. */
function behindGue(view: DataView, offset: number): number | undefined {
  const gue = offset + UDP_LENGTH;
  if (gue + 4 > view.byteLength || view.getUint16(offset + 2) !== GUE_PORT) return undefined;
  const first = view.getUint8(gue);
  const variant = first >> 6;
  if (variant === 1) return gue;
  const isData = (first & 0x20) === 0;
  return variant === 0 && isData ? gue + 4 + (first & 0x1f) * 4 : undefined;
}
