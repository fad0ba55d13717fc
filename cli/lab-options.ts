/**
 * Options that `hushlb lab run` and `hushlb lab matrix` share: what is sent to the balancer, and how the balancer sends it on.
 */
import type { Family } from '../lab/addresses.ts';

export const labEncapOption = {
  choices: ['ipip', 'l2', 'gue', 'gre'] as const,
  requiresArg: true,
  defaultDescription: 'ipip',
  describe: "How hushlb's packets go to the backends",
} as const;

export const labFamilyOption = {
  type: 'number',
  choices: [4, 6] as const,
  requiresArg: true,
  defaultDescription: '4',
  describe: 'IPv4 or IPv6, for every address of the network',
} as const;

/** As the lab takes it; yargs has refused other numbers. */
export function familyOf(given: number | undefined): Family | undefined {
  return given === undefined ? undefined : given === 6 ? 6 : 4;
}
