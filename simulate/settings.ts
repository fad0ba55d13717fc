/**
 * What a simulation is about, and the configuration of the balancer that follows from it: the same keys that a user writes
 * into hushlb.yaml, checked by the same rules. simulate/run.ts starts from here.
 */
import type { Mode } from '../lb/behaviour.ts';
import type { Config, Scheduler } from '../lb/config.ts';
import { validateConfig } from '../lb/config-file.ts';
import type { OnExpiry, OnMiss, ProfileName } from '../lb/profiles.ts';

export interface Settings {
  /** Null: the mode decides. */
  readonly profile: ProfileName | null;
  readonly mode: Mode;
  readonly scheduler: Scheduler;
  /** False: the balancer goes by hash alone and has nothing to forget. */
  readonly conntrack: boolean;
  /** Null: the profile's, or hushlb's default; the same with the next two. */
  readonly lbIdleMs: number | null;
  readonly onMiss: OnMiss | null;
  readonly onExpiry: OnExpiry | null;
  /** How long the client's pool keeps an idle connection: it sends again at the last moment. */
  readonly clientIdleMs: number;
  /** After how long the server closes an idle connection; null for never. */
  readonly serverIdleMs: number | null;
  /** tcp_keepalive_time of the client's and of the server's sockets; null for no keepalive. */
  readonly clientKeepaliveMs: number | null;
  readonly serverKeepaliveMs: number | null;
  /** tcp_keepalive_intvl, of both. */
  readonly keepaliveIntervalMs: number;
  readonly backends: number;
  /** What becomes of a backend while the connections idle, as a reload would have it: a new one, or the last. */
  readonly change?: Change;
  readonly connections: number;
  readonly seed: number;
}

export type Change = 'added' | 'removed' | 'drained';

export const VIP = '198.18.10.1';
export const VIP_PORT = 80;
export const CLIENT_ADDRESS = '198.18.0.1';
export const BALANCER_ADDRESS = '198.18.1.1';

/** Addresses 198.18.2.1 and on. */
export const MAX_BACKENDS = 100;
export const MAX_CONNECTIONS = 1000;

/** Also of the one that is added. */
export function backendNames({ backends, change }: Settings): string[] {
  return Array.from({ length: backends + (change === 'added' ? 1 : 0) }, (_, i) => `b${i + 1}`);
}

/** The one that a change is about. */
export function changedBackend(settings: Settings): string {
  return backendNames(settings).at(-1) ?? '';
}

export function backendAddress(name: string): string {
  return `198.18.2.${name.slice(1)}`;
}

/** Prime, and a hundred slots a backend and more; the default of 65,537 would take longer to fill than all the rest. */
const TABLE_SIZE = 10_007;
/** Entries for each connection of one moment: ample, so that none is evicted. */
const CAPACITY_SHARE = 8;

export function configurationOf(settings: Settings): Config {
  const backends = backendNames(settings).slice(0, settings.backends);
  return configuration(
    settings,
    backends.map((name) => ({ name })),
  );
}

/** The one that a change leads to. */
export function configurationAfter(settings: Settings, change: Change): Config {
  const all = backendNames(settings).map((name) => ({ name }));
  if (change === 'added') return configuration(settings, all);
  const others = all.slice(0, -1);
  const drained = change === 'drained' ? [{ name: changedBackend(settings), state: 'draining' }] : [];
  return configuration(settings, [...others, ...drained]);
}

function configuration(settings: Settings, backends: readonly { readonly name: string }[]): Config {
  const { profile, mode, scheduler, conntrack, lbIdleMs, onMiss, onExpiry } = settings;
  const service = {
    name: 'web',
    vip: VIP,
    port: VIP_PORT,
    scheduler,
    tableSize: TABLE_SIZE,
    conntrack: {
      enabled: conntrack,
      capacity: CAPACITY_SHARE * settings.connections,
      ...(lbIdleMs === null ? {} : { idleTimeout: `${lbIdleMs}ms` }),
    },
    encap: 'ipip',
    ...(profile === null ? {} : { profile }),
    ...(onMiss === null ? {} : { onMiss }),
    ...(onExpiry === null ? {} : { onExpiry }),
    backends: backends.map((backend) => ({ ...backend, address: backendAddress(backend.name) })),
  };
  return validateConfig({ interface: 'sim0', mode, metrics: false, services: [service] }, 'simulation').config;
}
