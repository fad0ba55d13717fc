/**
 * A chart of a case's result as an SVG file that reads well on light and dark pages: drawn by ECharts without a browser, its
 * ink exchanged by a style sheet where the reader prefers dark. For bench/results-page.ts.
 */
import { init } from 'echarts';
import type { Chart } from './case.ts';
import { numberText } from './show.ts';

const WIDTH = 760;
const LEAST_HEIGHT = 420;
/** Of a bar with its number, and of all that stands around the bars. */
const BAR_HEIGHT = 16;
const AROUND_BARS = 130;
/** Of the names beside bars: a letter of the widest fonts that readers have, and what stands left and right of a name. */
const LETTER_WIDTH = 7;
const BESIDE_NAMES = 16;

const INK = '#1f2328';
const GRID = '#d1d9e0';
/** What the ink becomes on a dark page. */
const DARK = { [INK]: '#e6edf3', [GRID]: '#3d444d' };
/** Of enough contrast on white and on black. */
const OTHERS = '#7d8590';
const SERIES = ['#3b82d6', '#d9730d', '#1a9e6b', '#a855c7', '#d1495b', OTHERS, '#b08d00'];

export function chartSvg(chart: Chart): string {
  const plot = init(null, null, { renderer: 'svg', ssr: true, width: WIDTH, height: heightOf(chart) });
  try {
    plot.setOption(optionOf(chart));
    return withDarkInk(plot.renderToSVGString(), chart.title);
  } finally {
    plot.dispose();
  }
}

function heightOf({ kind, categories, series }: Chart): number {
  const bars = kind === 'bars' ? categories.length * series.length : 0;
  return Math.max(LEAST_HEIGHT, AROUND_BARS + bars * BAR_HEIGHT);
}

type Option = Parameters<ReturnType<typeof init>['setOption']>[0];

const TEXT = { color: INK };
const SPLIT_LINE = { lineStyle: { color: GRID } };

function optionOf(chart: Chart): Option {
  const { title, series } = chart;
  return {
    animation: false,
    color: SERIES,
    textStyle: { fontFamily: 'system-ui, sans-serif' },
    title: { text: title, left: 'center', top: 8, textStyle: { color: INK, fontSize: 15 } },
    legend: { show: series.length > 1, top: 36, itemGap: 30, textStyle: TEXT },
    ...(chart.kind === 'bars' ? bars(chart) : lines(chart)),
  };
}

/** Lying bars, the first on top: their names may be long. */
function bars({ unit, categories, own, digits, series, logarithmic = false }: Chart): Option {
  const longest = Math.max(...categories.map(({ length }) => length));
  return {
    grid: { left: BESIDE_NAMES + longest * LETTER_WIDTH, right: 70, top: series.length > 1 ? 70 : 45, bottom: 50 },
    xAxis: {
      type: logarithmic ? 'log' : 'value',
      name: unit,
      nameLocation: 'middle',
      nameGap: 30,
      nameTextStyle: TEXT,
      axisLabel: TEXT,
      splitLine: SPLIT_LINE,
    },
    yAxis: { type: 'category', inverse: true, data: [...categories], axisLabel: TEXT, axisTick: { show: false } },
    series: series.map(({ name, values }) => ({
      name,
      type: 'bar',
      data: values.map((value, i) => {
        const isOther = own !== undefined && !own.includes(categories[i]);
        return isOther ? { value, itemStyle: { color: OTHERS } } : value;
      }),
      label: {
        show: true,
        position: 'right',
        ...TEXT,
        textBorderWidth: 0,
        formatter: ({ value }: { value: unknown }) => (typeof value === 'number' ? valueText(value, digits) : ''),
      },
    })),
  };
}

function valueText(value: number, digits: number | undefined): string {
  return digits === undefined ? value.toLocaleString('en') : numberText(value, digits);
}

function lines({ unit, categoryName, categories, series, mark, logarithmic = false }: Chart): Option {
  return {
    grid: { left: 70, right: 30, top: 85, bottom: 50 },
    xAxis: {
      type: 'category',
      name: categoryName,
      nameLocation: 'middle',
      nameGap: 30,
      nameTextStyle: TEXT,
      data: [...categories],
      axisLabel: { ...TEXT, interval: 0 },
      axisLine: { lineStyle: { color: INK } },
    },
    yAxis: {
      type: logarithmic ? 'log' : 'value',
      name: unit,
      nameTextStyle: TEXT,
      axisLabel: TEXT,
      splitLine: SPLIT_LINE,
      // The line to compare with is shown also where it lies far above all values.
      ...(mark === undefined ? {} : { max: ({ max }: { max: number }) => roundUp(Math.max(max, mark.value * 1.1)) }),
    },
    series: series.map(({ name, values }, i) => ({
      name,
      type: 'line',
      data: [...values],
      symbol: 'circle',
      symbolSize: 7,
      lineStyle: { width: 2 },
      ...(mark !== undefined && i === 0 ? { markLine: markLine(mark) } : {}),
    })),
  };
}

/** To one significant digit, as an axis likes it. */
function roundUp(value: number): number {
  const magnitude = 10 ** Math.floor(Math.log10(value));
  return Math.ceil(value / magnitude) * magnitude;
}

function markLine({ name, value }: { readonly name: string; readonly value: number }) {
  return {
    symbol: 'none',
    lineStyle: { color: INK, type: 'dashed' as const },
    label: { formatter: `${name}: ${value}`, position: 'insideStartTop' as const, color: INK, textBorderWidth: 0 },
    data: [{ yAxis: value }],
  };
}

function withDarkInk(svg: string, title: string): string {
  const rules = Object.entries(DARK).map(
    ([light, dark]) => `[fill="${light}"]{fill:${dark}}[stroke="${light}"]{stroke:${dark}}`,
  );
  const style = `<style>@media (prefers-color-scheme:dark){${rules.join('')}}</style>`;
  const name = title.replace(/[&<>]/g, (letter) => `&#${letter.charCodeAt(0)};`);
  return svg.replace(
    /^<svg[^>]*>/,
    (opening) => `${opening.slice(0, -1)} role="img">\n<title>${name}</title>\n${style}`,
  );
}
