/**
 * A file that is written from its start to its end in small pieces, a few system calls for all of them: the capture
 * writers (io/pcap.ts, io/pcapng.ts) append their blocks here.
 */
import { closeSync, openSync, writeSync } from 'node:fs';

const BUFFER_LENGTH = 65536;

export interface BufferedFile {
  /** Copies the bytes: the caller may use them again. */
  append(bytes: Uint8Array): void;
  /** Writes out what is buffered. Nothing may be appended afterwards. */
  close(): void;
}

/**
 * Starts a file, replacing what is there, or writes to a descriptor and leaves that open. Throws the errors of node:fs; so do
 * `append` and `close`.
 */
export function createBufferedFile(to: string | number): BufferedFile {
  const fd = typeof to === 'number' ? to : openSync(to, 'w');
  const buffer = Buffer.alloc(BUFFER_LENGTH);
  let used = 0;

  function flush(): void {
    for (let written = 0; written < used; ) written += writeSome(fd, buffer, written, used);
    used = 0;
  }

  return {
    append(bytes) {
      for (let taken = 0; taken < bytes.length; ) {
        if (used === buffer.length) flush();
        const part = bytes.subarray(taken, taken + buffer.length - used);
        buffer.set(part, used);
        used += part.length;
        taken += part.length;
      }
    },
    close() {
      try {
        flush();
      } finally {
        if (fd !== to) closeSync(fd);
      }
    },
  };
}

const FULL_PIPE_PAUSE_MS = 5;

/** Returns how much was taken: none by a pipe that is full, where somebody (Node.js, of its own stdout) made it not wait. */
function writeSome(fd: number, buffer: Buffer, from: number, to: number): number {
  try {
    return writeSync(fd, buffer, from, to - from);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, FULL_PIPE_PAUSE_MS);
    return 0;
  }
}
