/**
 * An http check through the tunnel: does the server behind it answer what it should? The request goes to the VIP in the
 * service's encapsulation and the answer comes back past the balancer's forwarding, so the kernel here can't hold the
 * connection's socket; health/tcp-exchange.ts speaks TCP in its place. Called by health/tunnel.ts for each check.
 *
 * All connections of a host come from one port, and their answers from the VIP, whichever backend it was. So each is known
 * by the upper half of its sequence numbers, which come back as acknowledgements.
 */
import { randomInt } from 'node:crypto';
import type { Expectation } from './http.ts';
import { judgeAnswer } from './http-answer.ts';
import type { CheckResult } from './judge.ts';
import { type Segment, startExchange } from './tcp-exchange.ts';

/** Who hears of a segment: by the upper half of the acknowledgement. */
export type Exchanges = Map<number, (segment: Segment) => void>;

export interface Asking {
  /** The Host header's, where the expectation has none. */
  readonly host: string;
  readonly expectation: Expectation;
  readonly exchanges: Exchanges;
  /** Preferred, of 16 bits: what an earlier connection left behind is found by it. */
  readonly id: number;
  /** Throws where there is no way. */
  send(segment: Segment): void;
}

export const IDS = 1 << 16;
/** First sequence numbers begin in the lower quarter of the half: the whole request fits in behind them. */
const STARTS = 1 << 14;

export function askThroughTunnel(
  { host, expectation, exchanges, id, send }: Asking,
  signal: AbortSignal,
): Promise<CheckResult> {
  let own = id;
  while (exchanges.has(own)) own = randomInt(IDS);
  const exchange = startExchange(own * IDS + randomInt(STARTS), requestOf(expectation, host));
  return new Promise((resolve, reject) => {
    let timer: NodeJS.Timeout | undefined;

    function end(): void {
      clearTimeout(timer);
      exchanges.delete(own);
      signal.removeEventListener('abort', giveUp);
      for (const segment of exchange.abort()) send(segment);
    }

    function giveUp(): void {
      try {
        end();
      } catch {
        // It failed by its time already.
      }
    }

    /** Sends what follows, and ends when there is a result. That a way was lost meanwhile is one, too. */
    function go(next: () => readonly Segment[]): void {
      try {
        const segments = next();
        const result = resultOf();
        if (result !== undefined) {
          resolve(result);
          end();
          return;
        }
        for (const segment of segments) send(segment);
        clearTimeout(timer);
        if (exchange.dueMs === Number.POSITIVE_INFINITY) return;
        timer = setTimeout(() => go(() => exchange.tick(performance.now())), exchange.dueMs - performance.now());
      } catch (error) {
        clearTimeout(timer);
        exchanges.delete(own);
        reject(error);
      }
    }

    function resultOf(): CheckResult | undefined {
      if (exchange.state === 'refused') return { ok: false, reason: 'connection to the VIP refused' };
      if (exchange.state === 'reset') return { ok: false, reason: 'connection to the VIP reset' };
      if (exchange.state === 'opening') return undefined;
      return judgeAnswer(exchange.received, exchange.state === 'ended', expectation);
    }

    exchanges.set(own, (segment) => go(() => exchange.receive(segment, performance.now())));
    signal.addEventListener('abort', giveUp, { once: true });
    go(() => exchange.tick(performance.now()));
  });
}

function requestOf({ method, path, host: told }: Expectation, host: string): Uint8Array {
  return Buffer.from(
    `${method} ${path} HTTP/1.1\r\nHost: ${told ?? host}\r\nUser-Agent: hushlb-health\r\nConnection: close\r\n\r\n`,
    'latin1',
  );
}
