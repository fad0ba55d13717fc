/**
 * All scenarios, in the order in which they are best told, and the check of a run against its promise. Several runs may
 * share a name: a fault and its cure, or one disaster for two balancers.
 */
import { CHANGE_SCENARIOS } from './change-scenarios.ts';
import { DEATH_SCENARIOS } from './death-scenarios.ts';
import { DNS_SCENARIOS } from './dns-scenarios.ts';
import type { Findings } from './findings.ts';
import { IDLE_SCENARIOS } from './idle-scenarios.ts';
import type { Claim, Scenario } from './scenario.ts';
import { SESSION_SCENARIOS } from './session-scenarios.ts';
import { TRANSFER_SCENARIOS } from './transfer-scenarios.ts';
import { UPLOAD_SCENARIOS } from './upload-scenarios.ts';

export const SCENARIOS: readonly Scenario[] = [
  ...IDLE_SCENARIOS,
  ...CHANGE_SCENARIOS,
  ...DEATH_SCENARIOS,
  ...TRANSFER_SCENARIOS,
  ...UPLOAD_SCENARIOS,
  ...DNS_SCENARIOS,
  ...SESSION_SCENARIOS,
];

/** What `lab run` takes, each once. */
export const SCENARIO_NAMES: readonly string[] = [...new Set(SCENARIOS.map(({ name }) => name))];

/** A run as `--json` writes it and lab/report.ts prints it. */
export interface RunResult extends Findings {
  readonly scenario: string;
  readonly variant: string | null;
  readonly promise: {
    readonly held: boolean;
    /** A line for each claim that did not hold: what was promised, what was seen. */
    readonly broken: readonly string[];
    readonly claims: readonly Claim[];
  };
}

export function checkPromise(scenario: Scenario, findings: Findings): RunResult {
  const claims = scenario.promise(findings);
  const broken = claims.filter(({ held }) => !held).map(({ promised, seen }) => `promised ${promised}; seen: ${seen}`);
  const { name, variant } = scenario;
  return { scenario: name, variant, promise: { held: broken.length === 0, broken, claims }, ...findings };
}
