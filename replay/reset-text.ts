/**
 * What an RST says that the balancer sent by itself when a connection idled out (`onExpiry: reset`): no packet of the
 * capture is behind it, so its own headers are asked. replay/replay.ts comments such frames with it.
 */
import type { Config, ServiceConfig } from '../lb/config.ts';
import { hasPort } from '../lb/ports.ts';
import { formatIpv4 } from '../wire/address.ts';
import { ETHERNET_HEADER_LENGTH } from '../wire/ethernet.ts';
import { IPV4_HEADER_LENGTH, PROTOCOL_IPIP, protocol } from '../wire/ipv4.ts';
import { destinationPort, sourcePort } from '../wire/tcp.ts';

const SOURCE_ADDRESS = 12;
const DESTINATION_ADDRESS = 16;

/** `frame` is an RST of lb/expiry-reset.ts, to the client or, encapsulated as its service has it, to the backend. */
export function expiryResetText({ services }: Config, frame: Uint8Array): string {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  const isTunnelled = protocol(view, ETHERNET_HEADER_LENGTH) === PROTOCOL_IPIP;
  const ip = ETHERNET_HEADER_LENGTH + (isTunnelled ? IPV4_HEADER_LENGTH : 0);
  const tcp = ip + IPV4_HEADER_LENGTH;
  const has = (address: number, port: number) => (service: ServiceConfig) =>
    service.vip === formatIpv4(view.getUint32(ip + address)) && hasPort(service.ports, port);

  const toBackend = services.find(has(DESTINATION_ADDRESS, destinationPort(view, tcp)));
  const toClient = services.find(has(SOURCE_ADDRESS, sourcePort(view, tcp)));
  const service = isTunnelled ? toBackend : (toClient ?? toBackend);
  const outer = formatIpv4(view.getUint32(ETHERNET_HEADER_LENGTH + DESTINATION_ADDRESS));
  const to = service === toClient ? 'the client' : isTunnelled ? outer : 'the backend';
  return `${service?.name}: idle for ${(service?.conntrack.idleTimeoutMs ?? 0) / 1000}s; RST to ${to}`;
}
