/** What case `decision-cost` has measured, as tables, chart and targets. */
import type { CaseContext, CaseResult, Cell, Figure, Target } from '../case.ts';
import { figureText } from '../show.ts';
import type { Yardstick } from '../yardstick/compile.ts';
import { MODES } from './modes.ts';

const TARGET_FLOWS = [10_000, 1_000_000];
const TARGET_RATIO = 1.5;
const FAMILY_RATIO = 1.3;
/** Maglev's packet processing on one core, small packets (Eisenbud et al., NSDI 2016, section 5.2.1). */
const MAGLEV_NS = 350;

/** Of the comparison of families, which is at so many flows; and starts of a process, which has luck in how V8 compiles it. */
export const FAMILY_FLOWS = 10_000;
export const STARTS_SIDE_BY_SIDE = 3;

export interface Decision {
  readonly mode: string;
  readonly flows: number;
  readonly ours: Figure;
  readonly inC: Figure | null;
  readonly ratio: Figure | null;
}

export function present(
  decisions: readonly Decision[],
  families: Figure,
  yardstick: Yardstick,
  { quick }: CaseContext,
): CaseResult {
  const first = decisions.filter(({ mode }) => mode === MODES[0].name);
  const flowCounts = [...new Set(decisions.map(({ flows }) => flows))].sort((a, b) => a - b);
  const labels = flowCounts.map((flows) => flows.toLocaleString('en'));
  const matrix = (cell: (decision: Decision) => Cell): Cell[][] =>
    MODES.map(({ name }) => [
      name,
      ...flowCounts.map((flows) => {
        const found = decisions.find((decision) => decision.mode === name && decision.flows === flows);
        return found === undefined ? null : cell(found);
      }),
    ]);
  const median = (wanted: Figure | null): number | null => (wanted === null ? null : wanted.median);
  return {
    tables: [
      {
        title: 'Mode stateless, ns a packet',
        says: 'What the language costs, as the ratio; and that more flows cost more because their entries have to come from memory.',
        head: ['flows', 'hushlb (TypeScript)', 'the same in C', 'ratio'],
        rows: first.map(({ flows, ours, inC, ratio }) => [flows.toLocaleString('en'), ours, inC, ratio]),
      },
      {
        title: 'Every mode, ns a packet, by flows',
        says: 'What each mode adds to a decision. Less is better.',
        head: ['mode', ...labels],
        rows: matrix(({ ours }) => ours),
      },
      ...(yardstick.path === undefined
        ? []
        : [
            {
              title: 'Every mode, ratio to C, by flows',
              says: 'Whether any mode is slower for another reason than the language: times the cost in C, less is better.',
              head: ['mode', ...labels],
              rows: matrix(({ ratio }) => ratio),
            },
          ]),
    ],
    charts: [
      {
        name: 'decision-cost',
        title: 'Decision cost: one core, no device; less is better',
        kind: 'lines',
        unit: 'ns a packet',
        categoryName: 'flows',
        categories: first.map(({ flows }) => flows.toLocaleString('en')),
        series: [
          { name: 'hushlb, stateless', values: first.map(({ ours }) => ours.median) },
          { name: 'the same in C', values: first.map(({ inC }) => median(inC)) },
        ],
        mark: { name: 'Maglev, as published', value: MAGLEV_NS },
      },
    ],
    targets: [
      ...TARGET_FLOWS.map((flows) => ratioTarget(first, flows, yardstick)),
      ceilingTarget(decisions),
      familyTarget(families),
    ],
    notes: [
      yardstick.path === undefined
        ? `The C yardstick was left out: ${yardstick.missing}.`
        : `C: ${yardstick.compiler}.`,
      `Maglev's ${MAGLEV_NS} ns a packet are the paper's figure (NSDI 2016), on other hardware and with I/O.`,
      `IPv6 over IPv4, by turns in ${STARTS_SIDE_BY_SIDE} starts: ${figureText(families)}; the rows above were not by turns. The C program does IPv4 alone.`,
      'In mode stateful the C program does not write the RST of the few flows that find no place in the table.',
      ...(quick ? ['A quick run measures the other modes at one number of flows.'] : []),
    ],
  };
}

function ratioTarget(first: readonly Decision[], flows: number, yardstick: Yardstick): Target {
  const found = first.find((decision) => decision.flows === flows)?.ratio;
  return {
    what: `decision cost over C, ${flows.toLocaleString('en')} flows`,
    bound: 'at most',
    limit: TARGET_RATIO,
    unit: 'times',
    digits: 2,
    measured: found?.median,
    ...(yardstick.path === undefined ? { why: 'no C compiler' } : {}),
  };
}

function familyTarget({ median }: Figure): Target {
  return {
    what: `decision cost of IPv6 over IPv4, ${FAMILY_FLOWS.toLocaleString('en')} flows`,
    bound: 'at most',
    limit: FAMILY_RATIO,
    unit: 'times',
    digits: 2,
    measured: median,
  };
}

function ceilingTarget(decisions: readonly Decision[]): Target {
  return {
    what: 'decision cost, slowest mode and number of flows',
    bound: 'at most',
    limit: MAGLEV_NS,
    unit: 'ns',
    digits: 0,
    measured: Math.max(...decisions.map(({ ours }) => ours.median)),
  };
}
