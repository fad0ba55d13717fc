/**
 * One request and its answer over TCP (RFC 9293), from a client's side, without a socket: segments come in, segments to
 * send come out, time is an argument. health/tunnel-http.ts carries them through the tunnel.
 *
 * ```
 *   opening ── SYN-ACK ──► open ── FIN ──► ended
 *      └─ RST ─► refused    └─ RST ─► reset
 * ```
 *
 * As little of TCP as a check needs: no option but the segment size, data only in order (what comes after a gap is left to be
 * sent again), everything of the request under way at once. The SYN and the request are sent again twice while nobody
 * acknowledges them. Who has seen enough ends the connection by `abort`.
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

export type ExchangeState = 'opening' | 'open' | 'ended' | 'refused' | 'reset';

export interface Exchange {
  readonly state: ExchangeState;
  /** Of the answer, in order, what was received since the beginning. */
  readonly received: Uint8Array;
  /** When `tick` wants to be called next; Infinity: never. */
  readonly dueMs: number;
  /** Sends what is to be sent first, or again. */
  tick(nowMs: number): readonly Segment[];
  receive(segment: Segment, nowMs: number): readonly Segment[];
  /** What ends the connection in any state, so that the peer keeps nothing of it; nothing where it has ended it itself. */
  abort(): readonly Segment[];
}

/** Fits into any encapsulation on a link of 1,500 bytes and most that carry less; what is announced, and sent at most. */
export const MSS = 1200;
/** Of a SYN-ACK without the option (RFC 9293, 3.7.1). */
const MSS_UNTOLD = 536;
/** Against a peer that wants segments of a byte each. */
const MSS_LEAST = 64;
/** To the first repetition; twice as long to the next. */
const RETRANSMIT_MS = 200;
const RETRIES = 2;

const NOTHING = new Uint8Array();

export function startExchange(firstSequence: number, request: Uint8Array): Exchange {
  const begin = (firstSequence + 1) >>> 0;
  let state: ExchangeState = 'opening';
  let received: Uint8Array = NOTHING;
  /** Bytes of the request that are acknowledged. */
  let acknowledged = 0;
  let segmentSize = MSS_UNTOLD;
  let peerNext = 0;
  let dueMs = Number.NEGATIVE_INFINITY;
  let sent = 0;

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
  const acknowledgement = (): Segment => bare(after(request.length), ACK);

  /** The SYN, or what is not acknowledged of the request; and the clock for its repetition. */
  function transmit(nowMs: number): Segment[] {
    dueMs = sent < RETRIES ? nowMs + RETRANSMIT_MS * 2 ** sent : Number.POSITIVE_INFINITY;
    sent++;
    if (state === 'opening') return [syn()];
    const segments: Segment[] = [];
    for (let from = acknowledged; from < request.length; from += segmentSize) {
      const payload = request.subarray(from, from + segmentSize);
      const isLast = from + segmentSize >= request.length;
      segments.push({ ...bare(after(from), isLast ? ACK | PSH : ACK), payload });
    }
    return segments;
  }

  function finish(last: ExchangeState): readonly Segment[] {
    state = last;
    dueMs = Number.POSITIVE_INFINITY;
    return [];
  }

  function opening(segment: Segment, nowMs: number): readonly Segment[] {
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
    sent = 0;
    // Acknowledges the SYN, too.
    return transmit(nowMs);
  }

  function open(segment: Segment, nowMs: number): readonly Segment[] {
    const { flags, payload } = segment;
    if ((flags & RST) !== 0) return segment.sequence === peerNext ? finish('reset') : [];
    const told = (segment.acknowledgement - begin) >>> 0;
    if ((flags & ACK) === 0 || told > request.length) return [];
    if (told > acknowledged) {
      acknowledged = told;
      sent = 0;
      dueMs = told === request.length ? Number.POSITIVE_INFINITY : nowMs + RETRANSMIT_MS;
    }
    // Our acknowledgement of it was lost.
    if ((flags & SYN) !== 0) return [acknowledgement()];
    /** Bytes of it that are known already; below 0: something is missing before it. */
    const known = (peerNext - segment.sequence) | 0;
    const hasFin = (flags & FIN) !== 0;
    const length = payload.length + (hasFin ? 1 : 0);
    if (known >= 0 && known < length) {
      received = Buffer.concat([received, payload.subarray(known)]);
      peerNext = (segment.sequence + length) >>> 0;
      if (hasFin) finish('ended');
      return [acknowledgement()];
    }
    // Old, or too early: said again what is expected. A bare acknowledgement wants none.
    return length > 0 ? [acknowledgement()] : [];
  }

  return {
    get state() {
      return state;
    },
    get received() {
      return received;
    },
    get dueMs() {
      return dueMs;
    },
    tick: (nowMs) => (nowMs < dueMs ? [] : transmit(nowMs)),
    receive(segment, nowMs) {
      if (state === 'opening') return opening(segment, nowMs);
      return state === 'open' ? open(segment, nowMs) : [];
    },
    abort() {
      // Where the peer expects it: elsewhere an RST is only asked about (RFC 5961, 3.2).
      return state === 'refused' || state === 'reset'
        ? []
        : [{ ...bare(after(acknowledged), RST), acknowledgement: 0 }];
    },
  };
}
