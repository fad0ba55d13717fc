/**
 * Everything that doctor looks at on a balancer, before its first start and beside a running one. cli/doctor.ts calls it.
 */
import { availableParallelism } from 'node:os';
import { frameMemory } from '../io/af-xdp-device.ts';
import type { Capability } from '../io/process-limits.ts';
import { readSysctl } from '../io/sysctls.ts';
import type { Config, Io } from '../lb/config.ts';
import { judgeClock } from './clock.ts';
import { judgeConfiguration } from './configuration.ts';
import { type Finding, inOrder } from './finding.ts';
import { type InterfaceFacts, judgeHook, judgeLink, judgeOffloads, judgeQueues, STEERING_NAME } from './interface.ts';
import { judgeKernel } from './kernel.ts';
import { judgePaths } from './path.ts';
import { readWays, type Ways } from './read-balancer.ts';
import { readConfiguration } from './read-configuration.ts';
import { readClock, readHostAddresses, readInterface, readKernel, readRights } from './read-host.ts';
import { judgeRights, type RightsFacts } from './rights.ts';
import { judgeVipsHere } from './vip-here.ts';

export interface Examination {
  readonly findings: readonly Finding[];
  /** Undefined where it is bad, and the rest was looked at without it. */
  readonly config: Config | undefined;
  /** Undefined where the interface sends nothing. */
  readonly ways: Ways | undefined;
}

/** Reads and judges; changes nothing. */
export function examineBalancer(file: string): Examination {
  const { config, facts } = readConfiguration(file);
  const rights = readRights();
  const findings = [...judgeConfiguration(facts, 'balancer'), ...judgeClock(readClock())];
  if (config === undefined) return { config, ways: undefined, findings: inOrder(findings) };

  const { io, services } = config;
  const device = readInterface(config.interface);
  const addresses = readHostAddresses();
  findings.push(
    ...judgeRights(rights, rightsWanted(config, device)),
    ...judgeKernel(readKernel(io === 'portable'), io, file),
    ...judgeLink(device, file),
    ...judgeQueues(device, { ...config, cpuCount: availableParallelism() }),
    ...judgeOffloads(device, io),
    ...judgeHook(device, io),
    ...judgeVipsHere(vipFacts(config, rights, addresses)),
  );
  // Without a carrier nobody answers, and one finding is enough.
  const { link } = device;
  const ways = link?.up === true && link.running ? readWays({ services }, link, addresses) : undefined;
  if (ways !== undefined) findings.push(...judgePaths(ways));
  return { config, ways, findings: inOrder(findings) };
}

const CAPABILITIES: Record<Io, readonly Capability[]> = {
  'af-xdp': ['CAP_NET_ADMIN', 'CAP_NET_RAW', 'CAP_BPF'],
  'af-packet': ['CAP_NET_ADMIN', 'CAP_NET_RAW', 'CAP_BPF'],
  auto: ['CAP_NET_ADMIN', 'CAP_NET_RAW', 'CAP_BPF'],
  portable: ['CAP_NET_RAW'],
};

/** Node itself, a log, metrics and their readers; and for each queue a socket, a map's entry and an eventfd. */
const FILES = 256;
const FILES_PER_QUEUE = 4;

function rightsWanted({ io, afXdp }: Config, { queues, link, xdp }: InterfaceFacts) {
  const count = queues ?? link?.rxQueues ?? 1;
  // Where hushlb runs, it has what it wants.
  const runs = xdp.some(({ name }) => name === STEERING_NAME);
  return {
    command: 'hushlb run',
    capabilities: CAPABILITIES[io],
    openFiles: FILES + FILES_PER_QUEUE * count,
    frames: io === 'af-xdp' && !runs ? count * frameMemory(afXdp.ringSize) : 0,
  };
}

function vipFacts(
  { io, echo, services }: Config,
  rights: RightsFacts,
  addresses: ReturnType<typeof readHostAddresses>,
) {
  const vips = [...new Set(services.map(({ vip }) => vip))];
  return {
    vips,
    io,
    echo,
    local: addresses
      .filter(({ text }) => vips.includes(text))
      .map(({ text, interface: name, prefixLength }) => ({ vip: text, interface: name, prefixLength })),
    mayGuard: rights.capabilities.has('CAP_NET_ADMIN'),
    forwards: readSysctl('ipv4/ip_forward') === 1,
  };
}
