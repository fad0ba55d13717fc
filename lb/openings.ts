/**
 * What a SYN gets beside its way: it is counted, looked at closely, and told what fits. lb/forwarder.ts comes here for each
 * packet that opens a connection.
 */
// Hot path: no allocation, no throw, no closure, no await.
import { largestPacket } from '../dsr/encap.ts';
import { SERVICE_MSS_CLAMPED, SERVICE_SYN_MISSES, SERVICE_UNFINISHED_CHECKSUMS } from '../metrics/counters.ts';
import { ETHERNET_HEADER_LENGTH } from '../wire/ethernet.ts';
import { hasUnfinishedChecksum } from '../wire/flow.ts';
import { tcpHeaderLength } from '../wire/tcp.ts';
import type { Forwarder } from './forwarder.ts';
import { MSS_THAT_FITS, type ServiceState } from './forwarding-state.ts';
import { clampMss, mssThatFits } from './mss-clamp.ts';

export interface Openings {
  /**
   * A new connection. Its SYN is the cheapest packet to look at closely: a sender whose checksum offload leaves the work
   * to hardware that a virtual link doesn't have is found here, before somebody wonders for an evening why nothing
   * answers.
   */
  note(owner: ServiceState, i: number): void;
  /** What the backend may send in a segment; what the client may, the backend's own SYN-ACK says (lb/mss-clamp.ts). */
  clamp(owner: ServiceState, backend: number, i: number): void;
}

/** The openings of one forwarder. Cold; what it returns is hot. */
export function createOpenings({ view, batch, flows, counters }: Forwarder): Openings {
  const { offset } = batch;
  const { ipLength, l4 } = flows;

  function isUnfinished(i: number): boolean {
    return hasUnfinishedChecksum(view, offset[i] + ETHERNET_HEADER_LENGTH, ipLength[i], l4[i]);
  }

  function note({ serviceBase }: ServiceState, i: number): void {
    counters[serviceBase + SERVICE_SYN_MISSES]++;
    if (isUnfinished(i)) counters[serviceBase + SERVICE_UNFINISHED_CHECKSUMS]++;
  }

  function clamp({ hops, mssClamp, isIpv6, serviceBase }: ServiceState, backend: number, i: number): void {
    const largest = mssClamp === MSS_THAT_FITS ? mssThatFits(largestPacket(hops, backend), isIpv6) : mssClamp;
    const headerLength = tcpHeaderLength(view, l4[i]);
    // Of a first fragment, some of the options may be in the next one.
    if (l4[i] + headerLength > offset[i] + ETHERNET_HEADER_LENGTH + ipLength[i] || isUnfinished(i)) return;
    if (clampMss(view, l4[i], headerLength, largest)) counters[serviceBase + SERVICE_MSS_CLAMPED]++;
  }

  return { note, clamp };
}
