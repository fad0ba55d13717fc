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

/** Starts a file, replacing what is there. Throws the errors of node:fs; so do `append` and `close`. */
export function createBufferedFile(path: string): BufferedFile {
  const fd = openSync(path, 'w');
  const buffer = Buffer.alloc(BUFFER_LENGTH);
  let used = 0;

  function flush(): void {
    for (let written = 0; written < used; ) written += writeSync(fd, buffer, written, used - written);
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
        closeSync(fd);
      }
    },
  };
}
