/**
 * Settings of a simulation for tests: six connections, three backends, a client of 60 s and nothing else. Not a test.
 */
import type { Settings } from '../../simulate/settings.ts';

export function settings(change: Partial<Settings> = {}): Settings {
  return {
    profile: null,
    mode: 'stateless',
    scheduler: 'maglev',
    conntrack: true,
    lbIdleMs: null,
    onMiss: null,
    onExpiry: null,
    clientIdleMs: 60_000,
    serverIdleMs: null,
    clientKeepaliveMs: null,
    serverKeepaliveMs: null,
    keepaliveIntervalMs: 75_000,
    backends: 3,
    connections: 6,
    seed: 1,
    ...change,
  };
}
