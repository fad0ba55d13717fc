/**
 * What a stateful balancer does with a segment whose connection its table doesn't know: the mistake that hushlb makes on demand
 * (`mode: stateful`, `onMiss`, `onExpiry`). lb/forwarder.ts comes here for services that are configured so, and for no others.
 */
// Hot path: no allocation, no throw, no closure, no await.
import { SERVICE_EXPIRY_RESETS_SENT, SERVICE_RESETS_SENT } from '../metrics/counters.ts';
import { RST } from '../wire/tcp.ts';
import * as exits from './exits.ts';
import type { Forwarder } from './forwarder.ts';
import { type ForwardingState, ON_MISS_DROP, type ServiceState } from './forwarding-state.ts';
import { writeReset } from './reset.ts';

export interface Refusals {
  /** `onMiss: drop` is silent. `reset`: the balancer does TCP of its own and breaks the connection; never RST for RST. */
  refuse(state: ForwardingState, owner: ServiceState, i: number): number;
  /** `onExpiry: reset`, noticed late: the packet came after the timeout and before the sweep. The backend's RST waits. */
  refuseExpired(state: ForwardingState, owner: ServiceState, i: number): number;
}

/** The refusals of one forwarder, which return the exit of packet `i`. Cold; what it returns is hot. */
export function createRefusals({ view, batch, flows, counters }: Forwarder): Refusals {
  const { offset, length } = batch;
  const { tcpFlags, ipLength, l4 } = flows;

  function refuse(state: ForwardingState, owner: ServiceState, i: number): number {
    if (owner.onMiss === ON_MISS_DROP) return exits.UNKNOWN_DROPPED;
    if ((tcpFlags[i] & RST) !== 0) return exits.UNKNOWN_RESET;
    answerWithReset(state, owner, i);
    return exits.RESET_UNKNOWN;
  }

  function refuseExpired(state: ForwardingState, owner: ServiceState, i: number): number {
    if ((tcpFlags[i] & RST) !== 0) return exits.UNKNOWN_RESET;
    answerWithReset(state, owner, i);
    counters[owner.serviceBase + SERVICE_EXPIRY_RESETS_SENT]++;
    return exits.RESET_EXPIRED;
  }

  function answerWithReset(state: ForwardingState, owner: ServiceState, i: number): void {
    length[i] = writeReset(view, offset[i], l4[i], ipLength[i], state.ownMacLow, state.ownMacHigh);
    counters[owner.serviceBase + SERVICE_RESETS_SENT]++;
  }

  return { refuse, refuseExpired };
}
