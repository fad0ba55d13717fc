/**
 * The capture that a replay writes: pcapng, a comment on each packet. It takes its name when it is whole, so that a replay
 * which fails leaves no half of one and doesn't cost the user the file before.
 */
import { renameSync, rmSync, statSync } from 'node:fs';
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

/** Throws the errors of node:fs; so do all its functions but `discard`. `comment` is on the capture as a whole. */
export function createOutputFile(path: string, interfaceName: string, comment: string): OutputFile {
  // A pipe or a device keeps its name.
  const isSpecial = statSync(path, { throwIfNoEntry: false })?.isFile() === false;
  const partial = isSpecial ? path : `${path}.${process.pid}.part`;
  const writer = createPcapngWriter(partial, {
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
      if (!isSpecial) renameSync(partial, path);
    },
    discard() {
      try {
        writer.close();
      } catch {
        // The error that brought us here is the one to tell.
      }
      if (!isSpecial) rmSync(partial, { force: true });
    },
  };
}
