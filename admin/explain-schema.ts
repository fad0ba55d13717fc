/**
 * What `POST /v1/explain` takes and gives, as schemas: the types of explain/, for admin/explain-routes.ts and the API's
 * description.
 */
import * as z from 'zod';
import type { Answer } from '../explain/explain.ts';
import type { Explanation } from '../explain/explanation.ts';
import type { WhatIf } from '../explain/what-if.ts';
import { mapping, oneOf, unicast, wholeNumber } from '../lb/config-values.ts';

const nullable = <T>(schema: z.ZodType<T>) => schema.nullable();

/** By its canonical text, however it is written. */
const endpoint = mapping({
  address: unicast.meta({ type: 'string', description: 'IPv4 or IPv6' }),
  port: wholeNumber(1, 65_535),
});

const backendName = z.string('the name of a backend, as b2 or web/b2').min(1, 'the name of a backend, as b2 or web/b2');

const edit = z.union(
  [
    mapping({ kind: oneOf('remove', 'drain', 'undrain'), backend: backendName }),
    mapping({ kind: z.literal('weight'), backend: backendName, weight: wholeNumber(1, 256) }),
  ],
  'an edit such as { kind: drain, backend: b2 }',
);

const whatIf = mapping({
  config: mapping({ name: z.string('what it is called'), text: z.string('a configuration as a file has it') })
    .optional()
    .describe('a configuration that were taken over, whole'),
  edits: z.array(edit, 'a list of edits').optional(),
  down: z.array(backendName, 'a list of backends').optional().describe('that health checks found down'),
  expired: z.boolean('true or false').optional().describe('the connection table had no entry'),
}) satisfies z.ZodType<WhatIf>;

export const question = mapping({
  client: endpoint,
  to: endpoint,
  protocol: oneOf('tcp', 'udp').default('tcp'),
  opens: z.boolean('true or false').default(false).describe('a SYN, or a first datagram'),
  whatIf: whatIf.default({}),
});

const protocol = z.enum(['tcp', 'udp']);
const place = z.strictObject({ address: z.string(), port: z.int() });

const service = z.strictObject({ name: z.string(), vip: z.string(), protocol: z.string(), ports: z.string() });

const entry = z.strictObject({
  backend: nullable(z.string()),
  isKnown: z.boolean().describe('the workers were asked'),
  worker: nullable(z.int()),
  idleMs: nullable(z.number()),
  remainingMs: nullable(z.number()),
});

const FINDINGS = [
  'hit',
  'syn',
  'forgotten',
  'unknown',
  'no-table',
  'error-hit',
  'error-miss',
  'ping',
  'fragment',
  'server-id',
] as const;

const outer = z.strictObject({
  encap: z.enum(['ipip', 'l2', 'gue', 'gre']),
  sourceMac: nullable(z.string()),
  destinationMac: nullable(z.string()),
  source: nullable(z.string()),
  destination: nullable(z.string()),
  protocol: nullable(z.int()),
  ttl: nullable(z.int()),
  flowLabel: nullable(z.int()),
  sourcePort: nullable(z.int()),
  port: nullable(z.int()),
  variant: nullable(z.literal([0, 1])),
  bytes: z.int(),
});

const explanation: z.ZodType<Explanation> = z.strictObject({
  service: nullable(service).describe('null where no service has the packet'),
  others: z.array(service).describe('the services of the VIP, where none of them has the packet'),
  table: nullable(z.strictObject({ finding: z.enum(FINDINGS), entry: nullable(entry) })),
  hash: nullable(z.strictObject({ by: z.string(), seed: z.int(), value: z.int() })),
  slot: nullable(z.strictObject({ number: z.int(), of: z.int(), backend: nullable(z.string()) })),
  backend: nullable(
    z.strictObject({
      name: z.string(),
      address: z.string(),
      weight: z.int(),
      state: z.enum(['active', 'draining']),
      isDown: z.boolean(),
    }),
  ),
  anyOf: z.array(z.string()).describe('with round-robin: one of these, whose turn it is'),
  outer: nullable(outer).describe(
    'what stands in front of the packet; null where nothing is sent, or it is not known what',
  ),
  room: nullable(z.strictObject({ mtu: z.int(), largest: z.int() })),
  verdict: z.enum(['forward', 'reset', 'answer', 'pass', 'hold', 'drop']),
  reason: z.string(),
  notes: z.array(z.string()),
});

export const explainAnswer: z.ZodType<Answer> = z.strictObject({
  flow: z.strictObject({ client: place, to: place, protocol }),
  opens: z.boolean(),
  from: z.enum(['file', 'daemon']),
  now: explanation,
  whatIf: nullable(
    z.strictObject({
      texts: z.array(z.string()),
      would: explanation,
      effect: z.strictObject({
        sameBackend: nullable(z.boolean()),
        breaks: nullable(z.boolean()),
        why: z.string(),
      }),
    }),
  ),
});
