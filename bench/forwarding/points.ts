/** What case `forwarding` measures its subjects at: frame lengths and numbers of flows. */

export interface Point {
  /** As benches count: with FCS. */
  readonly frameBytes: number;
  readonly flows: number;
}

export const FCS = 4;
export const MAIN_POINT: Point = { frameBytes: 64, flows: 10_000 };
export const FULL_POINTS: readonly Point[] = [
  { frameBytes: 64, flows: 1 },
  { frameBytes: 64, flows: 1_000 },
  MAIN_POINT,
  { frameBytes: 64, flows: 100_000 },
  { frameBytes: 64, flows: 1_000_000 },
  { ...MAIN_POINT, frameBytes: 512 },
  { ...MAIN_POINT, frameBytes: 1400 },
];
