/**
 * Watches one interface by a packet socket on it, of a protocol that nobody speaks. The socket gets an error when the interface
 * goes down, however briefly, and forgets the interface when that is deleted: for good, so that another one of the same name
 * and index is none of its own. For captures that end without a word with their interface (io/portable-device.ts), and for
 * whoever has sockets and programs on it (lb/watched-path.ts).
 */
import {
  bindSocket,
  closeDescriptor,
  errno,
  lastErrno,
  openSocket,
  readSocketAddress,
  recv,
  SystemCallError,
} from './ffi.ts';
import { AF_PACKET, interfaceAddress, SOCK_CLOEXEC, SOCK_RAW } from './packet-socket.ts';
import { requireLink } from './xdp.ts';

/** ETH_P_802_EX1 of linux/if_ether.h: for local experiments (IEEE 802, 9.2.4). */
const NOBODYS_PROTOCOL = 0x88b5;
/** Of struct sockaddr_ll. */
const PROTOCOL_AT = 2;
const INDEX_AT = 4;
const MSG_DONTWAIT = 0x40;

export interface InterfaceSentinel {
  /** It went down, or was deleted, since this was asked last or the sentinel was opened. */
  wentDown(): boolean;
  /** It was deleted, or moved to another network namespace. */
  isGone(): boolean;
  close(): void;
}

/** Throws SystemCallError: EPERM without CAP_NET_RAW, ENODEV without the interface. */
export function openInterfaceSentinel(interfaceIndex: number): InterfaceSentinel {
  const { name } = requireLink(interfaceIndex);
  const fd = openWithAdvice(name);
  const address = Buffer.from(interfaceAddress(interfaceIndex));
  address.writeUInt16BE(NOBODYS_PROTOCOL, PROTOCOL_AT);
  try {
    bindSocket(fd, address);
  } catch (error) {
    closeDescriptor(fd);
    throw error;
  }
  return {
    wentDown: () => recv(fd, null, 0, MSG_DONTWAIT) < 0 && lastErrno() !== errno.EAGAIN,
    isGone() {
      readSocketAddress(fd, address);
      // packet_notifier of the kernel's net/packet/af_packet.c makes it -1.
      return address.readInt32LE(INDEX_AT) !== interfaceIndex;
    },
    close: () => closeDescriptor(fd),
  };
}

function openWithAdvice(interfaceName: string): number {
  try {
    return openSocket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
  } catch (error) {
    if (!(error instanceof SystemCallError)) throw error;
    const advice = error.errno === errno.EPERM ? 'run as root, or grant CAP_NET_RAW' : undefined;
    throw new SystemCallError(`open packet socket for ${interfaceName}`, error.errno, advice);
  }
}
