/**
 * Lets a host meet its gateway before anything is measured. Over a long cable, ARP and neighbour discovery take as long as
 * a handshake, and the first SYN would be sent again meanwhile: round-robin gives the second one to another backend.
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

/** Resolves when the host has the gateway's MAC; on the way the gateway has learned the host's. Rejects with a LabError. */
export async function meetGateway(namespace: string, gateway: string, signal: AbortSignal): Promise<void> {
  const address = Buffer.from(addressBytes(gateway));
  const start = performance.now();
  for (let asked = 0; ; await pause(LOOK_EVERY_MS, signal)) {
    const sinceMs = performance.now() - start;
    const isMet = inNamespace(namespace, () => {
      if (sinceMs >= asked * ASK_EVERY_MS) {
        asked++;
        probeNeighbour(readLink('eth0')?.index ?? 0, address);
      }
      return readNeighbours().some((each) => each.usable && address.equals(each.address));
    });
    if (isMet) return;
    if (sinceMs > PATIENCE_MS) throw new LabError('LAB_TIMEOUT', `${gateway} does not answer in ${namespace}`);
  }
}
