/**
 * Whether this user may do what hushlb does, and how much of it: capabilities and limits. On a balancer for `hushlb run`, on a
 * backend for `hushlb decap`. Doctor itself needs none of them, but sees less.
 */
import type { Capability } from '../io/process-limits.ts';
import { type Finding, tell } from './finding.ts';

const { ok, warning } = tell('rights');

export interface RightsFacts {
  readonly capabilities: ReadonlySet<Capability>;
  readonly openFiles: number;
  /** Bytes; counts for AF_XDP's frames unless CAP_IPC_LOCK is there (xdp_umem_account_pages, net/xdp/xdp_umem.c). */
  readonly lockedMemory: number;
}

export interface RightsWanted {
  readonly capabilities: readonly Capability[];
  /** Who wants them. */
  readonly command: string;
  readonly openFiles: number;
  /** Bytes of frames; 0 without AF_XDP. */
  readonly frames: number;
}

export function judgeRights(facts: RightsFacts, wanted: RightsWanted): Finding[] {
  const { command } = wanted;
  const missing = wanted.capabilities.filter((name) => !has(facts.capabilities, name));
  const findings: Finding[] = [];
  if (missing.length > 0) {
    findings.push(
      warning(
        'rights-missing',
        `this user lacks ${missing.join(', ')}`,
        `\`${command}\` fails without, and doctor does not see all that it should: run both as root`,
        ['sudo -s'],
      ),
    );
  } else findings.push(ok('rights', `may do all that \`${command}\` does`));
  if (facts.openFiles < wanted.openFiles) {
    findings.push(
      warning(
        'open-files',
        `${facts.openFiles} open files are allowed, ${wanted.openFiles} may be wanted`,
        'each queue, worker and reader of metrics takes descriptors; without one, it fails',
        [`ulimit -n ${wanted.openFiles}`],
      ),
    );
  }
  if (facts.lockedMemory < wanted.frames && !facts.capabilities.has('CAP_IPC_LOCK')) {
    const kib = Math.ceil(wanted.frames / 1024);
    findings.push(
      warning(
        'locked-memory',
        `${Math.floor(facts.lockedMemory / 1024)} KiB of memory may be locked, AF_XDP wants ${kib}`,
        'without CAP_IPC_LOCK the kernel counts the frames of AF_XDP against this limit and refuses the socket',
        [`ulimit -l ${kib}`],
      ),
    );
  }
  return findings;
}

/** CAP_SYS_ADMIN is more than CAP_BPF, which Linux 5.8 split off. */
function has(capabilities: ReadonlySet<Capability>, name: Capability): boolean {
  return capabilities.has(name) || (name === 'CAP_BPF' && capabilities.has('CAP_SYS_ADMIN'));
}
