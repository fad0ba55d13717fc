/** Sends single frames out of an interface, for health checks through the tunnel (lb/health-tunnel.ts). */
import { bindSocket, closeDescriptor, lastErrno, openSocket, SystemCallError, sendto } from './ffi.ts';
import { AF_PACKET, interfaceAddress, SOCK_CLOEXEC, SOCK_RAW } from './packet-socket.ts';

const MSG_DONTWAIT = 0x40;

export interface FrameSender {
  /** Throws SystemCallError: ENETDOWN, ENOBUFS and their like. */
  send(frame: Uint8Array): void;
  close(): void;
}

/** Throws SystemCallError: EPERM without CAP_NET_RAW. */
export function openFrameSender(interfaceIndex: number): FrameSender {
  const fd = openSocket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
  try {
    bindSocket(fd, interfaceAddress(interfaceIndex, 0));
  } catch (error) {
    closeDescriptor(fd);
    throw error;
  }
  return {
    send(frame) {
      if (sendto(fd, frame, frame.length, MSG_DONTWAIT, null, 0) < 0) throw new SystemCallError('sendto', lastErrno());
    },
    close: () => closeDescriptor(fd),
  };
}
