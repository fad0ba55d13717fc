/** Packet rows: packets of unknown connections, answered with RST or dropped: broken, on purpose. */
import { type TcpFields, tcpFrame, tcpPacket } from '../../packets.ts';
import { answer, CLIENT, ipip, type Out, type PacketRow, padded, VIP } from './row.ts';

const syn: TcpFields = { flags: 'S', options: [2, 4, 5, 180, 1, 3, 3, 7] };
const data: TcpFields = { flags: 'PA', payload: 'GET / HTTP/1.1\r\n\r\n', sequence: 1001, acknowledgement: 5001 };

/** The RST from the VIP to the client, back to where the segment came from. */
function reset(fields: TcpFields): Out {
  const ends = { source: VIP, destination: CLIENT, sourcePort: 80, destinationPort: 40000 };
  return answer(tcpPacket({ ...ends, window: 0, ...fields, ip: { id: 0, ttl: 64 } }));
}

export const STATEFUL_ROWS: readonly PacketRow[] = [
  { name: 'stateful: SYN opens', top: 'mode: stateful', in: tcpFrame(syn), exit: 'forward', out: ipip(tcpPacket(syn)) },
  {
    name: 'stateful: data of a known connection',
    top: 'mode: stateful',
    before: [tcpFrame(syn)],
    in: tcpFrame(data),
    exit: 'forward',
    out: ipip(tcpPacket(data)),
  },
  {
    name: 'stateful: unknown data is answered with RST, SEQ = its ACK',
    top: 'mode: stateful',
    in: tcpFrame(data),
    exit: 'reset: unknown-connection',
    out: reset({ flags: 'R', sequence: 5001 }),
  },
  {
    name: 'stateful: the ACK may be beyond 2^31',
    top: 'mode: stateful',
    in: tcpFrame({ ...data, acknowledgement: 0xfffffff0 }),
    exit: 'reset: unknown-connection',
    out: reset({ flags: 'R', sequence: 0xfffffff0 }),
  },
  {
    name: 'stateful: SYN-ACK opens nothing',
    top: 'mode: stateful',
    in: tcpFrame({ flags: 'SA', acknowledgement: 7 }),
    exit: 'reset: unknown-connection',
    out: reset({ flags: 'R', sequence: 7 }),
  },
  {
    name: 'stateful: a segment without ACK is acknowledged by the RST (SEQ + LEN, FIN counts one)',
    top: 'mode: stateful',
    in: tcpFrame({ flags: 'F', sequence: 1000, payload: 'abc' }),
    exit: 'reset: unknown-connection',
    out: reset({ flags: 'RA', sequence: 0, acknowledgement: 1004 }),
  },
  {
    name: 'stateful: SEQ + LEN wraps at 2^32',
    top: 'mode: stateful',
    in: tcpFrame({ flags: 'P', sequence: 0xffffffff, payload: 'abc' }),
    exit: 'reset: unknown-connection',
    out: reset({ flags: 'RA', sequence: 0, acknowledgement: 2 }),
  },
  {
    name: 'stateful: padding is no data',
    top: 'mode: stateful',
    in: padded(tcpFrame({ flags: 'F', sequence: 1000 }), 60),
    exit: 'reset: unknown-connection',
    out: reset({ flags: 'RA', sequence: 0, acknowledgement: 1001 }),
  },
  {
    name: 'stateful: an RST is never answered',
    top: 'mode: stateful',
    in: tcpFrame({ flags: 'R' }),
    exit: 'drop: unknown-reset',
  },
  {
    name: 'onMiss: reset, of one service in a stateless file',
    service: 'onMiss: reset',
    in: tcpFrame(data),
    exit: 'reset: unknown-connection',
    out: reset({ flags: 'R', sequence: 5001 }),
  },
  {
    name: 'onMiss: forward, of one service in a stateful file',
    top: 'mode: stateful',
    service: 'onMiss: forward',
    in: tcpFrame(data),
    exit: 'forward',
    out: ipip(tcpPacket(data)),
  },
  {
    name: 'onExpiry: reset: a connection that is not idle goes on',
    service: 'onExpiry: reset',
    before: [tcpFrame(syn)],
    in: tcpFrame(data),
    exit: 'forward',
    out: ipip(tcpPacket(data)),
  },

  // Silent drops.
  { name: 'drop: SYN opens', service: 'onMiss: drop', in: tcpFrame(syn), exit: 'forward', out: ipip(tcpPacket(syn)) },
  {
    name: 'drop: data of a known connection',
    service: 'onMiss: drop',
    before: [tcpFrame(syn)],
    in: tcpFrame(data),
    exit: 'forward',
    out: ipip(tcpPacket(data)),
  },
  { name: 'drop: unknown data', service: 'onMiss: drop', in: tcpFrame(data), exit: 'drop: unknown-connection' },
  {
    name: 'drop: an unknown RST is like any other packet',
    service: 'onMiss: drop',
    in: tcpFrame({ flags: 'R' }),
    exit: 'drop: unknown-connection',
  },
  {
    name: 'drop: SYN-ACK opens nothing',
    service: 'onMiss: drop',
    in: tcpFrame({ flags: 'SA' }),
    exit: 'drop: unknown-connection',
  },
];
