/**
 * What runs and the file has not, as the changes that would make the one of the other: not all that was done since, of which a day
 * of scripts may have done thousands, and much of it undone. Called by lb/control-plane.ts after each change. Pure.
 */
import { type Change, changeText } from './change.ts';
import type { BackendConfig, Config, ServiceConfig } from './config.ts';

/** In the order of the configuration, as `changeText` says them. Both have the same services. */
export function unsavedChanges(file: Config, running: Config): string[] {
  const saved = new Map(file.services.map((service) => [service.name, service]));
  const changes = running.services.flatMap((service) => {
    const before = saved.get(service.name);
    return before === undefined ? [] : serviceChanges(before, service);
  });
  if (running.mode !== file.mode) changes.push({ kind: 'mode', mode: running.mode });
  return changes.map(changeText);
}

function serviceChanges(file: ServiceConfig, { name: service, scheduler, backends }: ServiceConfig): Change[] {
  const changes: Change[] = [];
  if (scheduler !== file.scheduler) changes.push({ kind: 'scheduler', service, scheduler });
  const saved = new Map(file.backends.map((backend) => [backend.name, backend]));
  for (const backend of backends) {
    const before = saved.get(backend.name);
    saved.delete(backend.name);
    changes.push(...backendChanges(service, before, backend));
  }
  for (const backend of saved.keys()) changes.push({ kind: 'remove', service, backend });
  return changes;
}

/** As a file has it that says no more than where it is. */
const NEW = { weight: 1, state: 'active' } as const;

function backendChanges(service: string, file: BackendConfig | undefined, running: BackendConfig): Change[] {
  const { name: backend, address, weight, state } = running;
  const isOther = file === undefined || file.address !== address || file.serverId !== running.serverId;
  const before = isOther ? NEW : file;
  const changes: Change[] = [];
  if (file !== undefined && isOther) changes.push({ kind: 'remove', service, backend });
  if (isOther) changes.push({ kind: 'add', service, backend: { name: backend, address } });
  if (weight !== before.weight) changes.push({ kind: 'weight', service, backend, weight });
  if (state !== before.state) changes.push({ kind: state === 'draining' ? 'drain' : 'undrain', service, backend });
  return changes;
}
