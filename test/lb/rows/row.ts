/**
 * What a packet row is: description, configuration, packet in, exit, packet out; and what the files of rows have in common.
 * test/lb/forwarder.test.ts runs each through the real forwarder; other tests take the rows' packets as material.
 *
 * Expected bytes come from the builders in test/packets*.ts alone. What hushlb may choose (the source port of GUE, the flow
 * label of an outer IPv6 header) is taken from the frame at hand, once it lies where it must.
 */
import assert from 'node:assert/strict';
import { CLIENT_MAC, ethernetFrame, OWN_MAC } from '../../packets.ts';
import { type TunnelFields, tunnelPacket, typeOf } from '../../tunnels.ts';
import {
  BACKENDS,
  BACKENDS_IPV6,
  BALANCER_ADDRESS,
  BALANCER_ADDRESS_IPV6,
  createRig,
  type Rig,
  type RigConfig,
} from '../rig.ts';

export interface PacketRow {
  name: string;
  /** YAML lines, as in rig.ts. */
  top?: string;
  service?: string;
  vip?: string;
  backends?: readonly string[];
  others?: readonly string[];
  /** Packets that go before, at the same time; what becomes of them is not looked at. */
  before?: Uint8Array[];
  in: Uint8Array;
  exit: string;
  /** The frame that leaves, when `backend` is the one that was chosen; undefined: nothing may leave. */
  out?: Out;
  /** The backend must be the one that a balancer chooses for this packet which has never seen the flow. */
  backendOf?: Uint8Array;
}

/** `actual` is what has left: for the fields that are hushlb's to choose. */
export type Out = (backend: string, actual: Uint8Array) => Uint8Array;

export const VIP = '198.18.10.1';
export const CLIENT = '192.0.2.7';
export const VIP_IPV6 = '2001:db8:10::1';
export const CLIENT_IPV6 = '2001:db8::7';

/** For rows with a VIP of IPv6; and backends of the other family for one of IPv4. */
export const ON_IPV6_BACKENDS = {
  backends: Object.entries(BACKENDS_IPV6).map(([name, { address }]) => `{ name: ${name}, address: "${address}" }`),
};
export const ON_IPV6 = { vip: `"${VIP_IPV6}"`, ...ON_IPV6_BACKENDS };

/** Each row has tables of its own. */
export const SMALL_TABLES = ['tableSize: 251', 'conntrack: { capacity: 64 }'] as const;

/** The configuration of a row, with small tables where it says nothing of them. */
export function configOf({ service = '', ...row }: PacketRow): RigConfig {
  const missing = SMALL_TABLES.filter((line) => !service.includes(line.slice(0, line.indexOf(':'))));
  return { ...row, service: [...missing, service].join('\n    ') };
}

export function rigOf(row: PacketRow): Rig {
  return createRig(configOf(row));
}

/** As the router hands it to the balancer; of either family unless the type is given. */
export function frameOf(packet: readonly number[], type = typeOf(packet)): Uint8Array {
  return ethernetFrame(OWN_MAC, CLIENT_MAC, type, packet);
}

/** As the balancer answers the router. */
export function answer(packet: readonly number[]): Out {
  return () => ethernetFrame(CLIENT_MAC, OWN_MAC, typeOf(packet), packet);
}

export function l2(packet: readonly number[]): Out {
  return (backend) => ethernetFrame(BACKENDS[backend].mac, OWN_MAC, typeOf(packet), packet);
}

/**
 * To the backend by a tunnel, over IPv4 or IPv6: with field practice's outer header, of which the packet's TOS, identification
 * and DF are the caller's to say.
 */
export function tunnel(packet: readonly number[], isOuter6: boolean, fields: TunnelFields = {}): Out {
  const backends = isOuter6 ? BACKENDS_IPV6 : BACKENDS;
  const source = isOuter6 ? BALANCER_ADDRESS_IPV6 : BALANCER_ADDRESS;
  return (backend, actual) => {
    const { address, mac } = backends[backend];
    const flowLabel = ((actual[15] & 15) << 16) | (actual[16] << 8) | actual[17];
    const sourcePort = fields.encap === 'gue' ? { sourcePort: ephemeralPort(actual, isOuter6 ? 54 : 34) } : {};
    const whole = tunnelPacket(packet, { source, destination: address, flowLabel, ...sourcePort, ...fields });
    return ethernetFrame(mac, OWN_MAC, typeOf(whole), whole);
  };
}

/** IPIP of either family in IPv4 and in IPv6. */
export const ipip = (packet: readonly number[], fields?: TunnelFields): Out => tunnel(packet, false, fields);
export const ipip6 = (packet: readonly number[], fields?: TunnelFields): Out => tunnel(packet, true, fields);

/** The source port at `at` of a frame that has left: one of those that nobody listens on (RFC 6335, section 6). */
function ephemeralPort(actual: Uint8Array, at: number): number {
  const port = (actual[at] << 8) | actual[at + 1];
  assert.ok(port >= 0xc000, `source port ${port}`);
  return port;
}

export function padded(frame: Uint8Array, length: number): Uint8Array {
  const out = new Uint8Array(length).fill(0x5a);
  out.set(frame);
  return out;
}

export function withByte(frame: Uint8Array, index: number, value: number): Uint8Array {
  const copy = frame.slice();
  copy[index] = value;
  return copy;
}
