/**
 * What packet sockets (AF_PACKET) are told and tell, whoever opens one: the captures of io/capture.ts and the device's ring of
 * io/packet-ring.ts. Numbers from linux/if_packet.h.
 */
export const AF_PACKET = 17;
export const SOCK_RAW = 3;
export const SOCK_CLOEXEC = 0o2000000;
const ETH_P_ALL = 3;

export const SOL_PACKET = 263;
export const PACKET_RX_RING = 5;
export const PACKET_STATISTICS = 6;
export const PACKET_VERSION = 10;
export const TPACKET_V2 = 1;

/**
 * struct tpacket2_hdr: status, len, snaplen: 32 bits each, mac, net: 16 bits each, sec, nsec: 32 bits each, vlan_tci,
 * vlan_tpid: 16 bits each, in host order.
 */
export const TP_STATUS = 0;
export const TP_LEN = 4;
export const TP_SNAPLEN = 8;
export const TP_MAC = 12;
export const TP_VLAN = 24;
export const TP_STATUS_KERNEL = 0;
export const TP_STATUS_USER = 1;
/** The packet is longer than the slot; recv(2) has it. */
export const TP_STATUS_COPY = 2;
/** The frame had a VLAN tag, which stands in the header now. */
export const TP_STATUS_VLAN_VALID = 16;

/** Blocks of a ring have to be multiples of the page, of which 64 KiB is the largest that Linux uses. */
export const BLOCK_SIZE = 65536;

/** A socket option's value of 32-bit numbers. */
export function words(...values: number[]): Uint8Array {
  return new Uint8Array(Uint32Array.from(values).buffer);
}

/** struct sockaddr_ll: all protocols of one interface, or none (0) for a socket that only sends. */
export function interfaceAddress(index: number, protocol = ETH_P_ALL): Uint8Array {
  const address = Buffer.alloc(20);
  address.writeUInt16LE(AF_PACKET, 0);
  address.writeUInt16BE(protocol, 2);
  address.writeInt32LE(index, 4);
  return address;
}
