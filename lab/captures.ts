/**
 * Eyes at every host: one capture a cable, drained into memory while a scenario runs. lab/experiment.ts starts them,
 * lab/packets.ts reads what they saw.
 *
 * A host is watched at its own eth0, the balancer at the router's end of its cable: AF_XDP takes frames before the
 * kernel's packet taps on the balancer could see them, and what it sends does not pass them either.
 */
import { type Capture, openCapture } from '../io/capture.ts';
import { readLink } from '../io/links.ts';
import { inNamespace } from '../io/namespace.ts';
import { LabError } from './errors.ts';
import type { Network } from './network.ts';

export interface CapturePoint {
  /** The host whose traffic this is. */
  readonly host: string;
  readonly namespace: string;
  readonly interface: string;
  /** True where the interface is the far end of the host's cable: what it sends is what the host receives. */
  readonly farEnd: boolean;
}

/** At a host's own end of its cable. */
export function atHost(network: Network, host: string): CapturePoint {
  return { host, namespace: network.namespace(host), interface: 'eth0', farEnd: false };
}

/** At the router's end of it. */
export function atRouter(network: Network, host: string): CapturePoint {
  return { host, namespace: network.namespace('router'), interface: host, farEnd: true };
}

export interface CapturedFrame {
  readonly host: string;
  /** As the host sees it. */
  readonly direction: 'in' | 'out';
  /** Wall clock, milliseconds since 1970 with microseconds as a fraction. */
  readonly timeMs: number;
  /** The first bytes, from the Ethernet header on. */
  readonly bytes: Uint8Array;
  /** Bytes on the wire; `bytes` may be fewer. */
  readonly originalLength: number;
}

export interface Captures {
  /** Grows while the captures run, by host and then by time. */
  readonly frames: readonly CapturedFrame[];
  /** Drains and closes; returns how many frames were lost because the rings were full. May be called again. */
  stop(): number;
}

const DRAIN_INTERVAL_MS = 20;
/** Room for a tunnel, TCP options and the first line of HTTP. */
export const SNAP_LENGTH = 256;

export function startCaptures(points: readonly CapturePoint[]): Captures {
  const frames: CapturedFrame[] = [];
  const opened: { point: CapturePoint; capture: Capture }[] = [];
  for (const point of points) {
    const capture = inNamespace(point.namespace, () => {
      const link = readLink(point.interface);
      if (link === undefined) throw new LabError('LAB_NETWORK', `${point.namespace} has no ${point.interface}`);
      return openCapture({ interface: link.index, snapLength: SNAP_LENGTH });
    });
    opened.push({ point, capture });
  }
  const drain = (): void => {
    for (const { point, capture } of opened) {
      capture.read(({ bytes, timestampNs, outgoing, originalLength }) => {
        frames.push({
          host: point.host,
          direction: outgoing !== point.farEnd ? 'out' : 'in',
          timeMs: Number(timestampNs / 1000n) / 1000,
          bytes,
          originalLength,
        });
      });
    }
  };
  const timer = setInterval(drain, DRAIN_INTERVAL_MS);
  return {
    frames,
    stop() {
      clearInterval(timer);
      drain();
      const lost = opened.reduce((sum, { capture }) => sum + capture.dropped(), 0);
      for (const { capture } of opened) capture.close();
      return lost;
    },
  };
}
