/**
 * Lets neighbours meet before anything is measured. Over a long cable, ARP and neighbour discovery take as long as a
 * handshake, and the first SYN would be sent again meanwhile: round-robin gives the second one to another backend.
 */
import { readLink } from '../io/links.ts';
import { inNamespace } from '../io/namespace.ts';
import { probeNeighbour, readNeighbours } from '../io/neighbours.ts';
import { addressBytes } from '../wire/address.ts';
import { LabError } from './errors.ts';
import { pause } from './processes.ts';

const PATIENCE_MS = 10_000;
const ASK_EVERY_MS = 1000;
const LOOK_EVERY_MS = 20;

/** A neighbour of a host, at one of its interfaces. */
export interface Acquaintance {
  readonly namespace: string;
  readonly interface: string;
  readonly neighbour: string;
}

/**
 * Resolves when the host has the neighbour's MAC. The neighbour learns the host's from an ARP request, but not from a
 * solicitation, which comes from a link-local address: it has to ask itself. Rejects with a LabError.
 */
export async function meet(
  { namespace, interface: name, neighbour }: Acquaintance,
  signal: AbortSignal,
): Promise<void> {
  const address = Buffer.from(addressBytes(neighbour));
  const start = performance.now();
  for (let asked = 0; ; await pause(LOOK_EVERY_MS, signal)) {
    const sinceMs = performance.now() - start;
    const isMet = inNamespace(namespace, () => {
      if (sinceMs >= asked * ASK_EVERY_MS) {
        asked++;
        probeNeighbour(readLink(name)?.index ?? 0, address);
      }
      return readNeighbours().some((each) => each.usable && address.equals(each.address));
    });
    if (isMet) return;
    if (sinceMs > PATIENCE_MS) throw new LabError('LAB_TIMEOUT', `${neighbour} does not answer in ${namespace}`);
  }
}
