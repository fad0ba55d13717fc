/**
 * A TCP port of this host that never says anything: what comes there is neither answered nor refused. Health checks through
 * the tunnel (health/tunnel.ts) speak TCP by themselves from such a port; without it the kernel, which knows nothing of
 * their connections, would answer each SYN-ACK with an RST.
 *
 * It is a listening socket with a filter that drops every segment (SO_ATTACH_FILTER, socket(7)), so nobody can connect to
 * it; tcp_v4_rcv and tcp_v6_rcv look up the socket first, and what its filter drops gets no answer. Raw sockets get their
 * copies before that.
 */
import { randomInt } from 'node:crypto';
import {
  bindSocket,
  closeDescriptor,
  errno,
  listenSocket,
  mapAnonymous,
  openSocket,
  SystemCallError,
  setSocketOption,
} from './ffi.ts';
import { addressFamily } from './netlink.ts';
import { SOCK_CLOEXEC } from './packet-socket.ts';
import { socketAddress } from './raw-socket.ts';

const SOCK_STREAM = 1;
const SOL_SOCKET = 1;
const SO_ATTACH_FILTER = 26;
/** linux/filter.h: BPF_RET | BPF_K with 0, nothing of the packet is kept. */
const DROP_ALL = 0x06;
/** Above what the kernel gives to clients of its own (net.ipv4.ip_local_port_range ends at 60999). */
const [FIRST_PORT, LAST_PORT] = [61_000, 65_535];
const TRIES = 100;

export interface SilentPort {
  readonly port: number;
  close(): void;
}

/** On one of this host's addresses. Throws SystemCallError: EADDRNOTAVAIL for another's. */
export function openSilentPort(address: Uint8Array): SilentPort {
  const fd = openSocket(addressFamily(address), SOCK_STREAM | SOCK_CLOEXEC, 0);
  try {
    dropAll(fd);
    const port = bindSomewhere(fd, address);
    listenSocket(fd, 1);
    return { port, close: () => closeDescriptor(fd) };
  } catch (error) {
    closeDescriptor(fd);
    throw error;
  }
}

function dropAll(fd: number): void {
  const memory = mapAnonymous(64);
  const view = new DataView(memory.buffer);
  // struct sock_filter {u16 code; u8 jt, jf; u32 k} at 16, behind struct sock_fprog {u16 len; struct sock_filter *filter}.
  view.setUint16(0, 1, true);
  view.setBigUint64(8, memory.address + 16n, true);
  view.setUint16(16, DROP_ALL, true);
  try {
    setSocketOption(fd, SOL_SOCKET, SO_ATTACH_FILTER, new Uint8Array(memory.buffer, 0, 16));
  } finally {
    memory.unmap();
  }
}

function bindSomewhere(fd: number, address: Uint8Array): number {
  for (let i = 0; ; i++) {
    const port = randomInt(FIRST_PORT, LAST_PORT + 1);
    try {
      bindSocket(fd, socketAddress(address, port));
      return port;
    } catch (error) {
      const isTaken = error instanceof SystemCallError && error.errno === errno.EADDRINUSE;
      if (!isTaken || i === TRIES) throw error;
    }
  }
}
