/**
 * `hushlb events`: what happens in a running balancer, a line each. A client of the admin API (admin/event-routes.ts).
 */
import { styleText } from 'node:util';
import type { CommandModule } from 'yargs';
import { EVENT_KINDS } from '../admin/event-routes.ts';
import { HushlbError } from '../lb/errors.ts';
import type { BalancerEvent, EventKind } from '../lb/events.ts';
import { type AdminArguments, withAdminOptions, withDaemon } from './admin-options.ts';
import { UsageError } from './errors.ts';
import { stopSignal } from './signals.ts';
import { cut, terminalWidth } from './terminal.ts';

interface EventsArguments extends AdminArguments {
  readonly follow: boolean;
  readonly kind: EventKind | undefined;
  readonly service: string | undefined;
  readonly recent: number;
  readonly json: boolean;
}

export const eventsCommand: CommandModule<object, EventsArguments> = {
  command: 'events',
  describe: 'Tell what happens in a running balancer',
  builder: (yargs) =>
    withAdminOptions(yargs)
      .usage(
        '$0 events [--follow] [--kind KIND] [--service NAME]\n\nShows the last events; with --follow those to come, until Ctrl-C. ' +
          'Changes, health and drains are always kept. What becomes of connections (pickup, reset, dropped, eviction, mismatch) ' +
          'is told while somebody follows: up to 1,000 a second and worker, and left-out says how many more there were.',
      )
      .option('follow', { alias: 'f', type: 'boolean', default: false, describe: 'Go on, with events to come' })
      .option('kind', { alias: 'k', choices: EVENT_KINDS, requiresArg: true, describe: 'Only this kind' })
      .option('service', { alias: 's', type: 'string', requiresArg: true, describe: 'Only of this service' })
      .option('recent', {
        alias: 'n',
        type: 'number',
        default: 100,
        requiresArg: true,
        describe: 'So many of the last ones',
      })
      .option('json', { type: 'boolean', default: false, describe: 'Write a line of JSON each' })
      .example('$0 events --follow', 'everything, as it happens')
      .example('$0 events --follow --kind mismatch', 'connections that the table alone keeps in place')
      .example('$0 events --kind change -n 5', 'the last five changes'),
  handler: events,
};

async function events(options: EventsArguments): Promise<void> {
  const { follow, kind, service, recent, json } = options;
  if (!(Number.isInteger(recent) && recent >= 0 && recent <= 9999)) {
    throw new UsageError('--recent: expected a whole number up to 9999');
  }
  const query = new URLSearchParams({ recent: String(recent) });
  if (follow) query.set('follow', 'true');
  if (kind !== undefined) query.set('kind', kind);
  if (service !== undefined) query.set('service', service);
  const paint = painter();
  await withDaemon(options, async (daemon) => {
    let isOver = !follow;
    void stopSignal().then(() => {
      isOver = true;
      daemon.close();
    });
    for await (const line of daemon.stream(`/v1/events?${query}`)) {
      const event = line as BalancerEvent;
      // A last line, which says that more is not coming.
      if (event.seq === 0) isOver = true;
      const text = json ? JSON.stringify(event) : eventText(event, terminalWidth(), process.stdout.isTTY, paint);
      if (!process.stdout.write(`${text}\n`)) await new Promise((resolve) => process.stdout.once('drain', resolve));
    }
    if (!isOver) throw new HushlbError('ADMIN_LOST', `hushlb at ${daemon.place} has ended: its log says why`);
  });
}

type Style = Parameters<typeof styleText>[0];
type Paint = (style: Style, text: string) => string;

const STYLES: Readonly<Partial<Record<EventKind, Style>>> = {
  refused: 'red',
  reset: 'red',
  dropped: 'red',
  worker: 'red',
  interface: 'red',
  eviction: 'yellow',
  mismatch: 'yellow',
  health: 'magenta',
  drained: 'green',
  change: 'green',
  'left-out': 'dim',
};

function painter(): Paint {
  // hasColors heeds NO_COLOR, FORCE_COLOR and a dumb terminal.
  const colours = process.stdout.isTTY && process.stdout.hasColors();
  return (style, text) => (colours ? styleText(style, text) : text);
}

const KIND_WIDTH = Math.max(...EVENT_KINDS.map((kind) => kind.length));
const TIME_WIDTH = '19:08:14.123'.length;

/** `19:08:14.123  pickup    web  198.18.1.7:40001  the table did not know …`; cut to the width on a terminal only. */
export function eventText(event: BalancerEvent, width: number, fits: boolean, paint: Paint): string {
  const { at, kind, service, backend, client, id, worker, reason } = event;
  const where = [service === undefined ? undefined : backend === undefined ? service : `${service}/${backend}`, client];
  const rest = [...where, id, reason].filter((part) => part !== undefined).join('  ');
  const time = at.slice(11, 11 + TIME_WIDTH);
  const text = worker === undefined || kind !== 'left-out' ? rest : `worker ${worker}: ${rest}`;
  const room = width - TIME_WIDTH - KIND_WIDTH - 4;
  const style = STYLES[kind];
  const name = kind.padEnd(KIND_WIDTH);
  return `${time}  ${style === undefined ? name : paint(style, name)}  ${fits ? cut(text, room) : text}`;
}
