/**
 * A connection to the VIP through the tunnel as a stream, which Node's own HTTP and TLS run over as they do over a socket. The
 * answers come back past the balancer's forwarding, so the kernel here can't hold a socket for it; health/tcp-exchange.ts
 * speaks TCP in its place. Called by health/tunnel.ts for each check.
 *
 * Of what nobody has read it holds some 128 KiB at most. When it is destroyed, the peer is sent an RST, and nothing stays. Why the
 * connection failed is the error that it is destroyed with.
 *
 * All connections of a host come from one port, and their answers from the VIP, whichever backend it was. So each is known
 * by the upper half of its sequence numbers, which come back as acknowledgements.
 */
import { randomInt } from 'node:crypto';
import { Duplex } from 'node:stream';
import { type PeerSegment, type Segment, startExchange } from './tcp-exchange.ts';

/** Who hears of a segment: by the upper half of the acknowledgement. */
export type Exchanges = Map<number, (segment: PeerSegment) => void>;

export interface Dialling {
  readonly exchanges: Exchanges;
  /** Preferred, of 16 bits: what an earlier connection left behind is found by it. */
  readonly id: number;
  /** Throws where there is no way. */
  send(segment: Segment): void;
}

export const IDS = 1 << 16;
/** First sequence numbers begin in the lower quarter of the half: all that is written has to fit in behind them. */
const STARTS = 1 << 14;
const MOST_WRITTEN = IDS - STARTS - 1;

export function dialThroughTunnel({ exchanges, id, send }: Dialling): Duplex {
  let own = id;
  while (exchanges.has(own)) own = randomInt(IDS);
  const exchange = startExchange(own * IDS + randomInt(STARTS));
  let timer: NodeJS.Timeout | undefined;
  let written = 0;
  /** The stream has asked for more than it got. */
  let wanted = false;

  const stream = new Duplex({
    read() {
      wanted = true;
      deliver();
    },
    write(chunk: Uint8Array, _, done) {
      written += chunk.length;
      if (written > MOST_WRITTEN) {
        done(new Error(`more to send than a check through the tunnel can, ${MOST_WRITTEN} bytes`));
        return;
      }
      go(() => exchange.write(chunk, performance.now()));
      done();
    },
    destroy(error, done) {
      clearTimeout(timer);
      exchanges.delete(own);
      try {
        for (const segment of exchange.abort()) send(segment);
      } catch {
        // There is no way any more to say so.
      }
      done(error);
    },
  });

  function go(next: () => readonly Segment[]): void {
    if (stream.destroyed) return;
    try {
      for (const segment of next()) send(segment);
    } catch (error) {
      stream.destroy(error as Error);
      return;
    }
    const { state, dueMs } = exchange;
    if (state === 'refused' || state === 'reset') {
      stream.destroy(new Error(`connection to the VIP ${state}`));
      return;
    }
    clearTimeout(timer);
    if (dueMs !== Number.POSITIVE_INFINITY) {
      timer = setTimeout(() => go(() => exchange.tick(performance.now())), dueMs - performance.now());
    }
    deliver();
  }

  /** One piece: the stream asks again when it wants another. */
  function deliver(): void {
    if (!wanted) return;
    const bytes = exchange.take();
    if (bytes.length === 0 && exchange.state !== 'ended') return;
    wanted = false;
    stream.push(bytes.length > 0 ? bytes : null);
  }

  exchanges.set(own, (segment) => go(() => exchange.receive(segment, performance.now())));
  go(() => exchange.tick(performance.now()));
  return stream;
}
