/**
 * What the counters say about the network around the balancer, in words, once: packets that are forwarded and yet lost are
 * the first riddle of whoever sets up a host. Looked at once a second by the daemon; each hint is logged once.
 */
import type { Logger } from 'pino';
import { type CounterLayout, SERVICE_SYN_MISSES, SERVICE_UNFINISHED_CHECKSUMS, sumSlots } from '../metrics/counters.ts';
import * as exits from './exits.ts';

const LOOK_EVERY_MS = 1000;

/** One SYN in 65,536 has such a checksum by chance; several, and most of all, have not. */
const UNFINISHED_AT_LEAST = 3;

export interface HintSources {
  /** Asked at every look. */
  layout(): CounterLayout;
  readonly counters: readonly Float64Array[];
  /** The interface has more receive queues than it had when the workers were started. */
  hasNewQueues(): boolean;
  /** Packets that came longer than the device's frames. */
  longPackets(): number;
  readonly logger: Logger;
}

export function watchForHints(sources: HintSources): { close(): void } {
  const said = new Set<string>();
  const timer = setInterval(() => {
    for (const [key, message] of hints(sources)) {
      const [service] = key.split('/');
      if (!said.has(key)) sources.logger.warn(service === '' ? {} : { service }, message);
      said.add(key);
    }
  }, LOOK_EVERY_MS).unref();
  return { close: () => clearInterval(timer) };
}

/** A key is the service's name, or nothing, and what the hint is about. */
function* hints({
  layout: layoutNow,
  counters,
  hasNewQueues,
  longPackets,
}: HintSources): Generator<readonly [key: string, message: string]> {
  if (hasNewQueues()) {
    yield [
      '/queues',
      'the interface has got more receive queues (ethtool -L), and no worker serves the new ones, their packets go to the kernel: restart hushlb',
    ];
  }
  if (longPackets() > 0) {
    yield [
      '/long',
      'packets arrive that are longer than a packet socket forwards, and that it cannot cut into the segments that they were merged from, and are dropped: lower the MTU of the network to 1800, or run ethtool -K INTERFACE gro off lro off here',
    ];
  }
  const layout = layoutNow();
  for (const [i, { name }] of layout.services.entries()) {
    const ofService = (slot: number) => sumSlots(counters, layout.serviceBase[i] + slot);
    const unfinished = ofService(SERVICE_UNFINISHED_CHECKSUMS);
    if (unfinished >= UNFINISHED_AT_LEAST && unfinished * 2 > ofService(SERVICE_SYN_MISSES)) {
      yield [
        `${name}/checksum`,
        'packets arrive with unfinished TCP checksums, backends will drop them: on the sending host, run ethtool -K INTERFACE tx off',
      ];
    }
    if (sumSlots(counters, layout.exitBase[i] + exits.TOO_BIG) > 0) {
      yield [
        `${name}/too-big`,
        'packets are too big once encapsulated and are dropped: lower the MSS that backends announce, raise the MTU between here and them, or turn off gso and tso on the sending host if it is on the same machine',
      ];
    }
  }
}
