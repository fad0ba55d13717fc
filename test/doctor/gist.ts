/**
 * What a row of doctor's tests says of findings. Not a test.
 */
import type { Finding } from '../../doctor/finding.ts';

/** Severity, code and commands of each; where a command is for another host, it says so. */
export function gist(findings: readonly Finding[]): string[] {
  return findings.map(({ severity, code, mend }) =>
    [`${severity} ${code}`, ...mend.map(({ command, on }) => (on === null ? command : `[${on}] ${command}`))].join(
      ' | ',
    ),
  );
}
