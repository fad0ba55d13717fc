/**
 * The one packet that hushlb can make by itself: an RST. `onMiss: reset` answers a segment with it whose connection the
 * table doesn't know (lb/forwarder.ts), `onExpiry: reset` sends it to both sides of one that idled out
 * (lb/expiry-reset.ts). Where a service does neither, nobody calls this. That is the third condition.
 */
// Hot path: no allocation, no throw, no closure, no await.
import {
  ETHERNET_HEADER_LENGTH,
  setDestinationMac,
  setSourceMac,
  sourceMacHigh,
  sourceMacLow,
} from '../wire/ethernet.ts';
import * as ipv4 from '../wire/ipv4.ts';
import * as ipv6 from '../wire/ipv6.ts';
import * as tcp from '../wire/tcp.ts';

/** Bytes of the IP packet: IP and TCP headers without options. */
export const RESET_PACKET_LENGTH = ipv4.IPV4_HEADER_LENGTH + tcp.TCP_HEADER_LENGTH;
export const RESET_PACKET_LENGTH_IPV6 = ipv6.IPV6_HEADER_LENGTH + tcp.TCP_HEADER_LENGTH;
/** Bytes of the frame around it. */
const RESET_FRAME_LENGTH = ETHERNET_HEADER_LENGTH + RESET_PACKET_LENGTH;
const RESET_FRAME_LENGTH_IPV6 = ETHERNET_HEADER_LENGTH + RESET_PACKET_LENGTH_IPV6;

/**
 * Turns the TCP segment at `offset`, checked by wire/flow.ts, into the RST that answers it, back to the MAC that it came from,
 * from the VIP to the client, and returns the frame's length. `l4` is where its TCP header starts; IP options and extension
 * headers are not answered in kind. Sequence numbers follow RFC 9293, 3.10.7.1: a segment with ACK is answered with SEQ = its
 * ACK, because Linux ignores an RST outside the window that it expects; one without ACK with SEQ = 0 and ACK = its SEQ plus
 * its length.
 */
export function writeReset(
  view: DataView,
  offset: number,
  l4: number,
  ipLength: number,
  ownMacLow: number,
  ownMacHigh: number,
): number {
  const ip = offset + ETHERNET_HEADER_LENGTH;
  const flags = tcp.flags(view, l4);
  const clientPort = tcp.sourcePort(view, l4);
  const servicePort = tcp.destinationPort(view, l4);
  const answersAck = (flags & tcp.ACK) !== 0;
  const sequence = answersAck ? tcp.acknowledgement(view, l4) : 0;
  const acknowledgement = answersAck ? 0 : sequenceEnd(view, l4, ip + ipLength - l4, flags);
  const flagBits = answersAck ? tcp.RST : tcp.RST | tcp.ACK;

  setDestinationMac(view, offset, sourceMacLow(view, offset), sourceMacHigh(view, offset));
  setSourceMac(view, offset, ownMacLow, ownMacHigh);

  if (ipv4.version(view, ip) === 6) {
    for (let k = 0; k < 4; k++) {
      turned[k] = ipv6.destinationWord(view, ip, k);
      turned[4 + k] = ipv6.sourceWord(view, ip, k);
    }
    writeResetPacketIpv6(view, ip, turned, servicePort, clientPort, sequence, acknowledgement, flagBits);
    return RESET_FRAME_LENGTH_IPV6;
  }
  const client = ipv4.source(view, ip);
  const vip = ipv4.destination(view, ip);
  writeResetPacket(view, ip, vip, client, servicePort, clientPort, sequence, acknowledgement, flagBits);
  return RESET_FRAME_LENGTH;
}

/** Source and destination, four words each; used within one call. */
const turned = new Int32Array(8);

/** Writes the IP packet at `ip`; addresses are packet words, ports numbers. */
export function writeResetPacket(
  view: DataView,
  ip: number,
  source: number,
  destination: number,
  sourcePort: number,
  destinationPort: number,
  sequence: number,
  acknowledgement: number,
  flags: number,
): void {
  const sum = ipv4.constantSum(ipv4.PROTOCOL_TCP, source, destination);
  ipv4.writeHeader(view, ip, 0, RESET_PACKET_LENGTH, ipv4.ATOMIC, ipv4.PROTOCOL_TCP, source, destination, sum);
  tcp.writeBareHeader(
    view,
    ip + ipv4.IPV4_HEADER_LENGTH,
    sourcePort,
    destinationPort,
    sequence,
    acknowledgement,
    flags,
    ipv4.pseudoHeaderSum(view, ip, tcp.TCP_HEADER_LENGTH),
  );
}

/** The same for IPv6; `addresses` holds the source's four words and the destination's behind them. */
export function writeResetPacketIpv6(
  view: DataView,
  ip: number,
  addresses: Int32Array,
  sourcePort: number,
  destinationPort: number,
  sequence: number,
  acknowledgement: number,
  flags: number,
): void {
  ipv6.writeHeader(view, ip, 0, 0, tcp.TCP_HEADER_LENGTH, ipv4.PROTOCOL_TCP, ipv4.DEFAULT_TTL, addresses, 0);
  tcp.writeBareHeader(
    view,
    ip + ipv6.IPV6_HEADER_LENGTH,
    sourcePort,
    destinationPort,
    sequence,
    acknowledgement,
    flags,
    ipv6.pseudoHeaderSum(view, ip, ipv4.PROTOCOL_TCP, tcp.TCP_HEADER_LENGTH),
  );
}

/** SEQ plus SEG.LEN, beyond 2^32 where it wraps: the bytes of data, with SYN and FIN counting as one each (RFC 9293, 3.4). */
export function sequenceEnd(view: DataView, segment: number, segmentLength: number, flags: number): number {
  const data = segmentLength - tcp.tcpHeaderLength(view, segment);
  const controls = ((flags & tcp.SYN) !== 0 ? 1 : 0) + ((flags & tcp.FIN) !== 0 ? 1 : 0);
  return tcp.sequence(view, segment) + data + controls;
}
