/**
 * A raw AF_PACKET socket on one interface: the far end of the veth pair in tests of XDP programs and AF_XDP. It sends
 * frames as they are and sees what arrives, not what its own host sends.
 */
import {
  bindSocket,
  closeDescriptor,
  lastErrno,
  mapAnonymous,
  openSocket,
  poll,
  recv,
  SystemCallError,
  sendto,
  setSocketOption,
} from '../../io/ffi.ts';
import { inNamespace } from '../../io/namespace.ts';
import { requireLink } from '../../io/xdp.ts';

const AF_PACKET = 17;
const SOCK_RAW_CLOEXEC = 3 | 0o2000000;
const ETH_P_IP = 0x0800;
const SOL_SOCKET = 1;
const SO_RCVBUFFORCE = 33;
const SOL_PACKET = 263;
const PACKET_IGNORE_OUTGOING = 23;
const MSG_DONTWAIT = 0x40;
const POLLIN = 1;

export interface PacketSocket {
  send(frame: Uint8Array): void;
  /** The next frame of the EtherType that arrives within `timeoutMs`. */
  receive(timeoutMs?: number): Buffer | undefined;
  close(): void;
}

export function openPacketSocket(namespace: string, interfaceName: string, etherType = ETH_P_IP): PacketSocket {
  const fd = inNamespace(namespace, () => {
    const socket = openSocket(AF_PACKET, SOCK_RAW_CLOEXEC, 0);
    setSocketOption(socket, SOL_PACKET, PACKET_IGNORE_OUTGOING, Buffer.from([1, 0, 0, 0]));
    setSocketOption(socket, SOL_SOCKET, SO_RCVBUFFORCE, Buffer.from([0, 0, 64, 0]));
    // struct sockaddr_ll {u16 family; be16 protocol; s32 ifindex; …}
    const address = Buffer.alloc(20);
    address.writeUInt16LE(AF_PACKET, 0);
    address.writeUInt16BE(etherType, 2);
    address.writeInt32LE(requireLink(interfaceName).index, 4);
    bindSocket(socket, address);
    return socket;
  });
  const pollFd = mapAnonymous(8);
  new Int32Array(pollFd.buffer, 0, 1)[0] = fd;
  new Int16Array(pollFd.buffer, 4, 1)[0] = POLLIN;
  const bytes = Buffer.alloc(65536);
  return {
    send(frame) {
      if (sendto(fd, frame, frame.byteLength, 0, null, 0) < 0) throw new SystemCallError('sendto', lastErrno());
    },
    receive(timeoutMs = 10_000) {
      if (poll(pollFd.address, 1, timeoutMs) <= 0) return undefined;
      const length = recv(fd, bytes, bytes.byteLength, MSG_DONTWAIT);
      return length < 0 ? undefined : Buffer.copyBytesFrom(bytes, 0, length);
    },
    close() {
      closeDescriptor(fd);
      pollFd.unmap();
    },
  };
}
