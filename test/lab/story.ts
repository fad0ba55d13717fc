/**
 * Recorded stories for the tests of lab/: the packets of one connection, written by hand, one line a packet. Not a test.
 */
import type { Packet } from '../../lab/packets.ts';
import { ACK, FIN, PSH, RST, SYN } from '../../wire/tcp.ts';

export const ROLES = { client: 'client', clientAddress: '198.18.0.2', balancer: 'lb' };
export const VIP = '198.18.10.1';
export const START_MS = 1_700_000_000_000;

const FLAGS: Record<string, number> = {
  SYN,
  'SYN-ACK': SYN | ACK,
  ACK,
  'FIN-ACK': FIN | ACK,
  RST,
  'RST-ACK': RST | ACK,
  'GET /': PSH | ACK,
  '200 OK': PSH | ACK,
};
const HTTP: Record<string, string> = { 'GET /': 'GET / HTTP/1.1', '200 OK': 'HTTP/1.1 200 OK' };

/**
 * '12.1 client>lb>b2 GET / 101 501' is: at 12.1 ms, from the client by the balancer (there in a tunnel) to b2, a GET with
 * sequence number 101 and acknowledgement 501. Every host captures it, each 0.1 ms after the one before.
 */
export function story(lines: string, clientPort = 40001): Packet[] {
  return lines
    .trim()
    .split(/\n+/)
    .flatMap((line) => {
      const [, time, way, label, sequence, acknowledgement] =
        /^\s*([\d.]+)\s+(\S+) (.+?) (\d+) (\d+)\s*$/.exec(line) ?? refuse(line);
      const hosts = way.split('>');
      // Only the client's packets pass the balancer on their way to a backend.
      const fromClient = hosts[0] === 'client' || /^b\d/.test(hosts.at(-1) ?? '');
      return hosts.slice(1).flatMap((to, i) => {
        const common = {
          source: fromClient ? ROLES.clientAddress : VIP,
          sourcePort: fromClient ? clientPort : 80,
          destination: fromClient ? VIP : ROLES.clientAddress,
          destinationPort: fromClient ? 80 : clientPort,
          flags: FLAGS[label],
          sequence: Number(sequence),
          acknowledgement: Number(acknowledgement),
          payloadLength: label in HTTP ? 40 : 0,
          ...(label in HTTP ? { httpLine: HTTP[label] } : {}),
        };
        const from = hosts[i];
        const outer = { kind: 'IPIP', source: '198.18.2.10', destination: `198.18.2.${to.slice(1)}` } as const;
        const tunnel = fromClient && from === 'lb' ? { tunnel: outer } : {};
        const timeMs = START_MS + Number(time) + i / 5;
        return [
          { ...common, host: from, direction: 'out' as const, timeMs, ...tunnel },
          ...(to === 'nowhere' ? [] : [{ ...common, host: to, direction: 'in' as const, timeMs: timeMs + 0.1 }]),
        ];
      });
    });
}

function refuse(line: string): never {
  throw new Error(`no line of a story: ${line}`);
}

const OPENING = `
  0    client>lb>b2 SYN 100 0
  0.5  b2>client SYN-ACK 500 101
  0.7  client>lb>b2 ACK 101 501
  1.2  client>lb>b2 GET / 101 501
  2.0  b2>client ACK 501 141
  2.4  b2>client 200 OK 501 141
  2.8  client>lb>b2 ACK 141 541
`;

export const KEPT = `${OPENING}
  3602 client>lb>b2 GET / 141 541
  3603 b2>client 200 OK 541 181
`;

export const RESET_BY_STRANGER = `${OPENING}
  3602 client>lb>b3 GET / 141 541
  3603 b3>client RST 541 0
`;

export const RESET_BY_BALANCER = `${OPENING}
  3602 client>lb GET / 141 541
  3603 lb>client RST 541 0
`;

/** The request vanishes, and the server closes much later. */
export const HUNG_UNTIL_FIN = `${OPENING}
  3602 client>nowhere GET / 141 541
  4602 b2>client FIN-ACK 541 141
`;

/** The request and the server's FIN cross. */
export const RACED = `${OPENING}
  3602 b2>client FIN-ACK 541 141
  3602 client>lb>b2 GET / 141 541
  3604 b2>client RST 541 0
`;

export const HUNG = `${OPENING}
  3602 client>nowhere GET / 141 541
  3810 client>nowhere GET / 141 541
`;
