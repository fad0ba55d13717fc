/**
 * The operations on connection tables: what is in them, by which filter, and forgetting it. In the list of admin/api.ts. The workers
 * answer between two batches (lb/ask.ts); no packet waits for a long list.
 */
import * as z from 'zod';
import { parseClient } from '../lb/client-text.ts';
import { mapping } from '../lb/config-values.ts';
import type { ControlPlane } from '../lb/control-plane.ts';
import { serviceIndex } from '../lb/edit.ts';
import { choiceByHash } from '../lb/hash-choice.ts';
import type { ConntrackEntry, EntryFilter } from '../lb/worker-requests.ts';
import { RequestError } from './errors.ts';
import { flag } from './request-body.ts';
import { type Route, route } from './route.ts';

const DEFAULT_LIMIT = 1000;
const MOST = 100_000;

const entry = z.strictObject({
  worker: z.int(),
  service: z.string(),
  client: z.string().nullable().describe('null: of an IPv6 client the table keeps a digest only'),
  port: z.int(),
  servicePort: z.int().optional().describe('of a service with several ports'),
  backend: z.string(),
  idleMs: z.int().describe('since its last packet'),
  remainingMs: z.int().describe('until it is forgotten, if no packet comes'),
  proven: z.boolean().describe('it has seen a second packet: a flood cannot push it out'),
  closing: z.boolean().describe('FIN or RST was seen'),
  divergent: z
    .boolean()
    .optional()
    .describe(
      'names another backend than the hash would: it breaks if the table is lost; left out where nobody can tell',
    ),
});

const listAnswer = z.strictObject({
  entries: z.array(entry),
  matched: z.int().describe('how many there are, beyond the limit too'),
});

const flushAnswer = z.strictObject({ flushed: z.int() });

const countAnswer = z.strictObject({
  counts: z.array(
    z.strictObject({
      service: z.string(),
      backend: z.string(),
      entries: z.int(),
      divergent: z.int().describe('of them, those that name another backend than the hash would'),
    }),
  ),
});

const showAnswer = z.strictObject({
  service: z.string(),
  client: z.string(),
  port: z.int().nullable(),
  byHash: z
    .string()
    .nullable()
    .describe('the backend without the table; null: nobody, or it takes a port to say, or round-robin'),
  entries: z.array(entry.extend({ byHash: z.string().nullable(), expiresAt: z.string().describe('ISO 8601') })),
});

const text = z.string('a text');

const filterQuery = {
  service: text.optional().describe('only of this service'),
  backend: text.optional().describe('only of this backend'),
  client: text.optional().describe('only of this client: ADDRESS or ADDRESS:PORT'),
  divergent: flag.optional().describe('only those that name another backend than the hash would'),
};

const limit = z
  .string()
  .refine((value) => /^\d{1,6}$/.test(value) && Number(value) <= MOST, `a whole number up to ${MOST}`);

export const conntrackRoutes: readonly Route[] = [
  route({
    method: 'GET',
    path: '/v1/conntrack',
    operation: 'listConnections',
    summary: 'Entries of the connection tables',
    query: mapping({
      ...filterQuery,
      limit: limit.optional().describe(`${DEFAULT_LIMIT} by default, at most ${MOST}`),
    }),
    result: listAnswer,
    async handle({ query }, { parts }) {
      const { limit: most = DEFAULT_LIMIT } = query;
      const request = { kind: 'list', filter: filterOf(query), limit: Number(most) } as const;
      const { entries, matched } = await parts.workers.ask(request);
      return { entries: [...entries], matched };
    },
  }),
  route({
    method: 'DELETE',
    path: '/v1/conntrack',
    operation: 'flushConnections',
    summary: 'Forgets entries, silently: their next packet is placed by hash',
    query: mapping({ ...filterQuery, all: flag.optional().describe('needed where nothing else is given') }),
    result: flushAnswer,
    async handle({ query }, { parts }) {
      const filter = filterOf(query);
      const isWhole = Object.values(filter).every((value) => value === undefined);
      if (isWhole !== (query.all === 'true')) {
        throw new RequestError(400, 'BAD_REQUEST', 'expected a filter, or all=true and no filter');
      }
      const { flushed } = await parts.workers.ask({ kind: 'flush', filter });
      return { flushed };
    },
  }),
  route({
    method: 'GET',
    path: '/v1/conntrack-counts',
    operation: 'countConnections',
    summary: 'How many entries each backend has',
    query: mapping(filterQuery),
    result: countAnswer,
    async handle({ query }, { parts }) {
      const { counts } = await parts.workers.ask({ kind: 'count', filter: filterOf(query) });
      return { counts: counts.map((count) => ({ ...count, divergent: count.divergent ?? 0 })) };
    },
  }),
  route({
    method: 'GET',
    path: '/v1/conntrack/{service}/{client}',
    operation: 'showConnection',
    summary: 'What a client’s connections to a service are known by, and what the hash alone would say',
    result: showAnswer,
    handle: ({ params: { service, client } }, control) => show(control, service, client),
  }),
];

type FilterQuery = { readonly [K in keyof typeof filterQuery]?: string | undefined };

function filterOf({ service, backend, client, divergent }: FilterQuery): EntryFilter {
  const { address, port } = client === undefined ? {} : parseClient(client);
  return { service, backend, client: address, port, divergent: divergent === 'true' ? true : undefined };
}

async function show({ parts }: ControlPlane, name: string, clientName: string): Promise<z.infer<typeof showAnswer>> {
  const { config, places } = parts.prepared;
  const index = serviceIndex(config, name);
  const { vip, ports } = config.services[index];
  const { address, port } = parseClient(clientName);
  if (vip.includes(':') !== address.includes(':')) {
    throw new RequestError(400, 'CLIENT_INVALID', `client ${address}: service ${name} is at ${vip}, another family`);
  }
  const nameOfChoice = (clientPort: number, servicePort: number): string | null => {
    const choice = choiceByHash(parts.state, index, address, clientPort, servicePort);
    return places.services[index].backends.find((backend) => backend.index === choice?.backend)?.name ?? null;
  };
  const filter = { service: name, client: address, port };
  const { entries } = await parts.workers.ask({ kind: 'list', filter, limit: DEFAULT_LIMIT });
  const now = Date.now();
  const told = (found: ConntrackEntry) => ({
    ...found,
    byHash: nameOfChoice(found.port, found.servicePort ?? ports.first),
    expiresAt: new Date(now + found.remainingMs).toISOString(),
  });
  const byHash = port === undefined || ports.first !== ports.last ? null : nameOfChoice(port, ports.first);
  return { service: name, client: address, port: port ?? null, byHash, entries: entries.map(told) };
}
