/**
 * The configuration: its types, and the schema that turns parsed YAML into them. config-file.ts reads a file through it;
 * the daemon and the commands get a frozen `Config`, plain data that travels to workers by `postMessage`.
 *
 * Every rule's message is the text that follows "expected" in a problem, so that all of them read alike. What one value
 * cannot know (duplicates, sizes that depend on each other) stands in config-rules.ts.
 */
import * as z from 'zod';
import type { ZeroCopy } from '../io/xsk-socket.ts';
import { behaviourOf, type Mode } from './behaviour.ts';
import { type AdminConfig, admin, settledAdmin } from './config-admin.ts';
import { type HealthConfig, health } from './config-health.ts';
import {
  busyPollUs,
  duration,
  hexadecimal,
  interfaceName,
  type ListenAddress,
  listen,
  mapping,
  name,
  numberOr,
  oneOf,
  ports,
  powerOfTwo,
  tableSize,
  unicast,
  wholeNumber,
} from './config-values.ts';
import type { PortRange } from './ports.ts';
import { type OnExpiry, type OnMiss, PROFILE_NAMES, type ProfileName } from './profiles.ts';

/** `auto`: the first of the three that works. */
export type Io = 'af-xdp' | 'af-packet' | 'portable' | 'auto';
export type XdpMode = 'auto' | 'native' | 'generic';
export type Scheduler = 'maglev' | 'round-robin';
export type HashInput = 'source-ip' | 'source-ip-port' | 'five-tuple';
export type Protocol = 'tcp' | 'udp';
export type Encap = 'ipip' | 'l2' | 'gue' | 'gre';
/** What becomes of a packet that may be fragmented and doesn't fit the path to its backend. */
export type TooBig = 'drop' | 'fragment';
/** What becomes of a service when all its backends are down: forward by the last table, or drop what is new. */
export type AllDown = 'keep' | 'drop';
/** What becomes of the connections of a backend that went down: another backend, which resets them, or the same. */
export type OnDown = 'rehash' | 'keep';
/** Who answers an echo request to a VIP: hushlb, a backend, or the balancer's own host. */
export type Echo = 'answer' | 'backend' | 'kernel';

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
  readonly echo: Echo;
  /** Null: no API, and no changes at run time but by reload. */
  readonly admin: AdminConfig | null;
  /** Takes the file over when it changes. */
  readonly watch: boolean;
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

export interface ServiceConfig {
  readonly name: string;
  /** IPv4, or IPv6 in its canonical text (wire/address.ts), so that equal addresses are equal texts. */
  readonly vip: string;
  readonly protocol: Protocol;
  /** Of services that overlap the most specific has a packet: a single port, then a range, then all ports. */
  readonly ports: PortRange;
  readonly scheduler: Scheduler;
  readonly hash: HashInput;
  readonly tableSize: number;
  readonly conntrack: { readonly enabled: boolean; readonly idleTimeoutMs: number; readonly capacity: number };
  readonly encap: Encap;
  /** Null unless `encap` is `gue`. */
  readonly gue: GueConfig | null;
  /** UDP only: datagrams go by QUIC connection ids that name a backend. Null where they don't. */
  readonly quic: QuicConfig | null;
  /** IPIP only: outer source addresses that differ by connection. */
  readonly varySource: boolean;
  /** Of the outer header; `copy`: the inner one's. */
  readonly outerTtl: number | 'copy';
  /** The largest MSS that a SYN may announce; `auto`: what fits the path to the backend. `off` for UDP, which has none. */
  readonly mssClamp: number | 'auto' | 'off';
  readonly tooBig: TooBig;
  readonly ipOptions: 'drop' | 'accept';
  /** What its settings were taken from, those aside that it gives itself. */
  readonly profile: ProfileName | null;
  readonly onMiss: OnMiss;
  readonly onExpiry: OnExpiry;
  /** Null: backends are taken for up. */
  readonly health: HealthConfig | null;
  readonly allDown: AllDown;
  readonly onDown: OnDown;
  readonly backends: readonly BackendConfig[];
}

export interface GueConfig {
  /** UDP, of the backends. */
  readonly port: number;
  readonly variant: 0 | 1;
}

export interface QuicConfig {
  /** Bytes of each backend's server id, and of the nonce behind it, in the connection ids that backends give out. */
  readonly serverIdLength: number;
  readonly nonceLength: number;
  /** The three bits by which these ids are told from those of another configuration. */
  readonly rotation: number;
}

export interface BackendConfig {
  readonly name: string;
  /** As a VIP's text; its family is the outer header's and may differ from the VIP's. */
  readonly address: string;
  readonly weight: number;
  readonly state: 'active' | 'draining';
  /** Of a service with `quic`: hexadecimal, in lower case. */
  readonly serverId?: string | undefined;
}

const MAX_WORKERS = 1024;
const MAX_CPU = 8191;
/** What every host takes without being asked (RFC 9293, 3.7.1), and what the longest packet has room for. */
const [MIN_MSS, MAX_MSS] = [536, 65_495];
/** Not IANA's: what the Linux kernel and its users send GUE to. */
const GUE_PORT = 6080;
export const MAX_SERVICES = 4096;
/** In one file: backend indexes are 16 bits wide and the last stands for "none". */
export const MAX_BACKENDS = 65_535;

const backend = mapping({
  name,
  address: unicast,
  weight: wholeNumber(1, 256).default(1),
  state: oneOf('active', 'draining').default('active'),
  serverId: hexadecimal.optional(),
});

const conntrack = mapping({
  enabled: z.boolean('true or false').default(true),
  idleTimeout: duration.optional(),
  capacity: wholeNumber(1, 2 ** 24).default(2 ** 20),
});

const gue = mapping({
  port: wholeNumber(1, 65_535).default(GUE_PORT),
  variant: z.literal([0, 1], 'one of 0, 1').default(0),
});

const quic = mapping({
  serverIdLength: wholeNumber(1, 15),
  nonceLength: wholeNumber(4, 18),
  rotation: wholeNumber(0, 6).default(0),
});

const service = mapping({
  name,
  vip: unicast,
  protocol: oneOf('tcp', 'udp').default('tcp'),
  port: ports,
  scheduler: oneOf('maglev', 'round-robin').default('maglev'),
  hash: oneOf('source-ip', 'source-ip-port', 'five-tuple').default('source-ip-port'),
  tableSize: tableSize.default(65_537),
  conntrack: conntrack.prefault({}),
  encap: oneOf('ipip', 'l2', 'gue', 'gre').default('ipip'),
  gue: gue.optional(),
  quic: quic.optional(),
  varySource: z.boolean('true or false').default(false),
  outerTtl: numberOr(1, 255, 'copy').default(64),
  mssClamp: numberOr(MIN_MSS, MAX_MSS, 'auto', 'off').optional(),
  tooBig: oneOf('drop', 'fragment').default('drop'),
  ipOptions: oneOf('drop', 'accept').default('drop'),
  profile: oneOf(...PROFILE_NAMES).optional(),
  onMiss: oneOf('forward', 'reset', 'drop').optional(),
  onExpiry: oneOf('silent', 'reset').optional(),
  health: health.optional(),
  allDown: oneOf('keep', 'drop').default('keep'),
  onDown: oneOf('rehash', 'keep').default('rehash'),
  backends: z.array(backend, 'a list of backends').min(1, 'at least one backend'),
});

/** The service with everything decided that it may leave to its profile, to the mode or to its own protocol. */
function settled({ port, ...written }: z.output<typeof service>, mode: Mode): ServiceConfig {
  const { profile = null, conntrack, protocol, encap } = written;
  const own = { onMiss: written.onMiss, onExpiry: written.onExpiry, idleTimeoutMs: conntrack.idleTimeout };
  const { onMiss, onExpiry, idleTimeoutMs } = behaviourOf(own, profile, mode, protocol);
  const { enabled, capacity } = conntrack;
  return {
    ...written,
    ports: port,
    gue: encap === 'gue' ? (written.gue ?? gue.parse({})) : null,
    quic: written.quic ?? null,
    mssClamp: written.mssClamp ?? 'off',
    profile,
    onMiss,
    onExpiry,
    health: written.health ?? null,
    conntrack: { enabled, idleTimeoutMs, capacity },
  };
}

const metrics = mapping({ listen: listen.default({ host: '127.0.0.1', port: 9108 }) });

const afXdp = mapping({
  ringSize: powerOfTwo(64, 8192).default(2048),
  batchSize: powerOfTwo(8, 1024).default(64),
  zeroCopy: oneOf('auto', 'off', 'require').default('auto'),
  busyPoll: busyPollUs.default(null),
}).transform(({ busyPoll, ...rest }): AfXdpConfig => ({ ...rest, busyPollUs: busyPoll }));

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
  workers: numberOr(1, MAX_WORKERS, 'auto').default('auto'),
  cpus: z.array(wholeNumber(0, MAX_CPU), 'a list of CPUs, such as [2, 3]').min(1, 'at least one CPU').optional(),
  echo: oneOf('answer', 'backend', 'kernel').default('answer'),
  admin: z.union([z.literal(false), admin], 'false or a mapping').prefault({}),
  watch: z.boolean('true or false').default(false),
  services: z
    .array(service, 'a list of services')
    .min(1, 'at least one service')
    .max(MAX_SERVICES, `at most ${MAX_SERVICES} services`),
}).transform(({ services, cpus = null, admin: written, ...rest }) => ({
  ...rest,
  cpus,
  admin: written === false ? null : settledAdmin(written, rest.interface),
  services: services.map((each) => settled(each, rest.mode)),
}));
