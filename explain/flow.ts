/**
 * A flow as people name it, `192.0.2.7:51514` to `198.18.10.1:80`, and a packet of it as a client sends it: the one that
 * explain/explain.ts puts through the walk.
 */
import { clientText } from '../lb/client-text.ts';
import type { Protocol } from '../lb/config.ts';
import { addressBytes, formatAddress, parseAddress } from '../wire/address.ts';
import { sumWords } from '../wire/checksum.ts';
import { ETHERNET_HEADER_LENGTH, ETHERTYPE_IPV4, ETHERTYPE_IPV6, setEtherType } from '../wire/ethernet.ts';
import * as ipv4 from '../wire/ipv4.ts';
import * as ipv6 from '../wire/ipv6.ts';
import * as tcp from '../wire/tcp.ts';
import * as udp from '../wire/udp.ts';

export interface Endpoint {
  /** In canonical text, as the configuration has it. */
  readonly address: string;
  readonly port: number;
}

export interface Flow {
  readonly client: Endpoint;
  /** The VIP and the port that the client sends to. */
  readonly to: Endpoint;
  readonly protocol: Protocol;
}

/** `192.0.2.7:51514` or `[2001:db8::7]:51514`; undefined for anything else. */
export function parseEndpoint(text: string): Endpoint | undefined {
  const [, bracketed, plain, port] = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text) ?? [];
  const bytes = parseAddress(bracketed ?? plain ?? '');
  const isOfItsForm = bytes?.length === (bracketed === undefined ? 4 : 16);
  const number = Number(port);
  if (bytes === undefined || !isOfItsForm || number < 1 || number > 65_535) return undefined;
  return { address: formatAddress(bytes), port: number };
}

export function endpointText({ address, port }: Endpoint): string {
  return clientText(address, port);
}

/** Why there can be no such flow; undefined where there can. */
export function whyImpossible({ client, to }: Pick<Flow, 'client' | 'to'>): string | undefined {
  const [from, at] = [client.address, to.address].map((address) => (address.includes(':') ? 'IPv6' : 'IPv4'));
  return from === at ? undefined : `${client.address} is ${from} and ${to.address} is ${at}: expected one family`;
}

/** Of the packets that are made here. What hushlb copies from them to an outer header is the client's business. */
const TTL = 64;

/**
 * The frame of a packet without data: a SYN or a datagram where it `opens`, else an ACK. MAC addresses are 0, the walk doesn't
 * look at them.
 */
export function packetOf({ client, to, protocol }: Flow, opens: boolean): Uint8Array {
  const [source, destination] = [addressBytes(client.address), addressBytes(to.address)];
  const isIpv6 = source.length === 16;
  const number = protocol === 'tcp' ? ipv4.PROTOCOL_TCP : udp.PROTOCOL_UDP;
  const length = protocol === 'tcp' ? tcp.TCP_HEADER_LENGTH : udp.UDP_HEADER_LENGTH;
  const ip = ETHERNET_HEADER_LENGTH;
  const l4 = ip + (isIpv6 ? ipv6.IPV6_HEADER_LENGTH : ipv4.IPV4_HEADER_LENGTH);
  const frame = new Uint8Array(l4 + length);
  const view = new DataView(frame.buffer);
  setEtherType(view, 0, isIpv6 ? ETHERTYPE_IPV6 : ETHERTYPE_IPV4);
  const words = wordsOf(source, destination);
  if (isIpv6) ipv6.writeHeader(view, ip, 0, 0, length, number, TTL, words, 0);
  else ipv4.writeHeaderWithTtl(view, ip, 0, l4 - ip + length, ipv4.ATOMIC, TTL, number, words[0], words[1]);
  const pseudoSum = sumWords(view, l4 - 2 * source.length, 2 * source.length, number + length);
  if (protocol === 'tcp') {
    tcp.writeBareHeader(view, l4, client.port, to.port, 1, opens ? 0 : 1, opens ? tcp.SYN : tcp.ACK, pseudoSum);
  } else {
    udp.writeHeader(view, l4, client.port, to.port, length);
    udp.setChecksum(view, l4, length, pseudoSum);
  }
  return frame;
}

/** Both addresses as packet words. */
function wordsOf(source: Uint8Array, destination: Uint8Array): Int32Array {
  const view = new DataView(Uint8Array.of(...source, ...destination).buffer);
  return Int32Array.from({ length: view.byteLength / 4 }, (_, k) => view.getInt32(4 * k, true));
}
