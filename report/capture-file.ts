/**
 * Writes what a run's captures saw as a pcapng file: an interface for each host, frames in the order of their times, and
 * the decisive ones with a comment (report/decisive.ts).
 */
import { createPcapngWriter } from '../io/pcapng.ts';
import { type CapturedFrame, SNAP_LENGTH } from '../lab/captures.ts';
import { hostLabel } from '../lab/draw.ts';
import type { Evidence } from '../lab/findings.ts';

export interface CaptureFileOptions {
  readonly path: string;
  /** The program, with its version. */
  readonly application: string;
  /** On the whole: which run this is. */
  readonly comment: string;
  readonly evidence: Pick<Evidence, 'frames' | 'topology'>;
  readonly decisive: ReadonlyMap<CapturedFrame, string>;
}

/** Throws the errors of node:fs. */
export function writeCaptureFile({ path, application, comment, evidence, decisive }: CaptureFileOptions): void {
  const hosts = evidence.topology.hosts
    .map(({ name }) => name)
    .filter((name) => evidence.frames.some(({ host }) => host === name));
  const writer = createPcapngWriter(path, {
    application,
    comment,
    snapLength: SNAP_LENGTH,
    interfaces: hosts.map((name) => ({ name, description: `everything that ${hostLabel(name)} sends and receives` })),
  });
  try {
    for (const frame of [...evidence.frames].sort((a, b) => a.timeMs - b.timeMs)) {
      writer.write({
        interface: hosts.indexOf(frame.host),
        direction: frame.direction,
        bytes: frame.bytes,
        timestampNs: BigInt(Math.round(frame.timeMs * 1000)) * 1000n,
        originalLength: frame.originalLength,
        comment: decisive.get(frame),
      });
    }
  } finally {
    writer.close();
  }
}
