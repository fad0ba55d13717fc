/**
 * Raw IP sockets (raw(7), ipv6(7)) for programs that send a message of their own and wait for an answer: health checks by
 * echo, and through the tunnel. One socket for each family and protocol; the kernel writes the IP headers.
 */
import {
  closeDescriptor,
  lastErrno,
  openSocket,
  recv,
  SystemCallError,
  sendto,
  setSocketOption,
  watchReadable,
} from './ffi.ts';
import { AF_INET6, addressFamily } from './netlink.ts';
import { SOCK_CLOEXEC, SOCK_RAW, words } from './packet-socket.ts';

const MSG_DONTWAIT = 0x40;
const SOL_SOCKET = 1;
const SO_RCVBUF = 8;
/** For a thousand answers at once; the kernel gives what its rmem_max allows. */
const RECEIVE_BUFFER = 1 << 20;
/** Messages that are looked at before the event loop has its turn again. */
const AT_ONCE = 64;
/** The kernel hands over what it has joined (GRO), or never cut (veth), as one packet. */
const LONGEST = 65_535;

export interface RawSocket {
  /** Sends one message of the protocol. Throws SystemCallError: EHOSTUNREACH and its like. */
  send(message: Uint8Array, to: Uint8Array): void;
  close(): void;
}

export interface RawSocketOptions {
  readonly family: 4 | 6;
  /** Of the IP header. */
  readonly protocol: number;
  /** The messages' level of socket options, the option and its value: a filter in the kernel. */
  readonly filter?: readonly [level: number, name: number, value: Uint8Array];
  /** What came, in IPv4 with its IP header in front; valid until it returns. */
  onMessage(message: Uint8Array): void;
}

/** Throws SystemCallError: EPERM without CAP_NET_RAW. */
export function openRawSocket({ family, protocol, filter, onMessage }: RawSocketOptions): RawSocket {
  const fd = openSocket(addressFamily(new Uint8Array(family === 4 ? 4 : 16)), SOCK_RAW | SOCK_CLOEXEC, protocol);
  try {
    if (filter !== undefined) setSocketOption(fd, ...filter);
    setSocketOption(fd, SOL_SOCKET, SO_RCVBUF, words(RECEIVE_BUFFER));
  } catch (error) {
    closeDescriptor(fd);
    throw error;
  }
  const buffer = Buffer.alloc(LONGEST);
  let open = true;
  const watch = watchReadable(fd, () => {
    for (let i = 0; open && i < AT_ONCE; i++) {
      const length = recv(fd, buffer, buffer.length, MSG_DONTWAIT);
      // Nothing is left, or an ICMP error about something that was sent: its check hears of it by its timeout.
      if (length < 0) return;
      onMessage(buffer.subarray(0, length));
    }
  });
  return {
    send(message, to) {
      const address = socketAddress(to);
      const sent = sendto(fd, message, message.length, MSG_DONTWAIT, address, address.length);
      if (sent < 0) throw new SystemCallError('sendto', lastErrno());
    },
    close() {
      if (!open) return;
      open = false;
      watch.close();
      closeDescriptor(fd);
    },
  };
}

/** struct sockaddr_in or sockaddr_in6 (netinet/in.h). */
export function socketAddress(address: Uint8Array, port = 0): Uint8Array {
  const family = addressFamily(address);
  const bytes = Buffer.alloc(family === AF_INET6 ? 28 : 16);
  bytes.writeUInt16LE(family, 0);
  bytes.writeUInt16BE(port, 2);
  bytes.set(address, family === AF_INET6 ? 8 : 4);
  return bytes;
}
