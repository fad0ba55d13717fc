/**
 * The backend that the hash alone chooses for a client, as the forwarder would choose it without its connection table: by the same
 * functions and the same lookup table, with the addresses given as text. On the main thread, for people who ask.
 */
import { flowSlot } from '../hashing/flow-hash.ts';
import { flowSlotIpv6 } from '../hashing/flow-hash-ipv6.ts';
import { addressBytes } from '../wire/address.ts';
import { swapPort } from '../wire/tcp.ts';
import type { ForwardingState } from './forwarding-state.ts';

export interface HashChoice {
  readonly slot: number;
  readonly tableSize: number;
  /** NO_BACKEND where nobody serves. */
  readonly backend: number;
}

/** Null for round-robin, which asks no hash. `client` is of the service's family. */
export function choiceByHash(
  { services, hashSeed }: ForwardingState,
  serviceIndex: number,
  client: string,
  clientPort: number,
  servicePort: number,
): HashChoice | null {
  const { lookupTable, hashKind, vip, protocol, isIpv6, rotation } = services[serviceIndex];
  if (rotation.length > 0) return null;
  const bytes = addressBytes(client);
  const view = new DataView(new ArrayBuffer(32));
  for (const [i, byte] of bytes.entries()) view.setUint8(i, byte);
  for (const [k, word] of vip.entries()) view.setInt32(16 + 4 * k, word, true);
  const ports = swapPort(clientPort) | (swapPort(servicePort) << 16);
  const tableSize = lookupTable.length;
  const slot = isIpv6
    ? flowSlotIpv6(tableSize, hashKind, view, 0, 16, ports, protocol, hashSeed)
    : flowSlot(tableSize, hashKind, view.getInt32(0, true), vip[0], ports, protocol, hashSeed);
  return { slot, tableSize, backend: lookupTable[slot] };
}
