/**
 * Case `lookup-table`: how long Maglev's table takes to build, how even it is, and how many flows a change of backends moves,
 * beside the figures of the paper (Eisenbud et al., NSDI 2016, section 5.3).
 */
import { buildLookupTable, type LookupTable } from '../../hashing/lookup-table.ts';
import { disruption, imbalance } from '../../hashing/table-facts.ts';
import type { BenchCase, CaseResult, Figure } from '../case.ts';
import { figure, interleave } from '../rounds.ts';

const TABLE_SIZES = [65_537, 655_373];
const BACKEND_COUNTS = [10, 100, 1_000];
/** Build times of the paper, ms, by table size; 1,000 backends. */
const PUBLISHED_MS: Readonly<Record<number, number>> = { 65537: 1.8, 655373: 22.9 };
const PUBLISHED_BACKENDS = 1_000;
const TARGET_MS = 5;

interface Backend {
  readonly name: string;
  readonly weight: number;
}

export interface TableFacts {
  readonly imbalance: number;
  /** Shares of all flows, 0 to 1; what cannot be avoided is that of the backend that comes or goes. */
  readonly disruptionOfRemoval: number;
  readonly disruptionOfAddition: number;
}

export const lookupTable: BenchCase = {
  name: 'lookup-table',
  title: 'Lookup table',
  about:
    'Building the Maglev table of a service with backends of equal weight: sorting, hashing names, filling, fingerprint. A few ' +
    'tables are built on the main thread, many on threads of their own, none on a worker’s. Imbalance is the largest share over ' +
    'the fair one; disruption the share of flows whose backend changes when one of the backends goes, or one more comes.',
  needsRoot: false,
  seconds: { quick: 4, full: 20 },
  async run({ quick, progress, secondsLeft }) {
    progress('the first build');
    const cold = timed(() => buildLookupTable(backends(PUBLISHED_BACKENDS), TABLE_SIZES[0]));
    const shapes = TABLE_SIZES.flatMap((tableSize) => BACKEND_COUNTS.map((count) => ({ tableSize, count })));
    // V8 has compiled the filling for all shapes before the first round.
    for (const { tableSize, count } of shapes) buildLookupTable(backends(count), tableSize);
    progress('build times');
    const limits = { atLeast: 3, atMost: quick ? 7 : 51, hasTime: () => secondsLeft() > (quick ? 2 : 8) };
    const times = await interleave(shapes, limits, async ({ tableSize, count }) => {
      const list = backends(count);
      return timed(() => buildLookupTable(list, tableSize));
    });
    progress('imbalance and disruption');
    const built = shapes.map((shape, i) => ({
      ...shape,
      ms: figure(times[i], 2),
      facts: tableFacts(shape.count, shape.tableSize),
    }));
    return present(built, cold);
  },
};

interface Built {
  readonly tableSize: number;
  readonly count: number;
  readonly ms: Figure;
  readonly facts: TableFacts;
}

export function tableFacts(count: number, tableSize: number): TableFacts {
  const table = buildLookupTable(backends(count), tableSize);
  const without = (gone: number): LookupTable =>
    buildLookupTable(
      backends(count).filter((_, i) => i !== gone),
      tableSize,
    );
  return {
    imbalance: imbalance(table),
    disruptionOfRemoval: disruption(table, without(count >> 1)),
    disruptionOfAddition: disruption(table, buildLookupTable(backends(count + 1), tableSize)),
  };
}

function backends(count: number): Backend[] {
  return Array.from({ length: count }, (_, i) => ({ name: `b${i + 1}`, weight: 1 }));
}

function timed(work: () => unknown): number {
  const start = performance.now();
  work();
  return performance.now() - start;
}

function present(built: readonly Built[], cold: number): CaseResult {
  const percent = (share: number): string => `${(share * 100).toFixed(2)} %`;
  const target = built.find(({ tableSize, count }) => tableSize === TABLE_SIZES[0] && count === PUBLISHED_BACKENDS);
  return {
    tables: [
      {
        title: 'Build time, imbalance, disruption',
        says: 'What a change of backends costs, and moves: Maglev moves a little more than must be (≥), the less the larger the table.',
        head: [
          'table size',
          'backends',
          'build, ms',
          'the paper, ms',
          'imbalance',
          'moved: one removed',
          'moved: one added',
        ],
        rows: built.map(({ tableSize, count, ms, facts }) => [
          tableSize.toLocaleString('en'),
          count,
          ms,
          count === PUBLISHED_BACKENDS ? `${PUBLISHED_MS[tableSize]}` : null,
          facts.imbalance.toFixed(3),
          `${percent(facts.disruptionOfRemoval)} (≥ ${percent(1 / count)})`,
          `${percent(facts.disruptionOfAddition)} (≥ ${percent(1 / (count + 1))})`,
        ]),
      },
    ],
    charts: [],
    targets: [
      {
        what: `lookup table of ${PUBLISHED_BACKENDS.toLocaleString('en')} backends at ${TABLE_SIZES[0]}`,
        bound: 'at most',
        limit: TARGET_MS,
        unit: 'ms',
        digits: 1,
        measured: target?.ms.median,
      },
    ],
    notes: [
      `The first build of a process, before V8 has compiled it: ${cold.toFixed(1)} ms for ${PUBLISHED_BACKENDS.toLocaleString('en')} backends at ${TABLE_SIZES[0]}.`,
      'The paper’s figures are of C++ on a Xeon E5-1650 at 3.2 GHz.',
    ],
  };
}
