/**
 * Programs of the machine that the lab makes use of: where they are, or which package brings them; and what its kernel
 * must have.
 */
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { hasTcx } from '../io/bpf-links.ts';
import { LabError } from './errors.ts';
import { hasRequestsLibrary } from './requests-client.ts';
import { type Scenario, titleOf } from './scenario.ts';

/** Full path of the program, undefined where it is not installed. */
export function findProgram(name: string): string | undefined {
  // Servers live in sbin, which is not in everyone's PATH.
  const directories = [...(process.env.PATH ?? '').split(delimiter), '/usr/local/sbin', '/usr/sbin', '/sbin'];
  return directories
    .filter((directory) => directory !== '')
    .map((directory) => join(directory, name))
    .find((path) => {
      try {
        accessSync(path, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}

/** Those that this machine's kernel can run; of the others it says why not. `tcx` is asked once one needs it. */
export function possibleHere(scenarios: readonly Scenario[], tcx: () => boolean = hasTcx): Scenario[] {
  const needsTcx = ({ plot }: Scenario): boolean => plot.kind === 'upload' && plot.announcedBy === 'decap';
  if (!scenarios.some(needsTcx) || tcx()) return [...scenarios];
  for (const scenario of scenarios.filter(needsTcx)) {
    process.stderr.write(`left out: ${titleOf(scenario)}: this kernel has no TCX, which Linux 6.6 has\n`);
  }
  return scenarios.filter((scenario) => !needsTcx(scenario));
}

/** Says which program a scenario lacks, and how to get it, before any of them runs. */
export function checkPrograms(scenarios: readonly Scenario[]): void {
  for (const scenario of scenarios) {
    const missing = (what: string, debianPackage: string): LabError =>
      new LabError(
        'LAB_PROGRAM_MISSING',
        `${titleOf(scenario)} needs ${what}: install it (apt install ${debianPackage})`,
      );
    for (const program of [scenario.webServer, scenario.proxy]) {
      if (program === 'nginx' && findProgram('nginx') === undefined) throw missing('nginx', 'nginx-light');
      if (program === 'dnsmasq' && findProgram('dnsmasq') === undefined) throw missing('dnsmasq', 'dnsmasq-base');
      if (program === 'haproxy' && findProgram('haproxy') === undefined) throw missing('HAProxy', 'haproxy');
    }
    if (scenario.plot.kind === 'sessions' && !hasRequestsLibrary()) {
      throw missing('the requests library of /usr/bin/python3', 'python3-requests');
    }
  }
}
