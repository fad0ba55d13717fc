/**
 * The two programs of a simulation: a server that answers and closes what has been idle for too long, and a client whose
 * pool keeps a connection, pauses, and sends again. simulate/world.ts puts them on their hosts.
 */
import type { Timer, VirtualClock } from './clock.ts';
import { formatDuration } from './duration.ts';
import type { Host, OnNotice, Socket } from './host.ts';
import type { Story } from './story.ts';
import type { Notice } from './tcp-connection.ts';

/**
 * What became of a connection. The first four are the lab's words. `raced`: the server closed it while a request was on
 * its way. `closed-by-server`: it did so in time, the client's pool noticed and opens another; nothing is lost.
 */
export const OUTCOMES = ['kept', 'reset-by-backend', 'reset-by-balancer', 'hung', 'raced', 'closed-by-server'] as const;
export type Outcome = (typeof OUTCOMES)[number];

/** One connection of the client and the two requests on it, or three. */
export interface Exchange {
  readonly clientPort: number;
  /** The pause before a request that is there to begin the next pause in a bad moment; null where there is none. */
  readonly leadMs: number | null;
  readonly pauseMs: number;
  backendBefore: string | null;
  backendAfter: string | null;
  outcome: Outcome | null;
  /** What the client program is told: 'ECONNRESET', 'ETIMEDOUT', 'EOF'; null where all is well. */
  error: string | null;
  /** The host that made the RST. */
  resetBy: string | null;
  secondRequestMs: number | null;
  outcomeMs: number | null;
}

const REQUEST = 'GET / HTTP/1.1\r\nHost: web\r\n\r\n';
const ANSWER = 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n';

export interface ServerOptions {
  readonly host: Host;
  readonly port: number;
  readonly clock: VirtualClock;
  readonly story: Story;
  /** After how long without a request it closes a connection; null for never. */
  readonly idleMs: number | null;
  onRequest(clientPort: number): void;
  /** The kernel has let go of a connection's socket. */
  onGone(clientPort: number): void;
}

export function startServer({ host, port, clock, story, idleMs, onRequest, onGone }: ServerOptions): void {
  const { name } = host;
  host.listen(port, ({ clientPort, connection }) => {
    let idle: Timer | undefined;
    const closeWhenIdle = (): void => {
      idle?.cancel();
      if (idleMs === null) return;
      idle = clock.after(idleMs, () => {
        story.tell(clientPort, name, 'close', `closes the connection, idle for ${formatDuration(idleMs)}: FIN`);
        connection.close();
      });
    };
    return (notice) => {
      if (notice.kind === 'established') closeWhenIdle();
      if (notice.kind === 'data') {
        onRequest(clientPort);
        story.tell(clientPort, name, 'answer', 'answers, directly to the client');
        connection.send(ANSWER);
        closeWhenIdle();
      }
      if (notice.kind === 'fin') connection.close();
      if (notice.kind === 'fin' || notice.kind === 'end') idle?.cancel();
      tellTransport(story, clientPort, name, notice);
      if (notice.kind !== 'end') return;
      onGone(clientPort);
      if (notice.end !== 'closed') story.tell(clientPort, name, 'end', endText(notice));
    };
  });
}

function endText(notice: Extract<Notice, { kind: 'end' }>): string {
  if (notice.end === 'timed-out') return 'gives up, nobody acknowledges: its socket is gone';
  if (notice.by === null) return 'resets it: data for a socket that is closed';
  return `gets an RST from ${notice.by === 'balancer' ? 'the balancer' : notice.by}: its socket is gone`;
}

function tellTransport(story: Story, clientPort: number, who: string, notice: Notice): void {
  if (notice.kind === 'retransmission') story.tell(clientPort, who, 'retransmission', 'retransmits');
  if (notice.kind === 'keepalive-probe') story.tell(clientPort, who, 'keepalive-probe', 'sends a keepalive probe');
}

export interface ClientOptions {
  readonly host: Host;
  readonly vip: number;
  readonly port: number;
  readonly clock: VirtualClock;
  readonly story: Story;
  readonly exchange: Exchange;
  /** Less than a millisecond: decides who of several sends first. */
  readonly jitterMs: number;
  /** The outcome is settled. */
  onDone(exchange: Exchange): void;
}

/** Opens the connection and sees it through; `exchange` says in the end what became of it. */
export function startClient(options: ClientOptions): void {
  const { host, vip, port, clock, story, exchange, jitterMs, onDone } = options;
  const { clientPort, leadMs, pauseMs } = exchange;
  let awaiting = false;
  let retransmitted = false;
  let answers = 0;
  let pause: Timer | undefined;

  const tell = (kind: Parameters<Story['tell']>[2], text: string): void => story.tell(clientPort, 'client', kind, text);

  function settle(outcome: Outcome, error: string | null, text: string): void {
    exchange.outcome = outcome;
    exchange.error = error;
    exchange.outcomeMs = clock.now;
    pause?.cancel();
    tell('outcome', text);
    onDone(exchange);
  }

  function request(text: string): void {
    awaiting = true;
    retransmitted = false;
    tell('request', text);
    socket.connection.send(REQUEST);
  }

  function takeAnswer(): void {
    awaiting = false;
    answers++;
    if (answers === 1 && leadMs !== null) {
      pause = clock.after(leadMs, () => request('sends a request, right after a keepalive probe'));
    } else if (answers === (leadMs === null ? 1 : 2)) {
      pause = clock.after(pauseMs + jitterMs, () => {
        exchange.secondRequestMs = clock.now;
        request(`sends a request on the connection, idle for ${formatDuration(pauseMs)}`);
      });
    } else {
      settle('kept', null, 'gets its answer on the same connection, and closes it');
      socket.connection.close();
    }
  }

  function takeFin(): void {
    if (exchange.outcome === null) {
      const hungMs = clock.now - (exchange.secondRequestMs ?? clock.now);
      if (!awaiting) settle('closed-by-server', null, 'sees the FIN in time: its pool will open another connection');
      else if (retransmitted) settle('hung', 'EOF', `has hung for ${formatDuration(hungMs)}, until the server's FIN`);
      else settle('raced', 'EOF', 'reads the end of the stream in place of an answer (RemoteDisconnected)');
    }
    socket.connection.close();
  }

  function takeEnd({ end, by }: Extract<Notice, { kind: 'end' }>): void {
    if (exchange.outcome !== null) return;
    if (end === 'reset') {
      exchange.resetBy = by;
      const when = awaiting ? '' : ', the connection being idle';
      settle(by === 'balancer' ? 'reset-by-balancer' : 'reset-by-backend', 'ECONNRESET', `sees ECONNRESET${when}`);
    } else {
      const sentMs = exchange.secondRequestMs;
      const how = sentMs === null ? '' : ` after ${formatDuration(clock.now - sentMs)}`;
      settle('hung', 'ETIMEDOUT', `gives up${how}: ETIMEDOUT`);
    }
  }

  const notify: OnNotice = (notice) => {
    if (notice.kind === 'retransmission') retransmitted = true;
    if (notice.kind === 'established') request('sends a request');
    if (notice.kind === 'data') takeAnswer();
    if (notice.kind === 'fin') takeFin();
    if (notice.kind === 'end') takeEnd(notice);
    // When all is decided its FIN may still be repeated, which is no part of the story.
    if (exchange.outcome === null) tellTransport(story, clientPort, 'client', notice);
  };
  tell('open', 'opens a connection: SYN');
  const socket: Socket = host.connect({ address: vip, port, fromPort: clientPort }, notify);
}
