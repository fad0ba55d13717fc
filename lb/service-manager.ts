/**
 * The balancer as a service: tells systemd (or whoever else speaks sd_notify(3)) when packets flow, when a reload is under way,
 * that the workers are alive, and in one line how it is doing. Without NOTIFY_SOCKET in the environment nothing of this happens.
 * cli/run.ts opens it; cli/decap.ts uses the socket alone.
 */
import type { Logger } from 'pino';
import { type NotifySocket, openNotifySocket } from '../io/notify-socket.ts';
import type { ControlPlane } from './control-plane.ts';
import { createPulse } from './pulse.ts';

export interface ServiceManager {
  /** Packets flow. Tells that, and the status and the watchdog's signs of life from now on. */
  ready(control: ControlPlane): void;
  /** A reload begins or ends. */
  reloading(isUnderWay: boolean): void;
  stopping(): void;
}

const STATUS_EVERY_MS = 1000;
const US_PER_MS = 1000;

const NOBODY: ServiceManager = { ready: () => {}, reloading: () => {}, stopping: () => {} };

/**
 * The service manager's socket, if it asks for it. Takes NOTIFY_SOCKET and its like out of `environment`: programs that the
 * process starts are not the service.
 */
export function takeNotifySocket(environment: NodeJS.ProcessEnv, logger: Logger): NotifySocket | undefined {
  const { NOTIFY_SOCKET: address } = environment;
  for (const name of ['NOTIFY_SOCKET', 'WATCHDOG_USEC', 'WATCHDOG_PID']) delete environment[name];
  if (address === undefined || address === '') return undefined;
  const socket = openNotifySocket(address);
  if (socket === undefined) {
    logger.warn({ address }, 'NOTIFY_SOCKET: expected a path or an abstract name, the service manager is told nothing');
  }
  return socket;
}

/** Takes what it needs out of `environment`, as `takeNotifySocket` does. */
export function openServiceManager(environment: NodeJS.ProcessEnv, logger: Logger): ServiceManager {
  const { WATCHDOG_USEC, WATCHDOG_PID = String(process.pid) } = environment;
  const socket = takeNotifySocket(environment, logger);
  if (socket === undefined) return NOBODY;
  const watchdogMs = WATCHDOG_PID === String(process.pid) ? Number(WATCHDOG_USEC ?? 0) / US_PER_MS : 0;
  let isReady = false;

  return {
    ready(control) {
      let status = statusText(control);
      isReady = true;
      socket.send(['READY=1', `STATUS=${status}`]);
      setInterval(() => {
        const next = statusText(control);
        if (next !== status && socket.send([`STATUS=${next}`], { orNever: true })) status = next;
      }, STATUS_EVERY_MS).unref();
      if (watchdogMs > 0) feedWatchdog(control, watchdogMs / 2);
    },
    reloading(isUnderWay) {
      if (!isReady) return;
      // The monotonic clock, so that the manager knows which reload of several this is.
      const now = process.hrtime.bigint() / 1000n;
      socket.send(isUnderWay ? ['RELOADING=1', `MONOTONIC_USEC=${now}`] : ['READY=1']);
    },
    stopping() {
      isReady = false;
      socket.send(['STOPPING=1', 'STATUS=stopping']);
    },
  };

  function feedWatchdog(control: ControlPlane, everyMs: number): void {
    const hangingSince = createPulse();
    const look = (): void => {
      const hanging = hangingSince(control.parts.workers.beats());
      if (hanging.length > 0)
        logger.error({ workers: hanging }, 'workers hang: the watchdog is not told that all is well');
      else socket?.send(['WATCHDOG=1'], { orNever: true });
    };
    look();
    setInterval(look, everyMs).unref();
  }
}

/** For `systemctl status`: `2 services, 5 of 6 backends up, 1 draining`. */
export function statusText({ parts, health, unsaved }: Pick<ControlPlane, 'parts' | 'health' | 'unsaved'>): string {
  const { services } = parts.prepared.config;
  const backends = services.flatMap((service) =>
    service.backends.map(({ name, state }) => ({ state, health: health.of(service.name, name).state })),
  );
  const up = backends.filter((backend) => backend.health !== 'down').length;
  const draining = backends.filter(({ state }) => state === 'draining').length;
  const changes = unsaved().length;
  const texts = [
    `${services.length} ${services.length === 1 ? 'service' : 'services'}`,
    `${up} of ${backends.length} backends up`,
    draining > 0 && `${draining} draining`,
    changes > 0 && `${changes} unsaved ${changes === 1 ? 'change' : 'changes'}`,
  ];
  return texts.filter(Boolean).join(', ');
}
