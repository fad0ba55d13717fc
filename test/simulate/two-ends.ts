/**
 * Two simulated hosts on one virtual clock with nothing between them but a cable that the test may cut: model checks of
 * simulate/'s end points without a balancer.
 */
import { createClock, type VirtualClock } from '../../simulate/clock.ts';
import { createHost, type Host, type Socket } from '../../simulate/host.ts';
import type { Segment } from '../../simulate/segment.ts';
import type { Notice } from '../../simulate/tcp-connection.ts';

export const LEG_MS = 1;
export const CLIENT = 1;
export const SERVER = 2;
export const PORT = 80;
export const CLIENT_PORT = 40_000;

export interface Sent extends Segment {
  readonly timeMs: number;
  readonly from: 'client' | 'server';
  readonly lost: boolean;
}

export interface TwoEnds {
  readonly clock: VirtualClock;
  readonly client: Host;
  readonly server: Host;
  readonly sent: Sent[];
  /** What each side's program was told, with the time. */
  readonly told: { client: (Notice & { timeMs: number })[]; server: (Notice & { timeMs: number })[] };
  /** The client's socket, from the start; the server's, once there is one. */
  readonly socket: Socket;
  serverSocket(): Socket;
  /** Segments for which this is true never arrive. */
  isLost: (segment: Segment, from: 'client' | 'server') => boolean;
  /** The server's program, when data comes. */
  onServerData: () => void;
  at(timeMs: number, action: () => void): void;
}

/** The client connects at time 0; `clock.run()` is left to the test. */
export function createTwoEnds(
  options: { clientKeepaliveMs?: number; keepaliveIntervalMs?: number; listens?: boolean } = {},
): TwoEnds {
  const clock = createClock();
  const sent: Sent[] = [];
  const told: TwoEnds['told'] = { client: [], server: [] };
  let serverSocket: Socket | undefined;
  let sequence = 0xffff_fff0;

  const host = (from: 'client' | 'server', address: number, keepaliveMs: number | null): Host =>
    createHost({
      name: from,
      address,
      clock,
      keepaliveMs,
      keepaliveIntervalMs: options.keepaliveIntervalMs ?? 75_000,
      // Close to the end of sequence space, so that it wraps in every test.
      random: () => sequence++,
      transmit(segment) {
        const lost = ends.isLost(segment, from);
        sent.push({ ...segment, timeMs: clock.now, from, lost });
        if (!lost) clock.after(LEG_MS, () => (from === 'client' ? server : client).receive(segment, from));
      },
      onStray: () => {},
    });
  const client = host('client', CLIENT, options.clientKeepaliveMs ?? null);
  const server = host('server', SERVER, null);
  const ends: TwoEnds = {
    clock,
    client,
    server,
    sent,
    told,
    isLost: () => false,
    onServerData: () => {},
    at: (timeMs, action) => void clock.after(timeMs - clock.now, action),
    serverSocket() {
      if (serverSocket === undefined) throw new Error('the server has no socket yet');
      return serverSocket;
    },
    get socket(): Socket {
      return socket;
    },
  };
  if (options.listens ?? true) {
    server.listen(PORT, (accepted) => {
      serverSocket = accepted;
      return (notice) => {
        told.server.push({ ...notice, timeMs: clock.now });
        if (notice.kind === 'data') ends.onServerData();
      };
    });
  }
  let socket: Socket;
  clock.after(0, () => {
    socket = client.connect({ address: SERVER, port: PORT, fromPort: CLIENT_PORT }, (notice) =>
      told.client.push({ ...notice, timeMs: clock.now }),
    );
  });
  return ends;
}
