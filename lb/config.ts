/**
 * The configuration: its types, and the schema that turns parsed YAML into them. config-file.ts reads a file through it;
 * the daemon and the commands get a frozen `Config`, plain data that travels to workers by `postMessage`.
 *
 * Every rule's message is the text that follows "expected" in a problem, so that all of them read alike. What one value
 * cannot know (duplicates, sizes that depend on each other) stands in config-rules.ts.
 */
import * as z from 'zod';
import { isPrime, MAX_TABLE_SIZE, nextPrime } from '../hashing/lookup-table.ts';
import type { ZeroCopy } from '../io/xsk-socket.ts';
import { parseIpv4 } from '../wire/address.ts';
import { behaviourOf, type Mode } from './behaviour.ts';
import { expectedDuration, parseDuration } from './duration.ts';
import { type OnExpiry, type OnMiss, PROFILE_NAMES, type ProfileName } from './profiles.ts';

/** `auto`: the first of the two that works. */
export type Io = 'af-xdp' | 'af-packet' | 'portable' | 'auto';
export type XdpMode = 'auto' | 'native' | 'generic';
export type Scheduler = 'maglev' | 'round-robin';
export type HashInput = 'source-ip' | 'source-ip-port' | 'five-tuple';
export type Encap = 'ipip' | 'l2';

export interface Config {
  readonly interface: string;
  readonly io: Io;
  readonly mode: Mode;
  readonly hashSeed: number;
  readonly metrics: { readonly listen: ListenAddress } | null;
  readonly xdpMode: XdpMode;
  readonly afXdp: AfXdpConfig;
  /** `auto`: one a receive queue. */
  readonly workers: number | 'auto';
  /** Where each worker is pinned; null: nowhere. */
  readonly cpus: readonly number[] | null;
  readonly services: readonly ServiceConfig[];
}

export interface AfXdpConfig {
  /** Frames that each of a queue's rings holds. */
  readonly ringSize: number;
  readonly batchSize: number;
  readonly zeroCopy: ZeroCopy;
  /** How long a worker polls its queues itself before it sleeps; null: not at all. */
  readonly busyPollUs: number | null;
}

export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

export interface ServiceConfig {
  readonly name: string;
  readonly vip: string;
  readonly protocol: 'tcp';
  readonly port: number;
  readonly scheduler: Scheduler;
  readonly hash: HashInput;
  readonly tableSize: number;
  readonly conntrack: { readonly enabled: boolean; readonly idleTimeoutMs: number; readonly capacity: number };
  readonly encap: Encap;
  /** What its settings were taken from, those aside that it gives itself. */
  readonly profile: ProfileName | null;
  readonly onMiss: OnMiss;
  readonly onExpiry: OnExpiry;
  readonly backends: readonly BackendConfig[];
}

export interface BackendConfig {
  readonly name: string;
  readonly address: string;
  readonly weight: number;
  readonly state: 'active' | 'draining';
}

const MIN_TABLE_SIZE = 7;
const MAX_BUSY_POLL_US = 10_000;
const MAX_WORKERS = 1024;
const MAX_CPU = 8191;
export const MAX_SERVICES = 4096;
/** In one file: backend indexes are 16 bits wide and the last stands for "none". */
export const MAX_BACKENDS = 65_535;

function wholeNumber(min: number, max: number): z.ZodInt {
  const error = `a whole number from ${min} to ${max}`;
  return z.int(error).min(min, error).max(max, error);
}

function powerOfTwo(min: number, max: number): z.ZodInt {
  const error = `a power of two from ${min} to ${max}`;
  const isRight = (value: number) => value >= min && value <= max && (value & (value - 1)) === 0;
  return z.int(error).refine(isRight, error);
}

function oneOf<const T extends string>(...values: T[]): z.ZodEnum<{ [K in T]: K }> {
  return z.enum(values, values.length === 1 ? `${values[0]}, the only one so far` : `one of ${values.join(', ')}`);
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function text(expected: string, isRight: (text: string) => boolean): z.ZodString {
  return z.string(expected).refine(isRight, expected);
}

const name = text("a name: 1 to 63 letters, digits, '.', '_', ':' or '-', the first a letter or digit", (value) =>
  /^[A-Za-z0-9][A-Za-z0-9._:-]{0,62}$/.test(value),
);

// The kernel's rule (dev_valid_name): no slash, colon or white space, and fewer than IFNAMSIZ = 16 bytes.
const interfaceName = text(
  'the name of a network interface, such as eth0',
  (value) => /^[^\s/:\p{C}]{1,15}$/u.test(value) && Buffer.byteLength(value) < 16 && value !== '.' && value !== '..',
);

const unicastIpv4 = text('a unicast IPv4 address, such as 198.18.10.1', (value) => {
  const address = parseIpv4(value);
  if (address === undefined) return false;
  const first = address >>> 24;
  return first > 0 && first < 224 && first !== 127;
});

const duration = z.unknown().transform((value, context) => {
  const ms = parseDuration(textOf(value));
  if (ms !== undefined) return ms;
  context.addIssue({ code: 'custom', message: expectedDuration(value) });
  return z.NEVER;
});

const tableSize = wholeNumber(MIN_TABLE_SIZE, MAX_TABLE_SIZE).refine(
  (size) => size < MIN_TABLE_SIZE || size > MAX_TABLE_SIZE || isPrime(size),
  { error: ({ input }) => `a prime number (the next one is ${nextPrime(input as number)})` },
);

const listen = z.unknown().transform((value, context): ListenAddress => {
  const [, v6, host, port] = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9.-]+)):(\d{1,5})$/.exec(textOf(value)) ?? [];
  if (Number(port) >= 1 && Number(port) <= 65_535) return { host: v6 ?? host, port: Number(port) };
  context.addIssue({ code: 'custom', message: 'HOST:PORT, such as 127.0.0.1:9108' });
  return z.NEVER;
});

const busyPollUs = z.unknown().transform((value, context) => {
  if (value === false) return null;
  const us = Number(/^(\d{1,5})us$/.exec(textOf(value))?.[1]);
  if (us >= 1 && us <= MAX_BUSY_POLL_US) return us;
  context.addIssue({ code: 'custom', message: `false or a time from 1us to ${MAX_BUSY_POLL_US}us, such as 50us` });
  return z.NEVER;
});

/** For an unknown key the message is the list of the known ones, from which config-problems.ts picks the nearest. */
function mapping<T extends z.ZodRawShape>(shape: T): z.ZodObject<T, z.core.$strict> {
  const keys = Object.keys(shape).join(', ');
  return z.strictObject(shape, { error: (issue) => (issue.code === 'unrecognized_keys' ? keys : 'a mapping') });
}

const backend = mapping({
  name,
  address: unicastIpv4,
  weight: wholeNumber(1, 256).default(1),
  state: oneOf('active', 'draining').default('active'),
});

const conntrack = mapping({
  enabled: z.boolean('true or false').default(true),
  idleTimeout: duration.optional(),
  capacity: wholeNumber(1, 2 ** 24).default(2 ** 20),
});

const service = mapping({
  name,
  vip: unicastIpv4,
  protocol: oneOf('tcp').default('tcp'),
  port: wholeNumber(1, 65_535),
  scheduler: oneOf('maglev', 'round-robin').default('maglev'),
  hash: oneOf('source-ip', 'source-ip-port', 'five-tuple').default('source-ip-port'),
  tableSize: tableSize.default(65_537),
  conntrack: conntrack.prefault({}),
  encap: oneOf('ipip', 'l2').default('ipip'),
  profile: oneOf(...PROFILE_NAMES).optional(),
  onMiss: oneOf('forward', 'reset', 'drop').optional(),
  onExpiry: oneOf('silent', 'reset').optional(),
  backends: z.array(backend, 'a list of backends').min(1, 'at least one backend'),
});

/** The service with everything decided that it may leave to its profile or to the mode. */
function settled(written: z.output<typeof service>, mode: Mode): ServiceConfig {
  const { profile = null, conntrack } = written;
  const own = { onMiss: written.onMiss, onExpiry: written.onExpiry, idleTimeoutMs: conntrack.idleTimeout };
  const { onMiss, onExpiry, idleTimeoutMs } = behaviourOf(own, profile, mode);
  const { enabled, capacity } = conntrack;
  return { ...written, profile, onMiss, onExpiry, conntrack: { enabled, idleTimeoutMs, capacity } };
}

const metrics = mapping({ listen: listen.default({ host: '127.0.0.1', port: 9108 }) });

const afXdp = mapping({
  ringSize: powerOfTwo(64, 8192).default(2048),
  batchSize: powerOfTwo(8, 1024).default(64),
  zeroCopy: oneOf('auto', 'off', 'require').default('auto'),
  busyPoll: busyPollUs.default(null),
}).transform(({ busyPoll, ...rest }): AfXdpConfig => ({ ...rest, busyPollUs: busyPoll }));

const WORKERS = `auto or a whole number from 1 to ${MAX_WORKERS}`;
const workers = z.union([z.literal('auto'), z.int(WORKERS).min(1, WORKERS).max(MAX_WORKERS, WORKERS)], WORKERS);

/** Parsed YAML in, `Config` out. Issue messages are what was expected. */
export const configSchema: z.ZodType<Config> = mapping({
  interface: interfaceName,
  io: oneOf('af-xdp', 'af-packet', 'portable', 'auto').default('af-xdp'),
  mode: oneOf('stateless', 'stateful').default('stateless'),
  hashSeed: wholeNumber(0, 2 ** 32 - 1).default(0),
  metrics: z
    .union([z.literal(false), metrics], 'false or a mapping')
    .prefault({})
    .transform((value) => (value === false ? null : value)),
  xdpMode: oneOf('auto', 'native', 'generic').default('auto'),
  afXdp: afXdp.prefault({}),
  workers: workers.default('auto'),
  cpus: z.array(wholeNumber(0, MAX_CPU), 'a list of CPUs, such as [2, 3]').min(1, 'at least one CPU').optional(),
  services: z
    .array(service, 'a list of services')
    .min(1, 'at least one service')
    .max(MAX_SERVICES, `at most ${MAX_SERVICES} services`),
}).transform(({ services, cpus = null, ...rest }) => ({
  ...rest,
  cpus,
  services: services.map((each) => settled(each, rest.mode)),
}));
