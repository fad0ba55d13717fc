/**
 * A connection of a check's over TCP (RFC 9293), from a client's side, without a socket: segments come in, segments to send
 * come out, time is an argument. health/tunnel-stream.ts carries them through the tunnel and makes a stream of it.
 *
 * ```
 *   opening ── SYN-ACK ──► open ── FIN ──► ended
 *      └─ RST ─► refused    └─ RST ─► reset
 * ```
 *
 * As little of TCP as a check needs: no option but the segment size, data only in order (what comes after a gap is left to be
 * sent again), no congestion control, for what a check sends is a few segments. The peer's window is kept to. The SYN and
 * what was written are sent again twice while nobody acknowledges them. Who has seen enough ends the connection by `abort`.
 */
import { ACK, FIN, PSH, RST, SYN } from '../wire/tcp.ts';

export interface Segment {
  /** 32 bits unsigned, as is the acknowledgement; that one means nothing without ACK in `flags`. */
  readonly sequence: number;
  readonly acknowledgement: number;
  readonly flags: number;
  readonly payload: Uint8Array;
  /** The option of a SYN; undefined where it has none. */
  readonly mss?: number | undefined;
}

export interface PeerSegment extends Segment {
  /** In bytes: without the option in our SYN nothing scales it (RFC 7323, 1.3). */
  readonly window: number;
}

export type ExchangeState = 'opening' | 'open' | 'ended' | 'refused' | 'reset';

export interface Exchange {
  readonly state: ExchangeState;
  /** When `tick` wants to be called next; Infinity: never. */
  readonly dueMs: number;
  /** Sends what is to be sent first, or again. */
  tick(nowMs: number): readonly Segment[];
  receive(segment: PeerSegment, nowMs: number): readonly Segment[];
  /** At any time; goes out when the connection is open. Nothing becomes of it after the end. All of it is kept until then. */
  write(bytes: Uint8Array, nowMs: number): readonly Segment[];
  /** What was received, in order, since the last call. While `MOST_UNREAD` of it are not taken, no more is accepted. */
  take(): Uint8Array;
  /** What ends the connection in any state, so that the peer keeps nothing of it; nothing where it has ended it itself. */
  abort(): readonly Segment[];
}

/** Fits into any encapsulation on a link of 1,500 bytes and most that carry less; what is announced, and sent at most. */
export const MSS = 1200;
/** Twice what health/tcp-packet.ts announces as the window: only who ignores that has something sent again for it. */
export const MOST_UNREAD = 128 * 1024;
/** Of a SYN-ACK without the option (RFC 9293, 3.7.1). */
const MSS_UNTOLD = 536;
/** Against a peer that wants segments of a byte each. */
const MSS_LEAST = 64;
/** To the first repetition; twice as long to the next. */
const RETRANSMIT_MS = 200;
const RETRIES = 2;

const NOTHING = new Uint8Array();

export function startExchange(firstSequence: number): Exchange {
  const begin = (firstSequence + 1) >>> 0;
  let state: ExchangeState = 'opening';
  /** All that was written; how much of it is acknowledged; how much was sent at least once. */
  let output: Uint8Array = NOTHING;
  let acknowledged = 0;
  let sent = 0;
  /** What the peer takes, from what it has acknowledged on. */
  let window = 0;
  let segmentSize = MSS_UNTOLD;
  let peerNext = 0;
  let unread: Uint8Array[] = [];
  let unreadLength = 0;
  let dueMs = Number.NEGATIVE_INFINITY;
  let retries = -1;

  const after = (bytes: number): number => (begin + bytes) >>> 0;
  const syn = (): Segment => ({
    sequence: firstSequence,
    acknowledgement: 0,
    flags: SYN,
    payload: NOTHING,
    mss: MSS,
  });
  const bare = (sequence: number, flags: number): Segment => ({
    sequence,
    acknowledgement: peerNext,
    flags,
    payload: NOTHING,
  });
  const acknowledgement = (): Segment => bare(after(sent), ACK);

  /** The output from there on, as far as the peer's window goes, and `least` bytes even where that is closed. */
  function transmit(from: number, least: number): Segment[] {
    const end = Math.min(acknowledged + Math.max(window, least), output.length);
    const segments: Segment[] = [];
    for (let at = from; at < end; at += segmentSize) {
      const payload = output.subarray(at, Math.min(at + segmentSize, end));
      segments.push({ ...bare(after(at), at + segmentSize >= end ? ACK | PSH : ACK), payload });
    }
    sent = Math.max(sent, end);
    return segments;
  }

  function restartClock(nowMs: number): void {
    retries = 0;
    dueMs = acknowledged < output.length ? nowMs + RETRANSMIT_MS : Number.POSITIVE_INFINITY;
  }

  function finish(last: ExchangeState): readonly Segment[] {
    state = last;
    dueMs = Number.POSITIVE_INFINITY;
    return [];
  }

  function opening(segment: PeerSegment, nowMs: number): readonly Segment[] {
    const { flags, sequence, mss = MSS_UNTOLD } = segment;
    if ((flags & ACK) === 0) return [];
    if (segment.acknowledgement !== begin) {
      if ((flags & RST) !== 0) return [];
      // Of a connection from these ports that the peer still has, and we don't (3.5.1): it is ended, and we ask anew.
      return [{ ...bare(segment.acknowledgement, RST), acknowledgement: 0 }, syn()];
    }
    if ((flags & RST) !== 0) return finish('refused');
    if ((flags & SYN) === 0) return [];
    state = 'open';
    peerNext = (sequence + 1) >>> 0;
    segmentSize = Math.max(Math.min(mss, MSS), MSS_LEAST);
    window = segment.window;
    restartClock(nowMs);
    const first = transmit(0, 0);
    return first.length > 0 ? first : [acknowledgement()];
  }

  function open(segment: PeerSegment, nowMs: number): readonly Segment[] {
    const { flags } = segment;
    if ((flags & RST) !== 0) return segment.sequence === peerNext ? finish('reset') : [];
    const told = (segment.acknowledgement - begin) >>> 0;
    if ((flags & ACK) === 0 || told > sent) return [];
    // A segment that was overtaken says nothing of the window now.
    if (told >= acknowledged) window = segment.window;
    if (told > acknowledged) {
      acknowledged = told;
      restartClock(nowMs);
    }
    const isAnswered = accept(segment);
    const more = transmit(sent, 0);
    return isAnswered ? [acknowledgement(), ...more] : more;
  }

  /** Keeps what is new of it. True where the peer is to be told what is expected next: after all but a bare acknowledgement. */
  function accept({ flags, sequence, payload }: PeerSegment): boolean {
    // Our acknowledgement of it was lost.
    if ((flags & SYN) !== 0) return true;
    /** Bytes of it that are known already; below 0: something is missing before it. */
    const known = (peerNext - sequence) | 0;
    const hasFin = (flags & FIN) !== 0;
    const length = payload.length + (hasFin ? 1 : 0);
    if (known >= 0 && known < length && unreadLength + payload.length - known <= MOST_UNREAD) {
      // The memory is the caller's.
      const fresh = Uint8Array.from(payload.subarray(known));
      unread.push(fresh);
      unreadLength += fresh.length;
      peerNext = (sequence + length) >>> 0;
      if (hasFin) finish('ended');
    }
    return length > 0;
  }

  return {
    get state() {
      return state;
    },
    get dueMs() {
      return dueMs;
    },
    tick(nowMs) {
      if (nowMs < dueMs) return [];
      retries++;
      dueMs = retries < RETRIES ? nowMs + RETRANSMIT_MS * 2 ** retries : Number.POSITIVE_INFINITY;
      // A byte into a closed window asks whether it has opened (3.8.6.1).
      return state === 'opening' ? [syn()] : transmit(acknowledged, 1);
    },
    receive(segment, nowMs) {
      if (state === 'opening') return opening(segment, nowMs);
      return state === 'open' ? open(segment, nowMs) : [];
    },
    write(bytes, nowMs) {
      const wasIdle = acknowledged === output.length;
      output = Buffer.concat([output, bytes]);
      if (state !== 'open') return [];
      if (wasIdle) restartClock(nowMs);
      return transmit(sent, 0);
    },
    take() {
      const bytes = Buffer.concat(unread);
      unread = [];
      unreadLength = 0;
      return bytes;
    },
    abort() {
      if (state === 'refused' || state === 'reset') return [];
      // Where the peer expects it: elsewhere an RST is only asked about (RFC 5961, 3.2). It may have got what it has not
      // acknowledged yet, or not.
      return [...new Set([sent, acknowledged])].map((at) => ({ ...bare(after(at), RST), acknowledgement: 0 }));
    },
  };
}
