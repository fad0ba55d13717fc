/**
 * A configuration's health checks as targets of health/monitor.ts. Called by lb/health.ts for each configuration that comes
 * into force.
 */
import { commandCheck } from '../health/command.ts';
import { httpCheck } from '../health/http.ts';
import type { Echoes } from '../health/icmp.ts';
import type { Check, Target } from '../health/monitor.ts';
import { tcpCheck } from '../health/tcp.ts';
import type { BackendConfig, Config, ServiceConfig } from './config.ts';
import type { HealthConfig } from './config-health.ts';
import { isSinglePort } from './ports.ts';
import { backendKey } from './service-table.ts';

/** Draining backends are among them: while they drain, `onDown` decides about their connections, too. */
export function healthTargets({ services }: Config, echoes: Pick<Echoes, 'check'>): Target[] {
  return services.flatMap((service) => {
    const { health } = service;
    return health === null ? [] : service.backends.map((backend) => targetOf(service, backend, health, echoes));
  });
}

function targetOf(
  service: ServiceConfig,
  backend: BackendConfig,
  health: HealthConfig,
  echoes: Pick<Echoes, 'check'>,
): Target {
  const { intervalMs, timeoutMs, graceMs, rise, fall, ...what } = health;
  const port = what.port ?? (isSinglePort(service.ports) ? service.ports.first : null);
  return {
    key: backendKey(service.name, backend.name),
    identity: JSON.stringify([what, port, backend.address]),
    settings: { intervalMs, timeoutMs, graceMs, rise, fall },
    check: health.check === 'icmp' ? echoes.check(backend.address) : checkOf(service, backend, health, port),
  };
}

function checkOf(
  { name: service }: ServiceConfig,
  { name: backend, address }: BackendConfig,
  { check, http, command }: HealthConfig,
  port: number | null,
): Check {
  if (check === 'command' && command !== null) return commandCheck(command, { service, backend, address, port });
  // lb/config-health-rules.ts refuses what would have none.
  if (port === null) throw new TypeError(`${service}: no port to check`);
  return http === null ? tcpCheck({ address, port }) : httpCheck({ address, port }, http, check === 'https');
}
