/**
 * Hands a forwarding state to the C yardstick: the arrays that the forwarder itself reads, one after the other in a file
 * (bench/yardstick/state.h has the layout). Called by the case decision-cost and by the test that compares both.
 */
import { writeFileSync } from 'node:fs';
import type { ForwardingState } from '../../lb/forwarding-state.ts';
import { ackFrame } from '../balancer.ts';

const HEADER_WORDS = 16;

/** Writes the state, which has one service, to `path`. */
export function writeStateFile(path: string, { hashSeed, index, services }: ForwardingState): void {
  const [service] = services;
  const header = new Int32Array(HEADER_WORDS);
  header.set([
    service.hashKind,
    hashSeed,
    service.onMiss,
    Number(service.resetsOnExpiry),
    service.encap,
    service.lookupTable.length,
    service.rotation.length,
    service.hops.length / 16,
    service.conntrack?.capacity ?? 0,
    service.conntrack?.idleTimeoutMs ?? 0,
    index.rows.length,
    index.shift,
  ]);
  // The benchmark's frame begins with its MAC addresses.
  const macs = ackFrame(Uint8Array.of(2, 0, 0, 0, 0, 2)).slice(0, 12);
  header.set(new Int32Array(macs.buffer), 12);
  writeFileSync(
    path,
    Buffer.concat([header, index.rows, service.hops, service.lookupTable, service.rotation].map(bytesOf)),
  );
}

function bytesOf({ buffer, byteOffset, byteLength }: Int32Array | Uint16Array): Buffer {
  return Buffer.copyBytesFrom(new Uint8Array(buffer, byteOffset, byteLength));
}
