/**
 * The TCP of one host: finds the connection that a frame belongs to, accepts SYNs where a program listens, and answers
 * everything else with RST, as a kernel does. That last rule is what makes a stranger among the backends break a
 * connection. simulate/world.ts makes the client's host and one for each backend.
 */
import { ACK, RST, SYN } from '../wire/tcp.ts';
import type { VirtualClock } from './clock.ts';
import { type Segment, segmentLength } from './segment.ts';
import { createConnection, type Notice, type TcpConnection } from './tcp-connection.ts';

export interface HostOptions {
  readonly name: string;
  /** The packet word of the address that its connections have: the client's own, or the VIP. */
  readonly address: number;
  readonly clock: VirtualClock;
  /** tcp_keepalive_time of every connection; null for no keepalive. */
  readonly keepaliveMs: number | null;
  /** tcp_keepalive_intvl. */
  readonly keepaliveIntervalMs: number;
  /** 32 random bits: initial sequence numbers. */
  random(): number;
  transmit(segment: Segment): void;
  /** Something happened that nobody on this host is told: an RST for an unknown connection. */
  onStray(segment: Segment): void;
}

/** A connection with the port that tells it from the others: the client's, on either side. */
export interface Socket {
  readonly clientPort: number;
  readonly connection: TcpConnection;
}

export type OnNotice = (notice: Notice) => void;

export interface Host {
  readonly name: string;
  connect(to: { readonly address: number; readonly port: number; readonly fromPort: number }, notify: OnNotice): Socket;
  /** `program` is called with each new socket and returns who is notified. */
  listen(port: number, program: (socket: Socket) => OnNotice): void;
  receive(segment: Segment, by: string): void;
  /** Connections that the kernel still keeps, by the client's port. */
  readonly sockets: ReadonlyMap<number, Socket>;
}

export function createHost(options: HostOptions): Host {
  const { name, address, clock, keepaliveMs, keepaliveIntervalMs, random, transmit } = options;
  // One client, one service: the client's port alone names a connection.
  const sockets = new Map<number, Socket>();
  let listener: { readonly port: number; readonly program: (socket: Socket) => OnNotice } | undefined;

  function createSocket(
    clientPort: number,
    peer: { readonly address: number; readonly port: number; readonly ownPort: number },
    notify: OnNotice,
  ): Socket {
    const connection = createConnection({
      clock,
      keepaliveMs,
      keepaliveIntervalMs,
      initialSequence: random() >>> 0,
      transmit: (body) =>
        transmit({
          ...body,
          source: address,
          sourcePort: peer.ownPort,
          destination: peer.address,
          destinationPort: peer.port,
        }),
      notify(notice) {
        if (notice.kind === 'end') sockets.delete(clientPort);
        notify(notice);
      },
    });
    const socket = { clientPort, connection };
    sockets.set(clientPort, socket);
    return socket;
  }

  function accept(segment: Segment, program: (socket: Socket) => OnNotice): void {
    const { source, sourcePort, destinationPort } = segment;
    // The program is asked after the socket exists, and is told nothing before that.
    let notify: OnNotice = () => {};
    const peer = { address: source, port: sourcePort, ownPort: destinationPort };
    const socket = createSocket(sourcePort, peer, (notice) => notify(notice));
    notify = program(socket);
    socket.connection.accept(segment);
  }

  /** RFC 9293, 3.10.7.1: a segment for a connection that does not exist, RSTs excepted, is answered with RST. */
  function refuse(segment: Segment): void {
    const { source, destination, sourcePort, destinationPort, flags, sequence, acknowledgement } = segment;
    if ((flags & RST) !== 0) return;
    const answersAck = (flags & ACK) !== 0;
    options.onStray(segment);
    transmit({
      source: destination,
      destination: source,
      sourcePort: destinationPort,
      destinationPort: sourcePort,
      sequence: answersAck ? acknowledgement : 0,
      acknowledgement: answersAck ? 0 : (sequence + segmentLength(segment)) >>> 0,
      flags: answersAck ? RST : RST | ACK,
      payload: '',
    });
  }

  return {
    name,
    sockets,
    connect({ address: peerAddress, port, fromPort }, notify) {
      const socket = createSocket(fromPort, { address: peerAddress, port, ownPort: fromPort }, notify);
      socket.connection.open();
      return socket;
    },
    listen(port, program) {
      listener = { port, program };
    },
    receive(segment, by) {
      if (segment.destination !== address) return;
      const serves = listener !== undefined && segment.destinationPort === listener.port;
      const known = sockets.get(serves ? segment.sourcePort : segment.destinationPort);
      const opens = (segment.flags & (SYN | ACK | RST)) === SYN;
      if (known !== undefined) known.connection.receive(segment, by);
      else if (serves && opens && listener !== undefined) accept(segment, listener.program);
      else refuse(segment);
    },
  };
}
