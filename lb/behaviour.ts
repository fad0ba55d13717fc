/**
 * What a service does with idle connections, decided once when the configuration is read (lb/config.ts): three settings
 * that the service may give itself, or take from a profile, or from the file's mode. The nearest one wins:
 *
 * ```
 *   the service's own key   onMiss · onExpiry · conntrack.idleTimeout
 *   its profile             all three                                    lb/profiles.ts
 *   the file's mode         onMiss · onExpiry                            MODES
 *   the default             conntrack.idleTimeout: 60s, with UDP 30s
 * ```
 */
import { MAX_IDLE_TIMEOUT_MS } from '../conntrack/table.ts';
import type { Protocol } from './config.ts';
import { type OnExpiry, type OnMiss, type ProfileName, profileOf } from './profiles.ts';

export type Mode = 'stateless' | 'stateful';

export interface Behaviour {
  readonly onMiss: OnMiss;
  readonly onExpiry: OnExpiry;
  readonly idleTimeoutMs: number;
}

/** A mode is a preset. */
export const MODES: Readonly<Record<Mode, { readonly onMiss: OnMiss; readonly onExpiry: OnExpiry }>> = {
  stateless: { onMiss: 'forward', onExpiry: 'silent' },
  stateful: { onMiss: 'reset', onExpiry: 'silent' },
};

/** By protocol. UDP's, and that a datagram of no known flow opens one, is what the kernel's conntrack does too. */
const DEFAULT_IDLE_TIMEOUT_MS: Readonly<Record<Protocol, number>> = { tcp: 60_000, udp: 30_000 };

/** The settings that are in force; `own` are those that the service gives itself. */
export function behaviourOf(
  own: { readonly [K in keyof Behaviour]: Behaviour[K] | undefined },
  profile: ProfileName | null,
  mode: Mode,
  protocol: Protocol,
): Behaviour {
  const preset = presetOf(profile, mode, protocol);
  return {
    onMiss: own.onMiss ?? preset.onMiss,
    onExpiry: own.onExpiry ?? preset.onExpiry,
    idleTimeoutMs: own.idleTimeoutMs ?? preset.idleTimeoutMs,
  };
}

/** A mode is about segments that open no connection: every datagram may open one. */
function presetOf(profile: ProfileName | null, mode: Mode, protocol: Protocol): Behaviour {
  if (profile === null) {
    return { ...MODES[protocol === 'tcp' ? mode : 'stateless'], idleTimeoutMs: DEFAULT_IDLE_TIMEOUT_MS[protocol] };
  }
  const { onMiss, onExpiry, idleTimeoutMs } = profileOf(profile);
  return {
    onMiss: onMiss.value,
    onExpiry: onExpiry.value,
    idleTimeoutMs: idleTimeoutMs.value ?? MAX_IDLE_TIMEOUT_MS,
  };
}
