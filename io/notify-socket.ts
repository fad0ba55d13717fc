/**
 * Tells a service manager how a process is doing: sd_notify(3), a datagram of `NAME=value` lines to the Unix socket that
 * NOTIFY_SOCKET names. Node has no datagrams on Unix sockets. lb/service-manager.ts decides what is told.
 */
import { closeDescriptor, errno, lastErrno, openSocket, SystemCallError, sendto } from './ffi.ts';

const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
/** sun_path of struct sockaddr_un, unix(7). */
const LONGEST_PATH = 108;

export interface NotifySocket {
  /**
   * Sends lines, such as `READY=1`. False if they were not taken: nobody listens any more, or, with `orNever`, the manager
   * has not read what came before; without it that is waited for.
   */
  send(lines: readonly string[], options?: { readonly orNever?: boolean }): boolean;
  close(): void;
}

/**
 * `address` as in NOTIFY_SOCKET: an absolute path, or `@` and an abstract name. Undefined if it is neither (vsock addresses are for
 * virtual machines). Throws SystemCallError.
 */
export function openNotifySocket(address: string): NotifySocket | undefined {
  const socketAddress = unixAddress(address);
  if (socketAddress === undefined) return undefined;
  const fd = openSocket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  return {
    send(lines, { orNever = false } = {}) {
      const message = Buffer.from(lines.join('\n'));
      const flags = MSG_NOSIGNAL | (orNever ? MSG_DONTWAIT : 0);
      for (;;) {
        const sent = sendto(fd, message, message.byteLength, flags, socketAddress, socketAddress.byteLength) as number;
        if (sent >= 0) return true;
        if (lastErrno() !== errno.EINTR) return false;
      }
    },
    close: () => closeDescriptor(fd),
  };
}

/** struct sockaddr_un, as long as its path: of an abstract name every byte counts, zeros too. */
function unixAddress(address: string): Uint8Array | undefined {
  const isAbstract = address.startsWith('@');
  if (!isAbstract && !address.startsWith('/')) return undefined;
  const path = Buffer.from(isAbstract ? `\0${address.slice(1)}` : `${address}\0`);
  if (path.byteLength > LONGEST_PATH) throw new SystemCallError('NOTIFY_SOCKET', errno.ENAMETOOLONG, address);
  const family = new Uint8Array(Uint16Array.of(AF_UNIX).buffer);
  return Buffer.concat([family, path]);
}
