/** What a balancer says of its configuration right after its start. Not a test. */
import type { ConfigurationStatus } from '../../metrics/sources.ts';

export function freshStart(): ConfigurationStatus {
  return {
    generation: 1,
    lastChangeMs: 1_700_000_000_000,
    lastReloadGood: true,
    changes: [{ kind: 'reload', result: 'refused', count: 0 }],
    unsaved: 0,
    seedCheck: 'c4',
    services: [],
  };
}
