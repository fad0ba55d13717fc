/**
 * Sends doctor's probes and listens for what comes back, on the calling thread and without its event loop, so that it stays in
 * its caller's network namespace. Packets are marked (doctor/sample.ts), and come from ports 61000 on.
 */

import { ENCAP_L2 } from '../dsr/encap.ts';
import type { Encapsulation } from '../dsr/tunnel.ts';
import { openCapture } from '../io/capture.ts';
import { closeDescriptor, lastErrno, openSocket, SystemCallError, sendto } from '../io/ffi.ts';
import { AF_PACKET, interfaceAddress, SOCK_CLOEXEC, SOCK_RAW } from '../io/packet-socket.ts';
import { formatAddress } from '../wire/address.ts';
import { RST, SYN } from '../wire/tcp.ts';
import type { Outcome } from './probe.ts';
import { type Answer, readAnswer } from './probe-answer.ts';
import { echoRequest, frameOf, MARK_SEQUENCE, type Outer, packetOf, type Segment } from './sample.ts';

const FIRST_PORT = 61_000;
const PATIENCE_MS = 1000;
const AGAIN_AFTER_MS = 400;
const LOOK_EVERY_MS = 2;
/** Of answers: an ICMP error with an outer and an inner header fits. */
const SNAP_LENGTH = 256;

/** One packet, whose answer comes back to its source port. */
export interface Shot {
  readonly key: string;
  readonly segment: Omit<Segment, 'sourcePort' | 'flags' | 'sequence'>;
  /** Without headers: ENCAP_L2, to the router's MAC address. */
  readonly encapsulation: Encapsulation;
  readonly outer: Outer;
}

export interface Echo {
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  readonly outer: Outer;
}

export interface Shots {
  /** By the shots' keys. */
  readonly outcomes: ReadonlyMap<string, Outcome>;
  /** Addresses that answered an echo request. */
  readonly echoes: ReadonlySet<string>;
}

export const PLAIN: Encapsulation = {
  encap: ENCAP_L2,
  family: 4,
  ttl: 64,
  varySource: false,
  gue: { port: 6080, variant: 0 },
};

/** Throws SystemCallError: EPERM without CAP_NET_RAW; EMSGSIZE where a shot doesn't fit the interface. */
export function shoot(interfaceIndex: number, shots: readonly Shot[], echoes: readonly Echo[]): Shots {
  const capture = openCapture({ interface: interfaceIndex, snapLength: SNAP_LENGTH });
  let fd = -1;
  try {
    // Protocol 0: this socket receives nothing.
    fd = openSocket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
    const sendFrame = (frame: Uint8Array) => send(fd, interfaceIndex, frame);
    const outcomes = new Map<string, Outcome>();
    const answering = new Set<string>();
    let started = performance.now();
    const fire = () => {
      started = performance.now();
      for (const [i, shot] of shots.entries()) {
        if (!outcomes.has(shot.key)) sendFrame(frameFor(shot, i, SYN, MARK_SEQUENCE));
      }
      for (const echo of echoes) {
        if (!answering.has(formatAddress(echo.destination)))
          sendFrame(frameOf(echoRequest(echo.source, echo.destination), PLAIN, echo.outer));
      }
    };
    const take = (answer: Answer) => {
      if (answer.kind === 'echo') {
        answering.add(answer.from);
        return;
      }
      for (const [i, shot] of shots.entries()) {
        if (outcomes.has(shot.key) || !isAnswerTo(answer, shot, FIRST_PORT + i)) continue;
        outcomes.set(shot.key, outcomeOf(answer, performance.now() - started));
        // What never becomes a connection is not left half-open.
        if (answer.kind === 'accepted') sendFrame(frameFor(shot, i, RST, answer.acknowledges));
      }
    };
    const begun = performance.now();
    let again = true;
    fire();
    while (outcomes.size < shots.length || answering.size < echoes.length) {
      const passed = performance.now() - begun;
      if (passed > PATIENCE_MS) break;
      // ARP on the way, or a busy host, may have cost the first.
      if (again && passed > AGAIN_AFTER_MS) {
        again = false;
        fire();
      }
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, LOOK_EVERY_MS);
      capture.read(({ bytes, outgoing }) => {
        const answer = outgoing ? undefined : readAnswer(bytes);
        if (answer !== undefined) take(answer);
      });
    }
    for (const { key } of shots) if (!outcomes.has(key)) outcomes.set(key, { kind: 'silence' });
    return { outcomes, echoes: answering };
  } finally {
    if (fd >= 0) closeDescriptor(fd);
    capture.close();
  }
}

function frameFor({ segment, encapsulation, outer }: Shot, i: number, flags: number, sequence: number): Uint8Array {
  const payloadLength = flags === RST ? 0 : segment.payloadLength;
  return frameOf(
    packetOf({ ...segment, payloadLength, sourcePort: FIRST_PORT + i, flags, sequence }),
    encapsulation,
    outer,
  );
}

function send(fd: number, interfaceIndex: number, frame: Uint8Array): void {
  const address = interfaceAddress(interfaceIndex, 0);
  if (Number(sendto(fd, frame, frame.length, 0, address, address.length)) < 0) {
    throw new SystemCallError('send a probe', lastErrno());
  }
}

function isAnswerTo(answer: Exclude<Answer, { kind: 'echo' }>, { segment, outer }: Shot, port: number): boolean {
  const vip = formatAddress(segment.destination);
  if (answer.kind !== 'error') {
    return answer.from === vip && answer.port === port && (answer.kind === 'datagram') === (segment.protocol === 'udp');
  }
  if (answer.port !== null) return answer.port === port;
  return answer.towards === formatAddress(outer.destination) && answer.refusal !== 'too-big';
}

function outcomeOf(answer: Exclude<Answer, { kind: 'echo' }>, ms: number): Outcome {
  if (answer.kind !== 'error') return { kind: answer.kind, ms };
  const { from, refusal, mtu, towards } = answer;
  return { kind: 'error', from, refusal, mtu, towards };
}
