/**
 * All packet rows: description, packet in, exit, packet out (test/lb/rows/row.ts). Each goes through the real forwarder
 * (forwarder.test.ts); what comes out is compared with bytes that test/packets*.ts build by the RFCs.
 */
import { ECHO_ROWS } from './rows/echo.ts';
import { FRAGMENT_ROWS } from './rows/fragments.ts';
import { ICMP_ERROR_ROWS } from './rows/icmp-errors.ts';
import { IPV6_ROWS } from './rows/ipv6.ts';
import { NOT_FORWARDED_ROWS } from './rows/not-forwarded.ts';
import { QUIC_ROWS } from './rows/quic.ts';
import type { PacketRow } from './rows/row.ts';
import { SERVICE_ROWS } from './rows/services.ts';
import { STATEFUL_ROWS } from './rows/stateful.ts';
import { TCP_ROWS } from './rows/tcp.ts';
import { TUNNEL_ROWS } from './rows/tunnels.ts';
import { UDP_ROWS } from './rows/udp.ts';
import { VLAN_ROWS } from './rows/vlan.ts';

export const ROWS: readonly PacketRow[] = [
  ...TCP_ROWS,
  ...STATEFUL_ROWS,
  ...NOT_FORWARDED_ROWS,
  ...IPV6_ROWS,
  ...UDP_ROWS,
  ...QUIC_ROWS,
  ...TUNNEL_ROWS,
  ...VLAN_ROWS,
  ...FRAGMENT_ROWS,
  ...ICMP_ERROR_ROWS,
  ...ECHO_ROWS,
  ...SERVICE_ROWS,
];
