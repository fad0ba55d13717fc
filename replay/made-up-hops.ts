/**
 * The next hops of a replay, which has no neighbours to ask: made up from the backends' addresses, or given. `hushlb replay
 * --help` and docs/replay.md tell users of them.
 */
import type { Hop } from '../lb/forwarding-state.ts';
import { addressBytes } from '../wire/address.ts';

export interface HopSettings {
  /** The source of every frame. */
  readonly ownMac: Uint8Array;
  /** The outer source of encapsulated packets to IPv4 backends, four bytes, and to IPv6 backends, sixteen. */
  readonly source: Uint8Array;
  readonly sourceIpv6: Uint8Array;
  /** Where all frames go; null for a MAC of its own for each backend. */
  readonly nextHop: Uint8Array | null;
  readonly mtu: number;
}

/** The addresses are for documentation (RFC 5737, RFC 3849), the MAC is locally administered: nobody's. */
export const DEFAULT_HOPS: HopSettings = {
  ownMac: Uint8Array.of(2, 0, 0, 0, 0, 1),
  source: Uint8Array.of(192, 0, 2, 1),
  sourceIpv6: addressBytes('2001:db8::1'),
  nextHop: null,
  mtu: 1500,
};

/** By a backend's address: 198.18.2.1 has the MAC 02:00:c6:12:02:01, of an IPv6 address its last four bytes count. */
export function hopsOf({ source, sourceIpv6, nextHop, mtu }: HopSettings): (address: string) => Hop {
  return (address) => {
    const bytes = addressBytes(address);
    const mac = nextHop ?? Uint8Array.of(2, 0, ...bytes.subarray(-4));
    return { mac, source: bytes.length === 16 ? sourceIpv6 : source, mtu };
  };
}
