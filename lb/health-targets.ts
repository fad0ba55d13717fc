/**
 * A configuration's health checks as targets of health/monitor.ts. Called by lb/health.ts for each configuration that comes
 * into force.
 */
import { commandCheck } from '../health/command.ts';
import { httpCheck } from '../health/http.ts';
import type { Echoes } from '../health/icmp.ts';
import type { Check, Target } from '../health/monitor.ts';
import { tcpCheck } from '../health/tcp.ts';
import type { Tunnels } from '../health/tunnel.ts';
import type { BackendConfig, Config, ServiceConfig } from './config.ts';
import type { HealthConfig } from './config-health.ts';
import type { TunnelWays } from './health-tunnel.ts';
import { isSinglePort } from './ports.ts';
import { backendKey } from './service-table.ts';

/** What several checks share. */
export interface CheckTools {
  readonly echoes: Pick<Echoes, 'check'>;
  readonly tunnels: Pick<Tunnels, 'check' | 'checkHttp'>;
  readonly ways: Pick<TunnelWays, 'targetOf'>;
}

/** Draining backends are among them: while they drain, `onDown` decides about their connections, too. */
export function healthTargets({ services }: Config, tools: CheckTools): Target[] {
  const lanes = new Map<string, number>();
  return services.flatMap((service) => {
    const { health, vip } = service;
    if (health === null) return [];
    const port = health.port ?? (isSinglePort(service.ports) ? service.ports.first : null);
    const lane = lanes.get(`${vip} ${port}`) ?? 0;
    if (health.through === 'tunnel') lanes.set(`${vip} ${port}`, lane + 1);
    return service.backends.map((backend) => targetOf(service, backend, { health, port, lane }, tools));
  });
}

interface Way {
  readonly health: HealthConfig;
  readonly port: number | null;
  /** Of health/tunnel.ts. */
  readonly lane: number;
}

function targetOf(service: ServiceConfig, backend: BackendConfig, way: Way, tools: CheckTools): Target {
  const { intervalMs, timeoutMs, graceMs, rise, fall, ...what } = way.health;
  return {
    key: backendKey(service.name, backend.name),
    identity: JSON.stringify([what, way.port, backend.address]),
    settings: { intervalMs, timeoutMs, graceMs, rise, fall },
    check: checkOf(service, backend, way, tools),
  };
}

function checkOf(
  service: ServiceConfig,
  backend: BackendConfig,
  { health: { check, through, http, command }, port, lane }: Way,
  { echoes, tunnels, ways }: CheckTools,
): Check {
  const { address } = backend;
  if (check === 'icmp') return echoes.check(address);
  if (check === 'command' && command !== null) {
    return commandCheck(command, { service: service.name, backend: backend.name, address, port });
  }
  // lb/config-health-rules.ts refuses what would have none.
  if (port === null) throw new TypeError(`${service.name}: no port to check`);
  if (through === 'tunnel') {
    const target = ways.targetOf(service, backend, port, lane);
    return http === null ? tunnels.check(target) : tunnels.checkHttp(target, http, check === 'https');
  }
  return http === null ? tcpCheck({ address, port }) : httpCheck({ address, port }, http, check === 'https');
}
