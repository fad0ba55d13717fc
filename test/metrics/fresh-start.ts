/** What a balancer says right after its start. Not a test. */
import type { ConfigurationStatus, ServiceStatus, SteeringStatus } from '../../metrics/sources.ts';

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

export const NOT_STEERED: SteeringStatus = { toSocket: 0, otherPort: 0, noSocket: 0 };

export const WEB: ServiceStatus = {
  service: 'web',
  vip: '198.18.10.1',
  protocol: 'tcp',
  port: '80',
  scheduler: 'maglev',
  hash: 'source-ip',
  onMiss: 'forward',
  onExpiry: 'silent',
  backends: [],
};
