/**
 * Sending frames from where they lie in a device's memory, by one sendmmsg(2) a batch, for io/af-packet-device.ts.
 */
import { errno, lastErrno, type Mapping, mapAnonymous, sendmmsg } from './ffi.ts';

const MSG_DONTWAIT = 0x40;

/**
 * struct mmsghdr {struct msghdr {…, iovec *iov at 16, size_t iovlen at 24, …}; u32 length} and struct iovec {void *base;
 * size_t length}, on 64-bit hosts.
 */
const MESSAGE_BYTES = 64;
const MESSAGE_IOV = 16;
const MESSAGE_IOV_COUNT = 24;
const IOV_BYTES = 16;
const IOV_WORDS = 4;
const WORD = 2 ** 32;

export interface PacketSender {
  /** Adds a frame of `length` bytes at byte `offset` of the memory; at most the capacity between two calls of `flush`. */
  queue(offset: number, length: number): void;
  /** Sends what is queued and returns how many frames the kernel refused: those are dropped. */
  flush(): number;
  close(): void;
}

export function createPacketSender(fd: number, memory: Mapping, capacity: number): PacketSender {
  // What sendmmsg reads: a message for each frame, which points at its iovec, which points at the frame.
  const messages = mapAnonymous(capacity * (MESSAGE_BYTES + IOV_BYTES));
  const iovsAt = capacity * MESSAGE_BYTES;
  const iovs = new Uint32Array(messages.buffer, iovsAt, capacity * IOV_WORDS);
  const messageView = new DataView(messages.buffer);
  const messageAddress = Array.from({ length: capacity }, (_, i) => messages.address + BigInt(i * MESSAGE_BYTES));
  for (let i = 0; i < capacity; i++) {
    const iov = messages.address + BigInt(iovsAt + i * IOV_BYTES);
    messageView.setBigUint64(i * MESSAGE_BYTES + MESSAGE_IOV, iov, true);
    messageView.setBigUint64(i * MESSAGE_BYTES + MESSAGE_IOV_COUNT, 1n, true);
  }
  // Addresses of user memory are below 2 ** 56 only in theory: they have 47 bits, which a number holds.
  const memoryAddress = Number(memory.address);
  let queued = 0;

  // Hot path: no allocation, no throw, no closure, no await.

  function queue(offset: number, length: number): void {
    const address = memoryAddress + offset;
    const iov = queued++ * IOV_WORDS;
    iovs[iov] = address;
    iovs[iov + 1] = address / WORD;
    iovs[iov + 2] = length;
  }

  /** The first that the kernel refuses ends a call: it is dropped, the next call goes on. */
  function flush(): number {
    const count = queued;
    queued = 0;
    let done = 0;
    let refused = 0;
    while (done < count) {
      const sent = sendmmsg(fd, messageAddress[done], count - done, MSG_DONTWAIT);
      if (sent > 0) {
        done += sent;
        continue;
      }
      // Of the send buffer, so the rest would be refused too.
      if (lastErrno() === errno.EAGAIN) break;
      refused++;
      done++;
    }
    return refused + count - done;
  }

  // End of the hot path.

  return { queue, flush, close: () => messages.unmap() };
}
