/**
 * What an RST says that the balancer sent by itself when a connection idled out (`onExpiry: reset`): no packet of the
 * capture is behind it, so its own headers are asked. replay/replay.ts comments such frames with it.
 */
import type { Config } from '../lb/config.ts';
import { hasPort } from '../lb/ports.ts';
import { formatAddress } from '../wire/address.ts';
import { ETHERNET_HEADER_LENGTH, ETHERTYPE_IPV6, etherType } from '../wire/ethernet.ts';
import { IPV4_HEADER_LENGTH } from '../wire/ipv4.ts';
import { IPV6_HEADER_LENGTH } from '../wire/ipv6.ts';
import { destinationPort, sourcePort, TCP_HEADER_LENGTH } from '../wire/tcp.ts';

interface Layout {
  readonly headerLength: number;
  readonly source: number;
  readonly destination: number;
  readonly addressLength: number;
}

const IPV4: Layout = { headerLength: IPV4_HEADER_LENGTH, source: 12, destination: 16, addressLength: 4 };
const IPV6: Layout = { headerLength: IPV6_HEADER_LENGTH, source: 8, destination: 24, addressLength: 16 };

/** `frame` is an RST of lb/expiry-reset.ts, to the client or, encapsulated as its service has it, to the backend. */
export function expiryResetText({ services }: Config, frame: Uint8Array): string {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  const outer = etherType(view, 0) === ETHERTYPE_IPV6 ? IPV6 : IPV4;
  const tcp = frame.length - TCP_HEADER_LENGTH;
  const isTunnelled = tcp > ETHERNET_HEADER_LENGTH + outer.headerLength;
  const inner = isTunnelled ? innerLayout(tcp - ETHERNET_HEADER_LENGTH - outer.headerLength) : outer;
  const ip = tcp - inner.headerLength;

  const addressAt = (at: number, { addressLength }: Layout) => formatAddress(frame.subarray(at, at + addressLength));
  const of = (address: string, port: number) =>
    services.find(({ vip, protocol, ports }) => vip === address && protocol === 'tcp' && hasPort(ports, port));
  const toBackend = of(addressAt(ip + inner.destination, inner), destinationPort(view, tcp));
  const toClient = of(addressAt(ip + inner.source, inner), sourcePort(view, tcp));
  const service = isTunnelled ? toBackend : (toClient ?? toBackend);
  const tunnelEnd = addressAt(ETHERNET_HEADER_LENGTH + outer.destination, outer);
  const to = isTunnelled ? tunnelEnd : service === toClient ? 'the client' : 'the backend';
  return `${service?.name}: idle for ${(service?.conntrack.idleTimeoutMs ?? 0) / 1000}s; RST to ${to}`;
}

/** Between the outer header and TCP's stands the inner one, behind at most twelve bytes of GUE. */
function innerLayout(bytes: number): Layout {
  return bytes >= IPV6_HEADER_LENGTH ? IPV6 : IPV4;
}
