/**
 * Bytes that are read from their start to their end, a window of them at hand: the capture readers (io/pcap.ts,
 * io/pcapng-reader.ts) ask here for as much as their next record needs. A file of any length, or a pipe, takes no more
 * memory than twice its longest record.
 *
 * ```
 *   file   │ taken already │ at hand: view, from `at` on, `available` bytes │ not read yet
 *                          ▲ position
 * ```
 */
import { closeSync, openSync, readSync } from 'node:fs';

export interface ByteSource {
  /** What errors call it. */
  readonly name: string;
  /** Of the next byte, counted from the first. */
  readonly position: number;
  /** Where the next byte is in `view`; both change with `want` and `skip`. */
  readonly view: DataView;
  readonly at: number;
  /** Tries to have `length` bytes at hand and returns how many are: fewer only where there are no more. */
  want(length: number): number;
  /** The next `length` bytes, which are at hand. Good until the next `want` or `skip`. */
  take(length: number): Uint8Array;
  /** Goes on by `length` bytes, at hand or not; returns how many there were. */
  skip(length: number): number;
}

export interface FileSource extends ByteSource {
  close(): void;
}

/** Bytes that are in memory already: what `take` returns stays good. */
export function memorySource(name: string, bytes: Uint8Array): ByteSource {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  const skip = (length: number): number => {
    const before = at;
    at = Math.min(bytes.length, at + length);
    return at - before;
  };
  return {
    name,
    get position() {
      return at;
    },
    view,
    get at() {
      return at;
    },
    want: (length) => Math.min(length, bytes.length - at),
    take(length) {
      const start = at;
      skip(length);
      return bytes.subarray(start, at);
    },
    skip,
  };
}

const FIRST_WINDOW = 65536;

/** Opens a file or a pipe; `-` is standard input. Throws the errors of node:fs; so do `want` and `skip`. */
export function openFileSource(path: string): FileSource {
  const isStandardInput = path === '-';
  const fd = isStandardInput ? 0 : openSync(path, 'r');
  let window = new Uint8Array(FIRST_WINDOW);
  let view = new DataView(window.buffer);
  let at = 0;
  let end = 0;
  let taken = 0;
  let ended = false;

  /** Bytes at hand move to the window's start; it grows only where they fill it, so never beyond what was read. */
  function makeRoom(): void {
    if (at > 0) window.copyWithin(0, at, end);
    else if (end === window.length) {
      const larger = new Uint8Array(2 * window.length);
      larger.set(window);
      window = larger;
      view = new DataView(window.buffer);
    }
    end -= at;
    at = 0;
  }

  function want(length: number): number {
    while (end - at < length && !ended) {
      if (at + length > window.length) makeRoom();
      const read = readSync(fd, window, end, window.length - end, null);
      ended = read === 0;
      end += read;
    }
    return Math.min(length, end - at);
  }

  return {
    name: isStandardInput ? 'standard input' : path,
    get position() {
      return taken;
    },
    get view() {
      return view;
    },
    get at() {
      return at;
    },
    want,
    take(length) {
      const bytes = window.subarray(at, at + length);
      at += bytes.length;
      taken += bytes.length;
      return bytes;
    },
    skip(length) {
      let left = length;
      while (left > 0) {
        const there = want(Math.min(left, FIRST_WINDOW));
        if (there === 0) break;
        at += there;
        taken += there;
        left -= there;
      }
      return length - left;
    },
    close() {
      if (!isStandardInput) closeSync(fd);
    },
  };
}
