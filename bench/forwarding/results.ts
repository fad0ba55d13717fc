/** What case `forwarding` has measured, as tables, chart and targets. */
import type { CaseResult, Cell, ResultTable, Target } from '../case.ts';
import { figure, ratios } from '../rounds.ts';
import { MAIN_POINT, type Point } from './points.ts';
import { RATIOS, type Subject, type SubjectKey } from './subjects.ts';

/** hushlb and its devices. */
export const OWN: readonly SubjectKey[] = ['reflect', 'hushlb', 'hushlb-packet', 'reflect-packet'];

/** One subject at one point: what each round gave. */
export interface Measured {
  readonly point: Point;
  readonly key: SubjectKey;
  readonly mpps: readonly number[];
  /** CPU seconds a million packets. */
  readonly processCpu: readonly number[];
  readonly machineCpu: readonly number[];
}

export function present(
  measured: readonly Measured[],
  subjects: readonly Subject[],
  missing: readonly string[],
  quick: boolean,
): CaseResult {
  const points = [...new Set(measured.map(({ point }) => point))];
  const at = (point: Point, key: SubjectKey): Measured | undefined =>
    measured.find((each) => each.point === point && each.key === key);
  const pointName = ({ frameBytes, flows }: Point): string => `${frameBytes} bytes, ${flows.toLocaleString('en')}`;
  const ratio = (point: Point, over: SubjectKey, under: SubjectKey): number[] | undefined => {
    const [a, b] = [at(point, over), at(point, under)];
    return a === undefined || b === undefined ? undefined : ratios(a.mpps, b.mpps);
  };
  const ratioCell = (point: Point, [, over, under]: (typeof RATIOS)[number]): Cell => {
    const values = ratio(point, over, under);
    return values === undefined ? null : figure(values, 2);
  };
  const mppsTable = (
    { title, says }: Pick<ResultTable, 'title' | 'says'>,
    columns: readonly Point[],
    name: (point: Point) => string,
  ): ResultTable => ({
    title,
    says,
    head: ['subject', ...columns.map(name)],
    rows: subjects.map((subject) => [subject.name, ...columns.map((point) => mppsCell(at(point, subject.key)))]),
  });
  const target = (what: string, limit: number, over: SubjectKey, under: SubjectKey): Target => {
    const values = ratio(MAIN_POINT, over, under);
    return {
      what,
      bound: 'at least',
      limit,
      unit: 'times',
      digits: 2,
      measured: values === undefined ? undefined : figure(values, 2).median,
      ...(values === undefined ? { why: 'a subject was left out' } : {}),
    };
  };
  return {
    tables: [
      mppsTable(
        {
          title: `Millions of packets a second, ${MAIN_POINT.frameBytes}-byte frames, by flows`,
          says: 'What one core of hushlb takes beside the wire’s limit, C and the kernel; and what remembering more flows costs each.',
        },
        points.filter(({ frameBytes }) => frameBytes === MAIN_POINT.frameBytes),
        ({ flows }) => flows.toLocaleString('en'),
      ),
      ...(quick
        ? []
        : [
            mppsTable(
              {
                title: `Millions of packets a second, ${MAIN_POINT.flows.toLocaleString('en')} flows, by frame size`,
                says: 'What copying longer frames costs: all that is not XDP_TX copies each of them, but for the kernel’s own paths.',
              },
              points.filter(({ flows }) => flows === MAIN_POINT.flows),
              ({ frameBytes }) => `${frameBytes} bytes`,
            ),
          ]),
      {
        title: 'Ratios, round by round, by frame size and flows',
        says: 'What each step costs: above 1 the first of the two is ahead; moving frames in TypeScript, deciding, and both in C.',
        head: ['one over the other', ...points.map(pointName)],
        rows: RATIOS.map((pair) => [pair[0], ...points.map((point) => ratioCell(point, pair))]),
      },
      {
        title: `CPU seconds a million packets, ${pointName(MAIN_POINT)} flows`,
        says: 'What a packet costs: 1 CPU second a million is 1 µs a packet. Less is better.',
        head: ['subject', 'its process', 'the machine'],
        rows: subjects.map(({ key, name }) => {
          const found = at(MAIN_POINT, key);
          if (found === undefined) return [name, null, null];
          const own = found.processCpu.length > 0 && key !== 'xdp-tx' ? figure(found.processCpu, 2) : 'in the kernel';
          return [name, own, figure(found.machineCpu, 2)];
        }),
      },
    ],
    charts: [
      {
        name: 'forwarding',
        title: `Forwarding on a veth pair, ${MAIN_POINT.frameBytes}-byte frames, ${MAIN_POINT.flows.toLocaleString('en')} flows`,
        kind: 'bars',
        unit: 'million packets a second: more is better (blue: hushlb)',
        categoryName: '',
        categories: subjects.map(({ name }) => name),
        own: subjects.filter(({ key }) => OWN.includes(key)).map(({ name }) => name),
        digits: 2,
        series: [{ name: 'Mpps', values: subjects.map(({ key }) => at(MAIN_POINT, key)).map(medianOf) }],
      },
    ],
    targets: [
      target('hushlb over its device reflecting, 64 B', 0.97, 'hushlb', 'reflect'),
      target('its device reflecting over C, 64 B', 0.95, 'reflect', 'c'),
      target('its af-packet device reflecting over C of the same kind, 64 B', 0.8, 'reflect-packet', 'c-packet'),
    ],
    notes: [
      ...missing,
      '“Its process” is user and system time of all its threads; the soft interrupts that receive the frames run on core 0, those that ' +
        'hand on what was sent on core 1. “The machine” is everything on all cores: generator, sink and soft interrupts too.',
      'nftables DNAT gets no more flows than nf_conntrack_max of the machine allows.',
      'Reflectors only swap MAC addresses; hushlb run and the balancer in C decide, remember and encapsulate. What the balancer in C ' +
        'keeps of its reflector is what any decision could. The portable device is not measured.',
    ],
  };
}

function mppsCell(measured: Measured | undefined): Cell {
  return measured === undefined ? null : figure(measured.mpps, 3);
}

function medianOf(measured: Measured | undefined): number | null {
  return measured === undefined ? null : Number(figure(measured.mpps, 3).median.toFixed(3));
}
