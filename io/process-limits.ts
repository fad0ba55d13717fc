/**
 * What this process may do and how much of it, as /proc/self tells: capabilities and limits (proc_pid_status(5),
 * proc_pid_limits(5), capabilities(7)). For checks of a host before hushlb is started there.
 */
import { readFileSync } from 'node:fs';

/** Bits of CapEff (linux/capability.h): those that hushlb has a use for. */
const CAPABILITIES = {
  CAP_NET_ADMIN: 12n,
  CAP_NET_RAW: 13n,
  CAP_IPC_LOCK: 14n,
  CAP_SYS_ADMIN: 21n,
  CAP_BPF: 39n,
} as const;
export type Capability = keyof typeof CAPABILITIES;

/** Those in effect, of the text of /proc/self/status. */
export function parseCapabilities(status: string): Set<Capability> {
  const mask = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? '0'}`);
  const names = Object.keys(CAPABILITIES) as Capability[];
  return new Set(names.filter((name) => ((mask >> CAPABILITIES[name]) & 1n) === 1n));
}

export interface ProcessLimits {
  /** Descriptors: RLIMIT_NOFILE, soft. */
  readonly openFiles: number;
  /** Bytes: RLIMIT_MEMLOCK, soft. */
  readonly lockedMemory: number;
}

/** Soft limits, of the text of /proc/self/limits; Infinity where there is none. */
export function parseLimits(text: string): ProcessLimits {
  const limit = (name: string): number => {
    const value = new RegExp(`^${name} +(\\S+)`, 'm').exec(text)?.[1] ?? 'unlimited';
    return value === 'unlimited' ? Number.POSITIVE_INFINITY : Number(value);
  };
  return { openFiles: limit('Max open files'), lockedMemory: limit('Max locked memory') };
}

export function readCapabilities(): Set<Capability> {
  return parseCapabilities(readFileSync('/proc/self/status', 'latin1'));
}

export function readLimits(): ProcessLimits {
  return parseLimits(readFileSync('/proc/self/limits', 'latin1'));
}
