/**
 * What case `change-under-load` changes between: configurations of one service, each followed by the next, the last by the
 * first. One backend, the guest, comes with new ones and goes with all its connections; the others stay, at other places in
 * the file and with other weights.
 */
import type { Config } from '../../lb/config.ts';
import { parseConfig } from '../../lb/config-file.ts';
import { PORT, VIP } from '../balancer.ts';
import { BACKENDS } from '../decision/modes.ts';

/** The last byte of its address; the others have those below. */
export const GUEST = BACKENDS;

type Settings = Readonly<Record<number, string>>;

const STEPS: readonly {
  readonly order: 'forward' | 'backward';
  readonly guest: boolean;
  readonly settings: Settings;
}[] = [
  { order: 'forward', guest: false, settings: {} },
  { order: 'backward', guest: true, settings: {} },
  { order: 'forward', guest: true, settings: { 1: 'weight: 3', 2: 'weight: 2', [GUEST]: 'weight: 2' } },
  { order: 'backward', guest: true, settings: { [GUEST]: 'state: draining' } },
];

/** Added, weights changed, draining, removed: a change each. */
export function changingConfigs(): Config[] {
  return STEPS.map(({ order, guest, settings }) => {
    const numbers = Array.from({ length: guest ? GUEST : GUEST - 1 }, (_, i) => i + 1);
    if (order === 'backward') numbers.reverse();
    const backends = numbers.map((n) => {
      const more = settings[n] === undefined ? '' : `, ${settings[n]}`;
      return `{ name: b${n}, address: 198.18.2.${n}${more} }`;
    });
    const service = `{ name: web, vip: ${VIP}, port: ${PORT}, conntrack: { idleTimeout: 1h }, backends: [${backends.join(', ')}] }`;
    return parseConfig(`interface: eth0\nmetrics: false\nservices:\n  - ${service}\n`, 'benchmark').config;
  });
}
