/**
 * What limits the throughput where hushlb was started, in a line each: for the log (lb/announce.ts), so that nobody has to
 * guess why a fast card is slow. docs/performance.md says more of each.
 */
import type { ZeroCopy } from '../io/xsk-socket.ts';

export interface Ground {
  readonly interface: string;
  /** The driver's name, where it tells. */
  readonly driver: string | undefined;
  readonly queues: number;
  readonly workers: number;
  /** CPUs that this process may use. */
  readonly cpus: number;
  readonly xdp: 'native' | 'generic';
  readonly zeroCopy: boolean;
  readonly zeroCopyWanted: ZeroCopy;
}

/** Of AF_XDP; empty where nothing is left to say. */
export function limitsOf(ground: Ground): string[] {
  return [...modeLimits(ground), ...coreLimits(ground)];
}

export interface SocketGround extends Pick<Ground, 'interface' | 'workers' | 'cpus'> {
  readonly io: string;
  /** The kernel merges segments before packet sockets see them. */
  readonly gro: boolean;
}

/** The same for packet sockets (`io: af-packet`) and libpcap (`io: portable`), to which receive queues mean nothing. */
export function limitsOfSockets({ io, interface: name, workers, cpus, gro }: SocketGround): string[] {
  const lines = [
    io === 'portable'
      ? 'portable: one thread for everything, two system calls a packet; af-packet does without both'
      : 'af-packet: the kernel copies every packet in and out, af-xdp in native mode does less',
  ];
  if (gro) {
    const what =
      io === 'portable' ? 'segments that it merges are too long and dropped' : 'hushlb cuts again what it merges';
    lines.push(`generic-receive-offload of ${name} is on: ${what} (off: ethtool -K ${name} gro off)`);
  }
  if (io === 'portable') return lines;
  const workerCount = counted(workers, 'worker');
  if (workers > cpus)
    lines.push(`${workerCount} on ${counted(cpus, 'CPU')} wait for each other (as many as CPUs: workers: ${cpus})`);
  else if (workers < cpus) lines.push(`${workerCount}: at most ${forwarding(workers, cpus)} (more: workers: ${cpus})`);
  return lines;
}

function* modeLimits({ xdp, zeroCopy, zeroCopyWanted, driver }: Ground): Generator<string> {
  if (xdp === 'generic') yield 'generic XDP, slower than native';
  if (zeroCopy) return;
  const reasons = [
    xdp === 'generic' && 'generic XDP has no zero-copy',
    zeroCopyWanted === 'off' && 'afXdp.zeroCopy is off',
    `the driver ${driver ?? 'of this interface'} offers no zero-copy`,
  ];
  yield `copy mode: ${reasons.find(Boolean)}`;
}

function* coreLimits({ interface: name, queues, workers, cpus }: Ground): Generator<string> {
  const [queueCount, workerCount] = [counted(queues, 'receive queue'), counted(workers, 'worker')];
  if (workers > cpus) {
    yield `${workerCount} on ${counted(cpus, 'CPU')} wait for each other (as many as CPUs: workers: ${cpus})`;
  } else if (workers < queues && workers < cpus) {
    yield `${workerCount} for ${queueCount}, as configured: ${forwarding(workers, cpus)}`;
  } else if (queues < cpus) {
    yield `${queueCount}: ${forwarding(queues, cpus)} (more: ethtool -L ${name} combined N)`;
  }
}

function forwarding(busy: number, cpus: number): string {
  return `${busy} of ${cpus} CPUs ${busy === 1 ? 'forwards' : 'forward'}`;
}

function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`;
}
