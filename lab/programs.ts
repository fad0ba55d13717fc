/**
 * Programs of the machine that the lab makes use of: where they are, or which package brings them.
 */
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
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
