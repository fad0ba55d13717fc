/**
 * The next hops of a replay, which has no neighbours to ask: made up from the backends' addresses, or given. `hushlb replay
 * --help` and docs/replay.md tell users of them.
 */
import type { Hop } from '../lb/forwarding-state.ts';
import { ipv4Bytes, parseIpv4 } from '../wire/address.ts';

export interface HopSettings {
  /** The source of every frame. */
  readonly ownMac: Uint8Array;
  /** The outer source of encapsulated packets, four bytes. */
  readonly source: Uint8Array;
  /** Where all frames go; null for a MAC of its own for each backend. */
  readonly nextHop: Uint8Array | null;
  readonly mtu: number;
}

/** 192.0.2.1 is for documentation (RFC 5737), the MAC is locally administered: nobody's. */
export const DEFAULT_HOPS: HopSettings = {
  ownMac: Uint8Array.of(2, 0, 0, 0, 0, 1),
  source: Uint8Array.of(192, 0, 2, 1),
  nextHop: null,
  mtu: 1500,
};

/** By a backend's address: 198.18.2.1 has the MAC 02:00:c6:12:02:01. */
export function hopsOf({ source, nextHop, mtu }: HopSettings): (address: string) => Hop {
  return (address) => ({ mac: nextHop ?? Uint8Array.of(2, 0, ...ipv4Bytes(parseIpv4(address) ?? 0)), source, mtu });
}
