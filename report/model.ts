/**
 * What a report knows, as plain data: the runs of `hushlb lab run`, and the matrix of `hushlb lab matrix`. It is kept as
 * report.json beside the page, so that either command adds its part to what the other left (report/report.ts).
 */
import type { MatrixResult } from '../lab/matrix.ts';
import type { Timeouts } from '../lab/scenario.ts';
import type { RunResult } from '../lab/scenarios.ts';
import type { Topology } from '../lab/topology.ts';

/** How a part of the report came about. */
export interface About {
  /** As typed in a shell. */
  readonly command: string;
  /** Program and version, such as ['nginx', '1.22.1']. */
  readonly versions: readonly (readonly [program: string, version: string])[];
  readonly kernel: string;
  readonly machine: string;
  /** Wall clock, milliseconds since 1970. */
  readonly finishedMs: number;
}

export interface CaptureFile {
  /** Relative to the page. */
  readonly file: string;
  readonly packets: number;
  readonly bytes: number;
  /** Packets with a comment. */
  readonly comments: number;
  /** Wireshark's, of the connection that the page draws; null where none is drawn. */
  readonly filter: string | null;
}

/** A scenario's run. */
export interface RunPart {
  /** Its anchor in the page. */
  readonly id: string;
  readonly name: string;
  readonly variant: string | null;
  readonly story: string;
  /** Term and value, for people. */
  readonly settings: readonly (readonly [term: string, value: string])[];
  /** The balancer's is null where there is none. */
  readonly timeouts: Omit<Timeouts, 'balancer'> & { readonly balancer: number | null };
  /** How long the client was silent in between; null where the story isn't about that. */
  readonly silenceMs: number | null;
  readonly result: RunResult;
  readonly topology: Topology;
  readonly capture: CaptureFile;
}

export interface ReportData {
  readonly runs: { readonly about: About; readonly parts: readonly RunPart[] } | null;
  readonly matrix: { readonly about: About; readonly result: MatrixResult } | null;
}
