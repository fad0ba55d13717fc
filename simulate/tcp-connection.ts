/**
 * One end of a TCP connection as Linux keeps it (RFC 9293, with RFC 5961's rule for RSTs): handshake, data in order,
 * acknowledgements, FIN, retransmission with doubling timeouts, keepalive. simulate/host.ts makes one for each end and
 * hands it what arrives; programs (simulate/programs.ts) use `send` and `close` and are notified.
 *
 * Left out, because idle timeouts do not depend on it: options, congestion, window updates, reordering, urgent data,
 * delayed acknowledgements.
 */
import { ACK, FIN, PSH, RST, SYN } from '../wire/tcp.ts';
import type { Timer, VirtualClock } from './clock.ts';
import {
  FIN_WAIT_2_MS,
  KEEPALIVE_PROBES,
  RETRIES,
  RTO_INITIAL_MS,
  RTO_MIN_MS,
  retransmissionTimeout,
  TIME_WAIT_MS,
} from './linux-timers.ts';
import { liesInWindow, type Segment, segmentLength, sequenceDistance } from './segment.ts';

/** RFC 9293, 3.3.2, without LISTEN. */
export type State =
  | 'syn-sent'
  | 'syn-received'
  | 'established'
  | 'fin-wait-1'
  | 'fin-wait-2'
  | 'close-wait'
  | 'closing'
  | 'last-ack'
  | 'time-wait'
  | 'closed';

/** How a connection came to its end: in good order, by an RST, or because nobody answered any more. */
export type End = 'closed' | 'reset' | 'timed-out';

export type Notice =
  | { readonly kind: 'established' }
  | { readonly kind: 'data'; readonly payload: string }
  /** The peer has closed its side. */
  | { readonly kind: 'fin' }
  | { readonly kind: 'retransmission' | 'keepalive-probe'; readonly flags: number }
  /** The socket is gone; `by` made the RST. */
  | { readonly kind: 'end'; readonly end: End; readonly by: string | null };

export type SegmentBody = Pick<Segment, 'sequence' | 'acknowledgement' | 'flags' | 'payload'>;

export interface ConnectionOptions {
  readonly clock: VirtualClock;
  readonly initialSequence: number;
  /** tcp_keepalive_time; null where the program has not asked for keepalive. */
  readonly keepaliveMs: number | null;
  /** tcp_keepalive_intvl. */
  readonly keepaliveIntervalMs: number;
  transmit(body: SegmentBody): void;
  notify(notice: Notice): void;
}

export interface TcpConnection {
  readonly state: State;
  /** Sends a SYN. */
  open(): void;
  /** Answers a SYN. */
  accept(syn: Segment): void;
  /** Takes a segment; `by` is the host that made it. */
  receive(segment: Segment, by: string): void;
  send(payload: string): void;
  /** The program is done: FIN, and from now on nobody reads what arrives. */
  close(): void;
}

interface Unacknowledged {
  readonly sequence: number;
  readonly flags: number;
  readonly payload: string;
  readonly end: number;
}

export function createConnection(options: ConnectionOptions): TcpConnection {
  const { clock, notify, keepaliveMs, keepaliveIntervalMs } = options;
  let state: State = 'closed';
  let una = options.initialSequence;
  let next = options.initialSequence;
  let expected = 0;
  let unacknowledged: Unacknowledged[] = [];
  let retries = 0;
  let retransmitting: Timer | undefined;
  /** The timers that only wait: keepalive, FIN-WAIT-2, TIME-WAIT. A connection needs one of them at a time. */
  let waiting: Timer | undefined;
  let probes = 0;
  let heardMs = 0;
  let hasProgram = true;
  let acknowledged = false;

  function transmit(flags: number, sequence: number, payload = ''): void {
    acknowledged = true;
    options.transmit({ sequence, acknowledgement: (flags & ACK) === 0 ? 0 : expected, flags, payload });
  }

  function acknowledge(): void {
    transmit(ACK, next);
  }

  function queue(flags: number, payload = ''): void {
    const end = (next + payload.length + ((flags & (SYN | FIN)) === 0 ? 0 : 1)) >>> 0;
    unacknowledged.push({ sequence: next, flags, payload, end });
    const sequence = next;
    next = end;
    transmit(flags, sequence, payload);
    if (retransmitting === undefined) startRetransmitting();
  }

  function firstTimeoutMs(): number {
    return state === 'syn-sent' || state === 'syn-received' ? RTO_INITIAL_MS : RTO_MIN_MS;
  }

  function startRetransmitting(): void {
    retransmitting?.cancel();
    retransmitting = undefined;
    if (unacknowledged.length === 0) return;
    retransmitting = clock.after(retransmissionTimeout(firstTimeoutMs(), retries), () => {
      if (retries < mostRetries()) retransmit();
      else end('timed-out', null);
    });
  }

  function retransmit(): void {
    retries++;
    const { flags, sequence, payload } = unacknowledged[0];
    notify({ kind: 'retransmission', flags });
    transmit(flags, sequence, payload);
    startRetransmitting();
  }

  function mostRetries(): number {
    if (state === 'syn-sent') return RETRIES.syn;
    if (state === 'syn-received') return RETRIES.synAck;
    return hasProgram ? RETRIES.data : RETRIES.orphan;
  }

  function wait(delayMs: number, action: () => void): void {
    waiting?.cancel();
    waiting = clock.after(delayMs, action);
  }

  function end(how: End, by: string | null): void {
    state = 'closed';
    retransmitting?.cancel();
    waiting?.cancel();
    notify({ kind: 'end', end: how, by });
  }

  function establish(): void {
    state = 'established';
    heardMs = clock.now;
    if (keepaliveMs !== null) wait(keepaliveMs, keepAlive);
    notify({ kind: 'established' });
  }

  /** As tcp_keepalive_timer does: silence counts from what was last heard, and not while data is under way. */
  function keepAlive(): void {
    if (keepaliveMs === null || (state !== 'established' && state !== 'close-wait')) return;
    const silentMs = clock.now - heardMs;
    if (unacknowledged.length > 0) {
      wait(keepaliveMs, keepAlive);
    } else if (silentMs < keepaliveMs) {
      wait(keepaliveMs - silentMs, keepAlive);
    } else if (probes >= KEEPALIVE_PROBES) {
      transmit(RST | ACK, next);
      end('timed-out', null);
    } else {
      probes++;
      notify({ kind: 'keepalive-probe', flags: ACK });
      // A sequence number that the peer has acknowledged already: it must answer with an ACK.
      transmit(ACK, (una - 1) >>> 0);
      wait(keepaliveIntervalMs, keepAlive);
    }
  }

  function receiveInSynSent(segment: Segment, by: string): void {
    if ((segment.flags & ACK) === 0 || segment.acknowledgement !== next) return;
    if ((segment.flags & RST) !== 0) {
      end('reset', by);
    } else if ((segment.flags & SYN) !== 0) {
      expected = (segment.sequence + 1) >>> 0;
      takeAcknowledgement(segment.acknowledgement);
      acknowledge();
      establish();
    }
  }

  function takeAcknowledgement(acknowledgement: number): void {
    if (sequenceDistance(acknowledgement, una) <= 0) return;
    una = acknowledgement;
    unacknowledged = unacknowledged.filter((each) => sequenceDistance(each.end, una) > 0);
    retries = 0;
    startRetransmitting();
  }

  function afterAcknowledgement(): void {
    if (unacknowledged.length > 0) return;
    if (state === 'fin-wait-1') {
      state = 'fin-wait-2';
      wait(FIN_WAIT_2_MS, () => end('closed', null));
    } else if (state === 'closing') {
      enterTimeWait();
    } else if (state === 'last-ack') {
      end('closed', null);
    }
  }

  function enterTimeWait(): void {
    state = 'time-wait';
    wait(TIME_WAIT_MS, () => end('closed', null));
  }

  function takeFin(): void {
    expected = (expected + 1) >>> 0;
    acknowledge();
    if (state === 'established') state = 'close-wait';
    else if (state === 'fin-wait-1') state = 'closing';
    else if (state === 'fin-wait-2') enterTimeWait();
    notify({ kind: 'fin' });
  }

  /** RFC 9293, 3.10.7.4, in its order. */
  function receive(segment: Segment, by: string): void {
    const { flags, sequence } = segment;
    if (state === 'syn-sent') {
      receiveInSynSent(segment, by);
    } else if (!liesInWindow(segment, expected)) {
      if ((flags & RST) === 0) acknowledge();
    } else if ((flags & RST) !== 0) {
      // RFC 5961, 3.2: only the exact next number ends the connection; others in the window are challenged.
      if (sequence === expected) end('reset', by);
      else acknowledge();
    } else if ((flags & SYN) !== 0 || sequenceDistance(segment.acknowledgement, next) > 0) {
      acknowledge();
    } else if ((flags & ACK) !== 0) {
      receiveInOrder(segment);
    }
  }

  function receiveInOrder(segment: Segment): void {
    const { flags, payload } = segment;
    heardMs = clock.now;
    probes = 0;
    takeAcknowledgement(segment.acknowledgement);
    if (state === 'syn-received' && unacknowledged.length === 0) establish();
    afterAcknowledgement();
    if (state === 'closed' || segmentLength(segment) === 0) return;
    if (segment.sequence !== expected) {
      acknowledge();
    } else if (payload !== '' && !hasProgram) {
      // Linux resets whoever sends data to a socket that no program will ever read (RFC 9293, 3.6.1).
      transmit(RST, next);
      end('reset', null);
    } else {
      if (payload !== '') takeData(payload);
      if ((flags & FIN) !== 0) takeFin();
    }
  }

  function takeData(payload: string): void {
    expected = (expected + payload.length) >>> 0;
    acknowledged = false;
    notify({ kind: 'data', payload });
    // What the program sent carried the acknowledgement.
    if (!acknowledged) acknowledge();
  }

  return {
    get state() {
      return state;
    },
    open() {
      state = 'syn-sent';
      queue(SYN);
    },
    accept(syn) {
      state = 'syn-received';
      expected = (syn.sequence + 1) >>> 0;
      queue(SYN | ACK);
    },
    receive,
    send: (payload) => queue(PSH | ACK, payload),
    close() {
      hasProgram = false;
      if (state === 'established' || state === 'syn-received') state = 'fin-wait-1';
      else if (state === 'close-wait') state = 'last-ack';
      else return;
      waiting?.cancel();
      queue(FIN | ACK);
    },
  };
}
