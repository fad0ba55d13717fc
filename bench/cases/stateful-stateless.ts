/**
 * Case `stateful-stateless`: the same load through hushlb stateless, with its table and without, hushlb stateful and the
 * kernel's stateful NAT, and the same things happening to all of them: how many of the connections that are open get lost, how
 * many packets pass, how much memory that takes.
 */
import type { BenchCase } from '../case.ts';
import { measureState, type StatePlan } from '../state/measure.ts';
import { presentState } from '../state/results.ts';
import { findKeys } from '../state/stage.ts';

const FULL: StatePlan = {
  connections: 1000,
  flood: { connections: 1000, syns: 1_000_000, seconds: 18 },
  capacity: 250_000,
  throughput: { flows: 50_000, packets: 500_000, atMost: 9, seconds: 12 },
};
const QUICK: StatePlan = {
  connections: 100,
  flood: { connections: 100, syns: 100_000, seconds: 1 },
  capacity: 25_000,
  throughput: { flows: 4096, packets: 200_000, atMost: 3, seconds: 1.5 },
};

export const statefulStateless: BenchCase = {
  name: 'stateful-stateless',
  title: 'Stateful against stateless',
  about:
    'Keep-alive HTTP connections between real kernels, opened and used once, then used again after something has happened to the ' +
    'balancer: lost is who gets no answer. All balancers stand on one network, with the same backends and as many connections ' +
    'each. Flood: SYNs from as many spoofed sources, made by the kernel, straight onto the balancer’s cable; hushlb’s tables have ' +
    'room for a quarter of them.',
  needsRoot: true,
  seconds: { quick: 14, full: 140 },
  async run(context) {
    return presentState(await measureState(findKeys(), context.quick ? QUICK : FULL, context));
  },
};
