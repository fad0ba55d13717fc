/**
 * The capture that a replay writes: pcapng, a comment on each packet. It takes its name when it is whole, so that a replay
 * which fails leaves no half of one and doesn't cost the user the file before.
 */
import { closeSync, constants, copyFileSync, openSync, realpathSync, renameSync, rmSync, statSync } from 'node:fs';
import { createPcapngWriter } from '../io/pcapng.ts';
import { VERSION } from '../lb/version.ts';
import type { ReplayedPacket } from './replay.ts';

export interface OutputFile {
  write(packet: ReplayedPacket): void;
  /** It is whole. */
  finish(): void;
  /** It never was. */
  discard(): void;
}

export interface OutputOptions {
  /** The interface in it. */
  readonly interfaceName: string;
  /** On the capture as a whole. */
  readonly comment: string;
  /** A signal may end the process at any moment: until the file is whole it has no name at all, which costs a copy. */
  readonly unnamed: boolean;
}

const STANDARD_OUTPUT = 1;
const NAMES_OF_STANDARD_OUTPUT = ['-', '/dev/stdout', '/dev/fd/1', '/proc/self/fd/1'];

/** What goes there goes through the descriptor: opened by its name, a file behind it would be written from its start. */
export function isStandardOutput(path: string): boolean {
  return NAMES_OF_STANDARD_OUTPUT.includes(path);
}

/** Throws the errors of node:fs; so do all its functions but `discard`. */
export function createOutputFile(path: string, { interfaceName, comment, unnamed }: OutputOptions): OutputFile {
  const place = isStandardOutput(path) ? { fd: STANDARD_OUTPUT, finish() {}, discard() {} } : openPlace(path, unnamed);
  const writer = createPcapngWriter(place.fd, {
    application: `hushlb ${VERSION}`,
    comment,
    interfaces: [{ name: interfaceName, description: 'what hushlb sends' }],
    snapLength: 0,
  });
  return {
    write: ({ isSent, bytes, timestampNs, comment: decision }) =>
      writer.write({
        interface: 0,
        direction: isSent ? 'out' : 'in',
        bytes,
        timestampNs,
        originalLength: bytes.length,
        comment: decision,
      }),
    finish() {
      writer.close();
      place.finish();
    },
    discard: () => place.discard(),
  };
}

interface Place {
  readonly fd: number;
  finish(): void;
  discard(): void;
}

function openPlace(path: string, unnamed: boolean): Place {
  const there = statSync(path, { throwIfNoEntry: false });
  // A pipe or a device keeps its name.
  if (there !== undefined && !there.isFile()) {
    const fd = openSync(path, 'w');
    return { fd, finish: () => closeSync(fd), discard: () => closeSync(fd) };
  }
  // What a symbolic link names is replaced, not the link.
  const target = there === undefined ? path : realpathSync(path);
  const partial = `${target}.${process.pid}.part`;
  rmSync(partial, { force: true });
  // Never what somebody else has put there: the directory may be everybody's.
  const fd = openSync(partial, 'wx+');
  if (unnamed) rmSync(partial);
  return {
    fd,
    finish() {
      if (unnamed) copyFileSync(`/proc/self/fd/${fd}`, partial, constants.COPYFILE_EXCL);
      renameSync(partial, target);
      closeSync(fd);
    },
    discard() {
      closeSync(fd);
      rmSync(partial, { force: true });
    },
  };
}
