/**
 * What the kernel has of what the chosen packet device wants: BPF, AF_XDP, TCX; and of a balancer by packet sockets, a guard.
 */
import { PORTABLE_INSTALL } from '../io/portable-packages.ts';
import type { Io } from '../lb/config.ts';
import { settingCommand } from './configuration.ts';
import { type Finding, type Teller, tell } from './finding.ts';

const teller = tell('kernel');
const { ok, note, warning } = teller;

/** `unseen`: this user may not ask. */
export type Has = 'yes' | 'no' | 'unseen';

export interface KernelFacts {
  /** As uname(2) has it: 6.18.44-something. */
  readonly release: string;
  readonly bpf: Has;
  readonly afXdp: Has;
  readonly tcx: Has;
  /** The program nft is there. */
  readonly nft: boolean;
  /** Why the npm packages of the portable device don't load; null where they do. */
  readonly portable: string | null;
}

/** `decap`: a backend that is to take headers off by XDP. `nothing`: one that leaves that to the kernel's devices. */
export type Wanted = Io | 'decap' | 'nothing';

/** The first kernel with BPF links for XDP (5.9). */
const OLDEST = [5, 9] as const;

/** `file`: the configuration, where another device may be chosen. */
export function judgeKernel(facts: KernelFacts, wanted: Wanted, file: string | null): Finding[] {
  const { release } = facts;
  if (wanted === 'nothing') return [];
  const findings: Finding[] = [];
  if (wanted !== 'portable' && isOlder(release)) {
    findings.push(
      warning(
        'kernel-old',
        `Linux ${release} is older than ${OLDEST.join('.')}`,
        'programs are attached by BPF links, so that they end with the process: those came with Linux 5.9',
        ['apt-get install --only-upgrade linux-image-amd64'],
      ),
    );
  }
  // Of auto another device is taken, so nothing that one lacks is an error.
  const bad: Teller['error'] = wanted === 'auto' ? note : teller.error;
  const needsBpf = wanted !== 'portable';
  const needsAfXdp = wanted === 'af-xdp' || wanted === 'auto';
  if (needsBpf && facts.bpf === 'no') {
    findings.push(
      bad(
        'no-bpf',
        'the kernel has no BPF',
        'hushlb picks packets out by a BPF program; only io: portable does without',
        chooseIo(file, 'portable'),
      ),
    );
  }
  if (needsAfXdp && facts.afXdp === 'no') {
    findings.push(
      bad(
        'no-af-xdp',
        'the kernel has no AF_XDP',
        'io: af-xdp needs CONFIG_XDP_SOCKETS; io: af-packet does without',
        chooseIo(file, 'af-packet'),
      ),
    );
  }
  if ((wanted === 'af-packet' || wanted === 'auto') && facts.tcx === 'no' && !facts.nft) {
    findings.push(
      bad(
        'no-guard',
        'the kernel has no TCX (Linux 6.6), and the program nft is not there',
        "with packet sockets one of the two has to keep the kernel's copies from its stack, which would answer them",
        ['apt-get install nftables'],
      ),
    );
  }
  if (wanted === 'portable' && facts.portable !== null) {
    findings.push(
      bad(
        'portable-packages',
        `the npm packages cap and raw-socket do not load: ${facts.portable}`,
        'io: portable captures by the one and sends by the other; they are optional and want a compiler',
        [PORTABLE_INSTALL.tools, PORTABLE_INSTALL.packages],
      ),
    );
  }
  const unseen = (needsBpf && facts.bpf === 'unseen') || (needsAfXdp && facts.afXdp === 'unseen');
  if (unseen) {
    findings.push(
      note('kernel-unseen', `Linux ${release}; what it has of BPF only root may see`, 'nothing was tried', ['sudo -s']),
    );
  }
  if (findings.length === 0) findings.push(ok('kernel', `Linux ${release} has what ${phrase(wanted)} needs`));
  return findings;
}

function phrase(wanted: Wanted): string {
  return wanted === 'decap' ? '`hushlb decap`' : `io: ${wanted}`;
}

function chooseIo(file: string | null, io: Io): string[] {
  return file === null ? [] : [settingCommand(file, 'io', io)];
}

function isOlder(release: string): boolean {
  const [major = 0, minor = 0] = release.split('.').map((part) => Number.parseInt(part, 10));
  return major < OLDEST[0] || (major === OLDEST[0] && minor < OLDEST[1]);
}
