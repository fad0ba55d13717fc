/**
 * What a benchmark case is: a file in bench/cases/ that exports one `BenchCase`, entered in bench/cases.ts. The frame
 * (bench/main.ts) runs it in a process of its own, shows its tables, draws its charts, holds its targets against their limits
 * and writes all of it down; the case only measures.
 *
 * To add one: write `cases/NAME.ts`, list it in `cases.ts`, and give it a share of the time that the whole suite may take
 * (test/bench/suite.test.ts adds them up). Measure what is compared in turn (`interleave` in bench/rounds.ts), each in a
 * process of its own if V8 compiles it (bench/line-process.ts), and return plain data: it travels to the frame as JSON.
 */
import type { Spread } from './rounds.ts';

export interface BenchCase {
  readonly name: string;
  readonly title: string;
  /** What is measured, how, and what is counted in: stands above its tables. */
  readonly about: string;
  /** Makes network namespaces or loads eBPF programs. */
  readonly needsRoot: boolean;
  /** Seconds that it takes at most; it has fewer rounds on a slow machine (`CaseContext.secondsLeft`). */
  readonly seconds: { readonly quick: number; readonly full: number };
  run(context: CaseContext): Promise<CaseResult>;
}

export interface CaseContext {
  readonly quick: boolean;
  /** A revision of git to measure beside this one, for the cases that can. */
  readonly against: string | undefined;
  /** A folder of the case's own; removed afterwards. */
  readonly folder: string;
  /** Says what is being done; shown while it is. */
  progress(text: string): void;
  /** Of the case's time; never below 0. */
  secondsLeft(): number;
}

export interface CaseResult {
  readonly tables: readonly ResultTable[];
  readonly charts: readonly Chart[];
  readonly targets: readonly Target[];
  /** What was left out and why, and what the reader must know to read the figures. */
  readonly notes: readonly string[];
}

/** A measured number: shown as its median with the range of its rounds. */
export interface Figure extends Spread {
  readonly digits: number;
}

/** Null: not measured. */
export type Cell = string | number | Figure | null;

export interface ResultTable {
  readonly title: string;
  /** What one learns from it, in a line: stands above it. */
  readonly says: string;
  readonly head: readonly string[];
  readonly rows: readonly (readonly Cell[])[];
}

/** One value a category for each series; null leaves a gap. */
export interface Chart {
  readonly name: string;
  readonly title: string;
  readonly kind: 'bars' | 'lines';
  /** Of the values, and what the categories are. */
  readonly unit: string;
  readonly categoryName: string;
  readonly categories: readonly string[];
  /** Of bars of one series: the categories that are hushlb's, set apart from what they are compared with. */
  readonly own?: readonly string[];
  /** Of the numbers beside bars; as many as they have where it is left out. */
  readonly digits?: number;
  readonly series: readonly { readonly name: string; readonly values: readonly (number | null)[] }[];
  /** A horizontal line to compare with. */
  readonly mark?: { readonly name: string; readonly value: number };
  readonly logarithmic?: boolean;
}

/** What is to be reached: `measured` at most or at least `limit`. Undefined: it could not be measured, `why` says it. */
export interface Target {
  readonly what: string;
  readonly bound: 'at most' | 'at least';
  readonly limit: number;
  readonly unit: string;
  readonly digits: number;
  readonly measured: number | undefined;
  readonly why?: string;
}
