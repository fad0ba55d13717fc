/**
 * Tells that an interface has been down, however briefly: a packet socket on it, of a protocol that nobody speaks, gets an
 * error then and keeps it. For captures that end without a word with their interface (io/portable-device.ts).
 */
import { bindSocket, closeDescriptor, errno, lastErrno, openSocket, recv, SystemCallError } from './ffi.ts';
import { AF_PACKET, interfaceAddress, SOCK_CLOEXEC, SOCK_RAW } from './packet-socket.ts';
import { requireLink } from './xdp.ts';

/** ETH_P_802_EX1 of linux/if_ether.h: for local experiments (IEEE 802, 9.2.4). */
const NOBODYS_PROTOCOL = 0x88b5;
const PROTOCOL_AT = 2;
const MSG_DONTWAIT = 0x40;

export interface InterfaceSentinel {
  /** Throws SystemCallError ENETDOWN where the interface has been down, or is gone, since it was opened. */
  check(): void;
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
    check() {
      if (recv(fd, null, 0, MSG_DONTWAIT) >= 0) return;
      const reason = lastErrno();
      if (reason === errno.EAGAIN) return;
      throw new SystemCallError(
        'receive from packet socket',
        reason,
        `${name} is down or gone: \`ip link show\` tells`,
      );
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
