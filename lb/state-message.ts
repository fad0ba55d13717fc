/**
 * How a forwarding state travels from the main thread to a worker: services that are as they were in the state before are
 * not sent again, only named by their index there. With thousands of services a change of one next hop would keep packets
 * waiting for milliseconds otherwise. lb/workers.ts encodes, lb/worker.ts decodes; both see every state, in order.
 */
import type { ForwardingState, ServiceState } from './forwarding-state.ts';

export interface StateMessage {
  readonly rest: Omit<ForwardingState, 'services'>;
  /** Whole, or an index into the services of the state before. */
  readonly services: readonly (ServiceState | number)[];
}

/** Which services are as they were is a matter of identity: `buildForwardingState` takes them over from the state before. */
export function encodeState(state: ForwardingState, before: ForwardingState): StateMessage {
  const { services, ...rest } = state;
  const known = new Map(before.services.map((service, i) => [service, i]));
  return { rest, services: services.map((service) => known.get(service) ?? service) };
}

/** The inverse; `before` is the state that this worker decoded last, of which services come in by their index. */
export function decodeState({ rest, services }: StateMessage, before: ForwardingState): ForwardingState {
  return {
    ...rest,
    services: services.map((service) => (typeof service === 'number' ? before.services[service] : service)),
  };
}
