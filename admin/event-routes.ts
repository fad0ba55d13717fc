/**
 * The operation that tells what happens, as it happens or as it has happened. In the list of admin/api.ts.
 */
import * as z from 'zod';
import { mapping } from '../lb/config-values.ts';
import { followEvents } from '../lb/event-queue.ts';
import type { BalancerEvent, EventKind, EventLog } from '../lb/events.ts';
import { flag } from './request-body.ts';
import { type Route, route } from './route.ts';

/** In the order in which the commands explain them. */
export const EVENT_KINDS = [
  'change',
  'refused',
  'health',
  'drained',
  'pickup',
  'reset',
  'dropped',
  'eviction',
  'mismatch',
  'worker',
  'interface',
  'left-out',
] as const satisfies readonly EventKind[];

const event = z.strictObject({
  seq: z.int().describe('from 1, without gaps; 0: of this answer only'),
  at: z.string().describe('ISO 8601'),
  kind: z.enum(EVENT_KINDS),
  reason: z.string().describe('what happened and why'),
  service: z.string().optional(),
  backend: z.string().optional(),
  client: z.string().optional().describe('ADDRESS:PORT'),
  worker: z.int().optional(),
  id: z.string().optional().describe('of the change that caused it'),
  count: z.int().optional().describe('of left-out: how many'),
});

const DEFAULT_RECENT = 100;

const number = z.string().regex(/^\d{1,4}$/, 'a whole number up to 9999');

export const eventRoutes: readonly Route[] = [
  route({
    method: 'GET',
    path: '/v1/events',
    operation: 'listEvents',
    summary:
      'The last events; with follow=true those to come too. Workers tell of connections only while somebody follows',
    query: mapping({
      follow: flag.optional(),
      kind: z
        .enum(EVENT_KINDS, `one of ${EVENT_KINDS.join(', ')}`)
        .optional()
        .describe('only this kind'),
      service: z.string().optional().describe('only of this service'),
      recent: number.optional().describe(`how many of those that have happened, ${DEFAULT_RECENT} by default`),
    }),
    result: event,
    streams: true,
    handle({ query, signal }, { events }) {
      const { follow, kind, service, recent = DEFAULT_RECENT } = query;
      // How many were left out belongs to whatever is asked for.
      const wanted = (candidate: BalancerEvent): boolean =>
        (kind === undefined || candidate.kind === kind || candidate.kind === 'left-out') &&
        (service === undefined || candidate.service === service || candidate.service === undefined);
      return tell(events, Number(recent), wanted, follow === 'true' ? signal : null);
    },
  }),
];

async function* tell(
  log: EventLog,
  recent: number,
  wanted: (event: BalancerEvent) => boolean,
  follows: AbortSignal | null,
): AsyncGenerator<BalancerEvent> {
  // All that are kept are looked through: a kind that is asked for may be rare.
  const known = recent === 0 ? [] : log.recent(Number.MAX_SAFE_INTEGER).filter(wanted).slice(-recent);
  yield* known;
  if (follows !== null) yield* followEvents(log, follows, wanted);
}
