/**
 * The interface where packets come in and go out: there, up, with a carrier and a MAC address, queues, offloads, and whose
 * XDP program it has.
 */
import type { AttachedProgram, XdpProgram } from '../io/bpf-objects.ts';
import type { Offloads } from '../io/ethtool.ts';
import type { Link } from '../io/links.ts';
import type { Io } from '../lb/config.ts';
import { settingCommand } from './configuration.ts';
import { type Finding, tell } from './finding.ts';

const { ok, note, warning, error } = tell('interface');

export interface InterfaceFacts {
  readonly name: string;
  /** Undefined: there is none of that name. */
  readonly link: Link | undefined;
  /** Names of all interfaces of the host. */
  readonly others: readonly string[];
  /** In use; undefined where the driver doesn't tell. */
  readonly queues: number | undefined;
  readonly offloads: Offloads | undefined;
  readonly xdp: readonly XdpProgram[];
  /** On what the interface sends; undefined where that could not be asked. */
  readonly egress: readonly AttachedProgram[] | undefined;
}

/** Whether it can carry packets at all; where not, the rest says nothing. */
export function judgeLink({ name, link, others }: InterfaceFacts, file: string | null): Finding[] {
  if (link === undefined) {
    const candidates = others.filter((other) => other !== 'lo');
    const [only] = candidates;
    const mend = candidates.length === 1 && file !== null ? [settingCommand(file, 'interface', only)] : [];
    return [
      error(
        'interface-missing',
        `there is no interface ${name}; this host has ${candidates.join(', ') || 'none'}`,
        'packets come in and go out there',
        mend,
      ),
    ];
  }
  if (!link.up) {
    return [error('interface-down', `${name} is down`, 'no packet comes in or goes out', [`ip link set ${name} up`])];
  }
  const findings: Finding[] = [];
  if (!link.running) {
    findings.push(
      error(
        'no-carrier',
        `${name} has no carrier`,
        'the cable is out, or its other end is down: no packet comes in or goes out',
        [{ command: 'ip link set INTERFACE up', on: 'the other end of the cable' }],
      ),
    );
  }
  if (link.mac === undefined) {
    findings.push(
      error(
        'no-mac',
        `${name} has no MAC address`,
        'hushlb writes Ethernet headers: a tunnel or a loopback will not do, name the Ethernet interface below it',
      ),
    );
  }
  if (findings.length === 0) findings.push(ok('interface', `${name} is up, mtu ${link.mtu}`));
  return findings;
}

export interface QueuesWanted {
  readonly io: Io;
  readonly workers: number | 'auto';
  readonly cpus: readonly number[] | null;
  readonly cpuCount: number;
}

/** Receive queues against workers and CPUs. Of packet sockets there may be any number. */
export function judgeQueues({ name, link, queues }: InterfaceFacts, wanted: QueuesWanted): Finding[] {
  const { io, workers, cpus, cpuCount } = wanted;
  if (link === undefined || (io !== 'af-xdp' && io !== 'auto')) return [];
  const count = queues ?? link.rxQueues;
  const bad = io === 'auto' ? warning : error;
  if (workers !== 'auto' && workers > count) {
    return [
      bad(
        'too-few-queues',
        `${name} has ${plural(count, 'receive queue')}, too few for ${workers} workers`,
        'with AF_XDP each worker takes the packets of whole queues; one without a queue would have nothing to do',
        [`ethtool -L ${name} combined ${workers}`],
      ),
    ];
  }
  if (workers === 'auto' && cpus !== null && cpus.length !== count) {
    return [
      bad(
        'cpus-unlike-queues',
        `${name} has ${plural(count, 'receive queue')}, and cpus names ${cpus.length}`,
        'there is a worker for each queue, and each wants a CPU',
        [`ethtool -L ${name} combined ${cpus.length}`],
      ),
    ];
  }
  if (count === 1 && cpuCount > 1 && workers === 'auto') {
    return [ok('queues', `${name} has one receive queue, so one worker of ${cpuCount} CPUs has all packets`)];
  }
  return [ok('queues', `${name} has ${plural(count, 'receive queue')} for ${plural(cpuCount, 'CPU')}`)];
}

/**
 * Segments that the kernel merges, which costs packet sockets a copy; and the senders on the same machine that leave
 * checksums to a card that isn't there, which nobody can see from here.
 */
export function judgeOffloads({ name, link, offloads }: InterfaceFacts, io: Io | 'decap' | 'nothing'): Finding[] {
  if (link === undefined) return [];
  const findings: Finding[] = [];
  if (offloads?.gro === true && io === 'af-packet') {
    findings.push(
      note(
        'gro',
        `${name} merges segments (GRO)`,
        'packet sockets get them merged and hushlb cuts them again, which costs a copy',
        [`ethtool -K ${name} gro off lro off`],
      ),
    );
  }
  if (offloads?.gro === true && io === 'portable') {
    findings.push(
      warning(
        'gro-portable',
        `${name} merges segments (GRO)`,
        'libpcap does not tell how to cut them again: merged segments are dropped, and uploads stall',
        [`ethtool -K ${name} gro off lro off`],
      ),
    );
  }
  if (link.kind === 'veth' && io !== 'af-packet' && io !== 'nothing') {
    findings.push(
      note(
        'unfinished-checksums',
        `${name} is a veth: senders on this machine may leave TCP checksums unfinished`,
        'XDP cannot see which are, and such packets are dropped further on; no harm where it is off already',
        [{ command: 'ethtool -K eth0 tx off', on: 'each sender on this machine' }],
      ),
    );
  }
  return findings;
}

/** Of ours. */
export const STEERING_NAME = 'hushlb_steering';
export const DECAP_NAME = 'hushlb_decap';
export const MSS_NAME = 'hushlb_mss';

/** Whose XDP program is there: on a balancer that hushlb's is to go to. An interface has room for one. */
export function judgeHook({ name, xdp }: InterfaceFacts, io: Io): Finding[] {
  if (io !== 'af-xdp' && io !== 'auto') return [];
  return xdp.map((program) => {
    if (program.name === STEERING_NAME) return ok('hook-ours', `hushlb runs on ${name}`);
    if (program.name === undefined) {
      return note(
        'hook-unseen',
        `an XDP program is attached to ${name} (id ${program.id}), and only root may see whose`,
        'if it is not that of hushlb, hushlb cannot attach its own',
        ['sudo -s'],
      );
    }
    const bad = io === 'auto' ? warning : error;
    return bad(
      'hook-taken',
      `another XDP program is attached to ${name}: ${program.name}, id ${program.id}`,
      io === 'auto'
        ? 'an interface has room for one, so hushlb will take packet sockets instead'
        : 'an interface has room for one: hushlb cannot attach its own. Stop its process, or take it off',
      [detachCommand(name, program)],
    );
  });
}

/** A BPF link goes with its descriptor only, or by force. */
function detachCommand(interfaceName: string, { linkId }: XdpProgram): string {
  return linkId === undefined ? `ip link set dev ${interfaceName} xdp off` : `bpftool link detach id ${linkId}`;
}

function plural(count: number, word: string): string {
  return `${count} ${word}${count === 1 ? '' : 's'}`;
}
