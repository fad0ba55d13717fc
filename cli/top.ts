/**
 * `hushlb top`: a running balancer, redrawn each second. A client of the admin API: GET /v1/status twice makes a picture
 * (top-frame.ts).
 */
import { setTimeout as pause } from 'node:timers/promises';
import { styleText } from 'node:util';
import type { CommandModule } from 'yargs';
import type { AdminClient } from '../admin/client.ts';
import type { Status } from '../admin/status-schema.ts';
import { type AdminArguments, withAdminOptions, withDaemon } from './admin-options.ts';
import { durationOf } from './duration-option.ts';
import { stopSignal } from './signals.ts';
import { terminalWidth } from './terminal.ts';
import { frameLines, type Line, type Mark, ratesOf } from './top-frame.ts';

interface TopArguments extends AdminArguments {
  readonly interval: string;
  readonly once: boolean;
  readonly json: boolean;
}

export const topCommand: CommandModule<object, TopArguments> = {
  command: 'top',
  describe: 'Watch a running balancer',
  builder: (yargs) =>
    withAdminOptions(yargs)
      .usage(
        '$0 top [--interval DURATION]\n\nShows services and backends with what they do in a second, busiest first, and goes on until ' +
          'q or Ctrl-C. new/s: connections opened. misses/s: packets of connections that the table had forgotten. share: of the ' +
          "service's packets, or of its slots while there are none. Where stdout is no terminal it prints one picture and ends.",
      )
      .option('interval', {
        type: 'string',
        default: '1s',
        requiresArg: true,
        describe: 'Between two looks, 100ms at least',
      })
      .option('once', { type: 'boolean', default: false, describe: 'One picture, whole, then an end' })
      .option('json', {
        type: 'boolean',
        default: false,
        describe: 'One picture as JSON: { services: [{ name, packets … }] }',
      })
      .example('$0 top', 'until q')
      .example('$0 top --once --interval 10s', 'an average over ten seconds'),
  handler: top,
};

const SHORTEST_MS = 100;

async function top(options: TopArguments): Promise<void> {
  const intervalMs = durationOf('interval', options.interval, SHORTEST_MS);
  const isOnce = options.once || options.json || !process.stdout.isTTY;
  await withDaemon(options, (daemon) =>
    isOnce ? printOnce(daemon, intervalMs, options.json) : watch(daemon, intervalMs),
  );
}

async function printOnce(daemon: AdminClient, intervalMs: number, json: boolean): Promise<void> {
  const before = await look(daemon);
  await pause(intervalMs);
  const after = await look(daemon);
  const rates = ratesOf(before.status, after.status, (after.at - before.at) / 1000);
  if (json) return void process.stdout.write(`${JSON.stringify(rates)}\n`);
  const lines = frameLines(after.status, rates, terminalWidth(), Number.POSITIVE_INFINITY);
  process.stdout.write(`${lines.map(({ text }) => text).join('\n')}\n`);
}

interface Look {
  readonly status: Status;
  /** In ms, on a clock that doesn't step. */
  readonly at: number;
}

async function look(daemon: AdminClient): Promise<Look> {
  const status = (await daemon.request('GET', '/v1/status')) as Status;
  return { status, at: performance.now() };
}

/** The alternate screen, without a cursor and without wrapping; the way back gives the terminal as it was. */
const ENTER = '\x1b[?1049h\x1b[?25l\x1b[?7l';
const LEAVE = '\x1b[?7h\x1b[?25h\x1b[?1049l';

/** And Ctrl-C, Ctrl-D, Escape, which are none of a terminal's business in raw mode. */
const ENDING_KEYS: readonly string[] = ['q', 'Q', '\x03', '\x04', '\x1b'];

async function watch(daemon: AdminClient, intervalMs: number): Promise<void> {
  const { stdin, stdout } = process;
  const end = new AbortController();
  const stop = (): void => {
    end.abort();
    daemon.close();
  };
  const onKey = (keys: Buffer): void => {
    if (ENDING_KEYS.includes(keys.toString('latin1'))) stop();
  };
  let draw: () => void = () => {};
  const redraw = (): void => draw();
  void stopSignal().then(stop);
  const hasKeys = stdin.isTTY;
  if (hasKeys) stdin.setRawMode(true).on('data', onKey);
  stdout.on('resize', redraw).write(ENTER);
  try {
    let before = await look(daemon);
    let after = before;
    draw = () => {
      const seconds = Math.max(after.at - before.at, 1) / 1000;
      stdout.write(pictureOf(after.status, ratesOf(before.status, after.status, seconds), stdout.columns, stdout.rows));
    };
    draw();
    while (!end.signal.aborted) {
      await pause(intervalMs, undefined, { signal: end.signal }).catch(() => {});
      if (end.signal.aborted) break;
      const next = await look(daemon);
      before = after;
      after = next;
      draw();
    }
  } catch (error) {
    // A question that was given up at the end.
    if (!end.signal.aborted) throw error;
  } finally {
    stdout.off('resize', redraw).write(LEAVE);
    if (hasKeys) stdin.off('data', onKey).setRawMode(false).pause();
  }
}

const STYLES: Readonly<Record<Mark, Parameters<typeof styleText>[0] | null>> = {
  title: 'dim',
  service: 'bold',
  backend: null,
  bad: 'red',
};

/** Over what stands there, so that nothing flickers. Some terminals don't know their size and say 0. */
function pictureOf(status: Status, rates: ReturnType<typeof ratesOf>, columns: number, rows: number): string {
  const lines = frameLines(status, rates, columns || 80, rows || 24);
  return `\x1b[H${lines.map((line) => `${painted(line)}\x1b[K`).join('\r\n')}\x1b[J`;
}

function painted({ text, mark }: Line): string {
  const style = STYLES[mark];
  // hasColors heeds NO_COLOR, FORCE_COLOR and a dumb terminal.
  return style === null || !process.stdout.hasColors() ? text : styleText(style, text);
}
