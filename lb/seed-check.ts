/**
 * Eight bits that tell whether two balancers hash by the same seed, for a metric that anybody on the network may read
 * (docs/decisions/0009-comparing-balancers.md). lb/exporter.ts shows it, `hushlb agree` compares it.
 */
import { createHash } from 'node:crypto';

const BYTES_TOLD = 1;

/** Two hex digits. A longer digest, salted or slow, would let the 2^32 seeds be tried; of this one 2^24 remain. */
export function seedCheck(hashSeed: number): string {
  const digest = createHash('sha256').update(`hushlb hashSeed ${hashSeed}`).digest();
  return digest.subarray(0, BYTES_TOLD).toString('hex');
}
