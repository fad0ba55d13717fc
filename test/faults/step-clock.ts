/**
 * Loaded into `hushlb run` by `node --import`: its wall clock, and that of its threads, jumps by hours, forwards and back, each
 * time that it is asked. Not a test.
 */
const HOURS = 7 * 3_600_000;
const RealDate = Date;
let asked = 0;

function stepped(): number {
  asked++;
  return RealDate.UTC(2026, 0) + (asked % 2 === 0 ? HOURS : -HOURS) * (asked % 5);
}

class SteppedDate extends RealDate {
  constructor(...values: [] | [number]) {
    super(values.length === 0 ? stepped() : values[0]);
  }

  static override now(): number {
    return stepped();
  }
}
globalThis.Date = SteppedDate as DateConstructor;
