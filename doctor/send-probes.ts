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
import type { Outcome, PingOutcome } from './probe.ts';
import { type Answer, readAnswer } from './probe-answer.ts';
import {
  echoRequest,
  frameOf,
  MARK_SEQUENCE,
  type Outer,
  packetOf,
  type Segment,
  type TTL_OF_LAST_HOP,
} from './sample.ts';

const FIRST_PORT = 61_000;
const FIRST_IDENTIFIER = 0x4855;
/** At once: as many as there are ports, and few enough for a receive buffer. */
const MOST_AT_ONCE = 512;
const AGAIN_AFTER_MS = 400;
const LOOK_EVERY_MS = 2;
/** Of answers: an ICMP error with an outer and an inner header fits. */
const SNAP_LENGTH = 256;

interface Wrapping {
  /** Without headers: ENCAP_L2, to the router's MAC address. */
  readonly encapsulation: Encapsulation;
  readonly outer: Outer;
}

/** One packet, whose answer comes back to its source port. */
export interface Shot extends Wrapping {
  readonly key: string;
  readonly segment: Omit<Segment, 'sourcePort' | 'flags' | 'sequence'>;
}

/** An echo request that no host sends further, whose answer has its identifier. */
export interface Ping extends Wrapping {
  readonly key: string;
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  /** Null: as far as it likes. */
  readonly ttl: typeof TTL_OF_LAST_HOP | null;
}

export interface Volley {
  readonly shots: readonly Shot[];
  /** Sent before the shots, and only waited for where there are none. */
  readonly pings: readonly Ping[];
  /** What has not come by then is silence. */
  readonly patienceMs: number;
}

/** By the keys of shots and pings; all of them are there. */
export interface Echoes {
  readonly outcomes: ReadonlyMap<string, Outcome>;
  readonly pings: ReadonlyMap<string, PingOutcome>;
}

export const PLAIN: Encapsulation = {
  encap: ENCAP_L2,
  family: 4,
  ttl: 64,
  varySource: false,
  gue: { port: 6080, variant: 0 },
};

/** Throws SystemCallError: EPERM without CAP_NET_RAW; EMSGSIZE where a shot doesn't fit the interface. */
export function shoot(interfaceIndex: number, { shots, pings, patienceMs }: Volley): Echoes {
  const outcomes = new Map<string, Outcome>();
  const pinged = new Map<string, PingOutcome>();
  for (let at = 0; at < Math.max(shots.length, pings.length); at += MOST_AT_ONCE) {
    const part = <T>(all: readonly T[]): T[] => all.slice(at, at + MOST_AT_ONCE);
    const echoes = shootAtOnce(interfaceIndex, { shots: part(shots), pings: part(pings), patienceMs });
    for (const [key, outcome] of echoes.outcomes) outcomes.set(key, outcome);
    for (const [key, outcome] of echoes.pings) pinged.set(key, outcome);
  }
  return { outcomes, pings: pinged };
}

function shootAtOnce(interfaceIndex: number, { shots, pings, patienceMs }: Volley): Echoes {
  const capture = openCapture({ interface: interfaceIndex, snapLength: SNAP_LENGTH });
  let fd = -1;
  try {
    // Protocol 0: this socket receives nothing.
    fd = openSocket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
    const outcomes = new Map<string, Outcome>();
    const pinged = new Map<string, PingOutcome>();
    let started = performance.now();
    const fire = () => {
      started = performance.now();
      for (const [i, ping] of pings.entries()) if (!pinged.has(ping.key)) send(fd, interfaceIndex, pingFrame(ping, i));
      for (const [i, shot] of shots.entries()) {
        if (!outcomes.has(shot.key)) send(fd, interfaceIndex, shotFrame(shot, i, SYN, MARK_SEQUENCE));
      }
    };
    const take = (answer: Answer) => {
      const ping = pings.find((each, i) => isAnswerToPing(answer, each, FIRST_IDENTIFIER + i));
      if (ping !== undefined && !pinged.has(ping.key))
        pinged.set(ping.key, answer.kind === 'echo' ? 'answered' : 'ttl');
      if (answer.kind === 'echo') return;
      for (const [i, shot] of shots.entries()) {
        if (outcomes.has(shot.key) || !isAnswerTo(answer, shot, FIRST_PORT + i)) continue;
        outcomes.set(shot.key, outcomeOf(answer, performance.now() - started));
        // What never becomes a connection is not left half-open.
        if (answer.kind === 'accepted') send(fd, interfaceIndex, shotFrame(shot, i, RST, answer.acknowledges));
      }
    };
    const isComplete = () =>
      shots.length > 0 ? outcomes.size === shots.length : pings.every(({ key }) => pinged.has(key));
    const begun = performance.now();
    let again = true;
    fire();
    while (!isComplete()) {
      const passed = performance.now() - begun;
      if (passed > patienceMs) break;
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
    for (const { key } of pings) if (!pinged.has(key)) pinged.set(key, 'silence');
    return { outcomes, pings: pinged };
  } finally {
    if (fd >= 0) closeDescriptor(fd);
    capture.close();
  }
}

function shotFrame({ segment, encapsulation, outer }: Shot, i: number, flags: number, sequence: number): Uint8Array {
  const payloadLength = flags === RST ? 0 : segment.payloadLength;
  return frameOf(
    packetOf({ ...segment, payloadLength, sourcePort: FIRST_PORT + i, flags, sequence }),
    encapsulation,
    outer,
  );
}

function pingFrame({ source, destination, ttl, encapsulation, outer }: Ping, i: number): Uint8Array {
  return frameOf(echoRequest(source, destination, FIRST_IDENTIFIER + i, ttl ?? undefined), encapsulation, outer);
}

function send(fd: number, interfaceIndex: number, frame: Uint8Array): void {
  const address = interfaceAddress(interfaceIndex, 0);
  if (Number(sendto(fd, frame, frame.length, 0, address, address.length)) < 0) {
    throw new SystemCallError('send a probe', lastErrno());
  }
}

/** Of errors that one about the last hop: whatever else refuses a ping refuses the shot beside it, too. */
function isAnswerToPing(answer: Answer, { destination }: Ping, identifier: number): boolean {
  const towards = formatAddress(destination);
  if (answer.kind === 'echo') return answer.from === towards && answer.identifier === identifier;
  return (
    answer.kind === 'error' &&
    answer.refusal === 'ttl' &&
    answer.towards === towards &&
    answer.identifier === identifier
  );
}

function isAnswerTo(answer: Exclude<Answer, { kind: 'echo' }>, { segment, outer }: Shot, port: number): boolean {
  const vip = formatAddress(segment.destination);
  if (answer.kind !== 'error') {
    return answer.from === vip && answer.port === port && (answer.kind === 'datagram') === (segment.protocol === 'udp');
  }
  if (answer.identifier !== null) return false;
  if (answer.port !== null) return answer.port === port;
  return answer.towards === formatAddress(outer.destination) && answer.refusal !== 'too-big';
}

function outcomeOf(answer: Exclude<Answer, { kind: 'echo' }>, ms: number): Outcome {
  if (answer.kind !== 'error') return { kind: answer.kind, ms };
  const { from, refusal, mtu, towards } = answer;
  return { kind: 'error', from, refusal, mtu, towards };
}
