/**
 * Health checks of the configuration in force: who is checked (health/), what follows of a verdict (`ControlPlane.setDown`, the
 * log, an event), and what is known of each backend for whoever shows it. Made by lb/daemon.ts, on the main thread.
 *
 * What people want and what is observed stay apart: this never changes the configuration, and a configuration that comes
 * changes no verdict of a backend that stays and is checked as before. A verdict is told when it has taken effect: from the line
 * `backend down` on, no new connection goes there.
 */
import { randomBytes } from 'node:crypto';
import type { Logger } from 'pino';
import { createEchoes } from '../health/icmp.ts';
import type { Judgement } from '../health/judge.ts';
import { createMonitor, type TargetState } from '../health/monitor.ts';
import { createTunnels } from '../health/tunnel.ts';
import type { Config, ServiceConfig } from './config.ts';
import type { EventLog } from './events.ts';
import { healthTargets } from './health-targets.ts';
import { createTunnelWays, type TunnelDoor } from './health-tunnel.ts';
import { type BackendHealth, type HealthView, uncheckedHealth } from './health-view.ts';
import { backendKey, type Down, NOBODY_DOWN } from './service-table.ts';

export interface HealthKeeper extends HealthView {
  /** Checks the backends of this configuration, which is in force, from now on. */
  follow(config: Config): void;
  /** Nothing is checked any more; what is under way is given up. */
  close(): void;
}

export interface HealthKeeperOptions {
  readonly events: EventLog;
  readonly logger: Logger;
  /** For checks through the tunnel. */
  readonly door: TunnelDoor;
  /** `ControlPlane.setDown`. */
  setDown(down: Down): Promise<void>;
}

interface Verdict {
  readonly key: string;
  readonly after: Judgement;
  readonly before: Judgement;
}

const RETRY_MS = 1000;
/** Checks that cannot be made fail by the hundred: one line a minute says so. */
const QUIET_MS = 60_000;

export function keepHealth({ events, logger, door, setDown }: HealthKeeperOptions): HealthKeeper {
  const ways = createTunnelWays(door);
  const [echoes, tunnels] = [createEchoes(), createTunnels()];
  const unchecked = uncheckedHealth(new Date());
  let config: Config | undefined;
  let backends = new Map<string, { readonly service: string; readonly backend: string; readonly address: string }>();
  /** What `setDown` was last told. */
  let applied: Down = NOBODY_DOWN;
  let untold: Verdict[] = [];
  let withoutBackends = new Set<string>();
  let applying = false;
  let retry: NodeJS.Timeout | undefined;
  let closed = false;
  let quietUntil = 0;

  const monitor = createMonitor({
    onChange(key, after, before) {
      untold.push({ key, after, before });
      void apply();
    },
    onTrouble(key, reason) {
      if (performance.now() < quietUntil) return;
      quietUntil = performance.now() + QUIET_MS;
      logger.warn(
        { backend: key, reason },
        'health checks cannot be made for lack of something here, nothing is judged',
      );
    },
  });

  function downNow(): Down {
    return new Set([...backends.keys()].filter((key) => monitor.stateOf(key)?.judgement.up === false));
  }

  /** One after the other: what is judged meanwhile goes together into the next. */
  async function apply(): Promise<void> {
    if (applying) return;
    applying = true;
    try {
      for (let down = downNow(); !closed && !(untold.length === 0 && isSame(down, applied)); down = downNow()) {
        const verdicts = untold;
        untold = [];
        if (!isSame(down, applied)) await setDown(down);
        applied = down;
        const id = randomBytes(4).toString('hex');
        for (const verdict of verdicts) tell(verdict, id);
        tellServices(down, id);
      }
    } catch (error) {
      if (closed || (error as Error).name === 'AbortError') return;
      logger.error({ problem: (error as Error).message }, 'what health checks found could not be put into force');
      retry = setTimeout(() => void apply(), RETRY_MS);
    } finally {
      applying = false;
    }
  }

  function tell({ key, after, before }: Verdict, id: string): void {
    const who = backends.get(key);
    if (who === undefined) return;
    const { service, backend, address } = who;
    const reason = reasonOf(after);
    if (after.up !== before.up) {
      const lastedMs = Math.round(after.sinceMs - before.sinceMs);
      const fields = { id, service, backend, address, reason };
      if (after.up) logger.info({ ...fields, wasDownMs: lastedMs }, 'backend up');
      else logger.warn({ ...fields, wasUpMs: lastedMs }, 'backend down');
      events.emit({ kind: 'health', id, service, backend, reason: `${after.up ? 'up' : 'down'}: ${reason}` });
    }
    if (after.flapping === before.flapping) return;
    const text = after.flapping ? 'flapping' : 'no longer flapping';
    logger.warn({ id, service, backend, address, reason }, `backend ${text}`);
    events.emit({ kind: 'health', id, service, backend, reason: `${text}: ${reason}` });
  }

  function tellServices(down: Down, id: string): void {
    const dead = config?.services.filter((service) => isDead(service, down)) ?? [];
    for (const { name: service, allDown } of dead) {
      if (withoutBackends.has(service)) continue;
      const follows = allDown === 'keep' ? 'packets still go to them' : 'new connections are dropped';
      logger.error({ id, service, allDown }, `all backends of ${service} are down: ${follows}`);
      events.emit({ kind: 'health', id, service, reason: `all backends are down: ${follows} (allDown: ${allDown})` });
    }
    const names = new Set(dead.map(({ name }) => name));
    for (const service of withoutBackends) {
      if (names.has(service) || config?.services.every(({ name }) => name !== service)) continue;
      logger.info({ id, service }, `${service} has a backend again`);
      events.emit({ kind: 'health', id, service, reason: 'a backend is up again' });
    }
    withoutBackends = names;
  }

  return {
    follow(next) {
      config = next;
      backends = new Map(
        next.services.flatMap(({ name: service, backends: its }) =>
          its.map(
            ({ name: backend, address }) => [backendKey(service, backend), { service, backend, address }] as const,
          ),
        ),
      );
      monitor.setTargets(healthTargets(next, { echoes, tunnels, ways }));
      // Whoever is gone, or is checked otherwise from now on, is no longer known to be down.
      void apply();
    },
    of(service, backend) {
      const state = monitor.stateOf(backendKey(service, backend));
      return state === undefined ? unchecked.of(service, backend) : healthOf(state);
    },
    close() {
      closed = true;
      clearTimeout(retry);
      monitor.close();
      for (const tool of [echoes, tunnels, ways]) tool.close();
    },
  };
}

function isDead({ name, backends }: ServiceConfig, down: Down): boolean {
  const active = backends.filter(({ state }) => state === 'active');
  return active.length > 0 && active.every((backend) => down.has(backendKey(name, backend.name)));
}

function isSame(one: Down, other: Down): boolean {
  return one.size === other.size && [...one].every((key) => other.has(key));
}

function healthOf({ judgement, checks, failures, lastMs }: TargetState): BackendHealth {
  const { up, flapping, sinceMs } = judgement;
  // By the wall clock as it is set now.
  const since = new Date(Date.now() - (performance.now() - sinceMs)).toISOString();
  return { state: up ? 'up' : 'down', since, reason: reasonOf(judgement), flapping, checks, failures, lastMs };
}

function reasonOf({ up, reason, flapping, holdMs, downs }: Judgement): string {
  if (up || !flapping) return reason;
  return `${reason}; went down ${downs.length} times lately, so it stays down for ${holdMs / 1000} s at least`;
}
