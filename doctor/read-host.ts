/**
 * Facts about this host, read from the kernel, for balancers and backends; the judges beside this file are asked about them.
 * Never throws for want of rights: what could not be seen is undefined, empty or `unseen`.
 */
import { spawnSync } from 'node:child_process';
import { statSync } from 'node:fs';
import { release } from 'node:os';
import { fileURLToPath } from 'node:url';
import { loadProgram, XDP_PASS } from '../io/bpf.ts';
import { alu, assemble, exit } from '../io/bpf-assembler.ts';
import { hasTcx } from '../io/bpf-links.ts';
import { readTcxPrograms, readXdpPrograms } from '../io/bpf-objects.ts';
import { isClockSynchronised } from '../io/clock-status.ts';
import { readOffloads, readReceiveQueues } from '../io/ethtool.ts';
import { closeDescriptor, errno, openSocket, SystemCallError } from '../io/ffi.ts';
import { readAllAddresses, readLinks } from '../io/links.ts';
import { loadPortablePackages } from '../io/portable-packages.ts';
import { readCapabilities, readLimits } from '../io/process-limits.ts';
import { formatAddress } from '../wire/address.ts';
import type { ClockFacts } from './clock.ts';
import type { InterfaceFacts } from './interface.ts';
import type { Has, KernelFacts } from './kernel.ts';
import type { RightsFacts } from './rights.ts';

const AF_XDP = 44;
const SOCK_RAW = 3;
const NOT_KNOWN = [errno.ENOSYS, errno.EAFNOSUPPORT, errno.EINVAL, errno.EPROTONOSUPPORT];

export interface HostAddress {
  readonly interface: string;
  readonly bytes: Uint8Array;
  readonly text: string;
  readonly prefixLength: number;
}

/** What `work` brings; undefined where the kernel refuses. */
export function unlessRefused<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch (error) {
    if (error instanceof SystemCallError) return undefined;
    throw error;
  }
}

export function readRights(): RightsFacts {
  return { capabilities: readCapabilities(), ...readLimits() };
}

export function readClock(): ClockFacts {
  return {
    synchronised: unlessRefused(isClockSynchronised) ?? null,
    now: new Date(),
    installed: statSync(fileURLToPath(import.meta.url)).mtime,
  };
}

/** Makes a descriptor of each kind and closes it. */
export function readKernel(wantsPortable: boolean): KernelFacts {
  const tried = (work: () => number): Has => has(() => closeDescriptor(work()));
  return {
    release: release(),
    bpf: tried(() => loadProgram('hushlb_doctor', assemble([alu('r0', '=', XDP_PASS), exit()]))),
    afXdp: tried(() => openSocket(AF_XDP, SOCK_RAW, 0)),
    tcx: unlessRefused(() => (hasTcx() ? 'yes' : 'no')) ?? 'unseen',
    nft: spawnSync('nft', ['--version']).status === 0,
    portable: wantsPortable ? portableProblem() : null,
  };
}

function has(work: () => void): Has {
  try {
    work();
    return 'yes';
  } catch (error) {
    if (!(error instanceof SystemCallError)) throw error;
    return NOT_KNOWN.includes(error.errno) ? 'no' : 'unseen';
  }
}

function portableProblem(): string | null {
  try {
    loadPortablePackages();
    return null;
  } catch (error) {
    return /\((.*?)\)/.exec((error as Error).message)?.[1] ?? (error as Error).message;
  }
}

export function readInterface(name: string): InterfaceFacts {
  const links = readLinks();
  const link = links.find((each) => each.name === name);
  const others = links.map((each) => each.name);
  if (link === undefined) {
    return { name, link, others, queues: undefined, offloads: undefined, xdp: [], egress: undefined };
  }
  return {
    name,
    link,
    others,
    queues: unlessRefused(() => readReceiveQueues(name)),
    offloads: unlessRefused(() => readOffloads(name)),
    xdp: unlessRefused(() => readXdpPrograms(link.index)) ?? [],
    egress: readTcxPrograms(link.index, 'egress'),
  };
}

export function readHostAddresses(): HostAddress[] {
  const names = new Map(readLinks().map(({ index, name }) => [index, name]));
  return readAllAddresses().map(({ interfaceIndex, address, prefixLength }) => ({
    interface: names.get(interfaceIndex) ?? '',
    bytes: address,
    text: formatAddress(address),
    prefixLength,
  }));
}

/** Whether `address` is in the network of one of these. */
export function inNetworkOf(address: Uint8Array, networks: readonly HostAddress[]): boolean {
  return networks.some(({ bytes, prefixLength }) => {
    if (bytes.length !== address.length || prefixLength === bytes.length * 8) return false;
    return bytes.every((byte, i) => {
      const bits = Math.min(8, Math.max(0, prefixLength - 8 * i));
      const mask = (0xff << (8 - bits)) & 0xff;
      return (byte & mask) === (address[i] & mask);
    });
  });
}
