/**
 * Everything that doctor looks at on a backend, with the balancer's configuration or with what the command line says of one
 * service. cli/doctor.ts calls it.
 */
import type { Link } from '../io/links.ts';
import { readListeners } from '../io/listeners.ts';
import { readTcpCounts } from '../io/sysctls.ts';
import type { Config } from '../lb/config.ts';
import { HushlbError } from '../lb/errors.ts';
import { judgeAnswers } from './answers.ts';
import { judgeClock } from './clock.ts';
import { judgeConfiguration } from './configuration.ts';
import { judgeDecapsulation } from './decapsulation.ts';
import { type Finding, inOrder, tell } from './finding.ts';
import { judgeFirewall } from './firewall.ts';
import { DECAP_NAME, type InterfaceFacts, judgeLink, judgeOffloads, MSS_NAME } from './interface.ts';
import { judgeKernel } from './kernel.ts';
import { judgeListeners } from './listener.ts';
import {
  type ReadTarget,
  readClientRoutes,
  readRuleset,
  readSysctlFacts,
  readTunnels,
  stripsHeaders,
  targetsOf,
} from './read-backend.ts';
import { readConfiguration } from './read-configuration.ts';
import { type HostAddress, readClock, readHostAddresses, readInterface, readKernel, readRights } from './read-host.ts';
import { judgeRights } from './rights.ts';
import { judgeSysctls } from './sysctls.ts';
import { judgeVips } from './vip.ts';

const { warning } = tell('path');

export interface BackendQuestion {
  /** The balancer's configuration; or `services` as the command line says them. */
  readonly file: string | undefined;
  readonly services: Config['services'];
  /** Of the file: only this one. */
  readonly service: string | undefined;
  /** Where packets come in; undefined: where the backend's address is. */
  readonly interface: string | undefined;
  /** Addresses of clients to ask the routes about. */
  readonly clients: readonly string[];
}

/** Reads and judges; changes nothing. Throws HushlbError where the question makes no sense on this host. */
export function examineBackend(question: BackendQuestion): Finding[] {
  const findings: Finding[] = [...judgeClock(readClock())];
  let { services } = question;
  if (question.file !== undefined) {
    const { config, facts } = readConfiguration(question.file);
    findings.push(...judgeConfiguration(facts, 'backend'));
    if (config === undefined) return inOrder(findings);
    services = chosen(config.services, question.service, question.file);
  }
  const addresses = readHostAddresses();
  const targets = targetsOf({ services }, addresses);
  if (question.file !== undefined && !targets.some(({ address }) => address !== undefined)) {
    findings.push(notABackend(services, addresses));
  }
  const device = readInterface(question.interface ?? interfaceOf(targets, addresses));
  findings.push(...judgeLink(device, null));
  if (device.link !== undefined) findings.push(...judgeHost(device, device.link, targets, addresses, question.clients));
  return inOrder(findings);
}

function judgeHost(
  device: InterfaceFacts,
  link: Link,
  targets: readonly ReadTarget[],
  addresses: readonly HostAddress[],
  named: readonly string[],
): Finding[] {
  const { name, xdp, egress } = device;
  const [program] = xdp;
  const decapRuns = xdp.some((each) => each.name === DECAP_NAME);
  const strips = (target: ReadTarget) => stripsHeaders(program, target);
  const tunnels = readTunnels();
  // Nobody wants BPF where the kernel takes headers off, or where there are none.
  const byXdp = targets.some(({ encap }) => encap !== 'l2') && !tunnels.some(({ up }) => up);
  const stripped = targets.some((target) => target.encap !== 'l2' && strips(target) === 'yes');
  const clients = readClientRoutes(targets, named);
  return [
    ...(byXdp
      ? [
          ...judgeRights(readRights(), {
            command: 'hushlb decap',
            capabilities: ['CAP_NET_ADMIN', 'CAP_BPF'],
            openFiles: 64,
            frames: 0,
          }),
          ...judgeKernel(readKernel(false), 'decap', null),
        ]
      : []),
    ...judgeOffloads(device, decapRuns ? 'decap' : 'nothing'),
    ...judgeVips({ addresses, interface: name, loopbackUp: readInterface('lo').link?.up ?? false }, targets),
    ...judgeDecapsulation(
      {
        interface: name,
        xdp,
        strips,
        tunnels,
        udpPorts: readListeners('udp').map(({ port }) => port),
      },
      targets,
    ),
    ...judgeSysctls(readSysctlFacts(name, targets, clients, stripped)),
    ...judgeListeners({ tcp: readListeners('tcp'), udp: readListeners('udp') }, targets),
    ...judgeAnswers(
      {
        interface: name,
        mtu: link.mtu,
        clients,
        clampsMss: egress?.some((each) => each.name === MSS_NAME),
        takesOff: decapRuns ? 'decap' : byXdp ? 'nothing' : 'device',
        segments: readTcpCounts(),
      },
      targets,
    ),
    ...judgeFirewall(readRuleset(), targets, stripped),
  ];
}

function chosen(services: Config['services'], name: string | undefined, file: string): Config['services'] {
  const left = services.filter((service) => name === undefined || service.name === name);
  if (left.length > 0) return left;
  const known = services.map((service) => service.name).join(', ');
  throw new HushlbError('SERVICE_UNKNOWN', `${file} has no service named "${name}": it has ${known}`);
}

function notABackend(services: Config['services'], addresses: readonly HostAddress[]): Finding {
  const backends = [...new Set(services.flatMap((service) => service.backends.map(({ address }) => address)))];
  const own = addresses.map(({ text }) => text).filter((text) => !/^(127\.|::1$|fe80:)/.test(text));
  return warning(
    'not-a-backend',
    `this host (${own.join(', ')}) is no backend of the configuration (${backends.join(', ')})`,
    'the balancer sends nothing here; the rest is said as if it did',
  );
}

/** Of the backend's address; without one, where the first address beyond lo is. */
function interfaceOf(targets: readonly ReadTarget[], addresses: readonly HostAddress[]): string {
  const own = targets.find(({ address }) => address !== undefined)?.address;
  const name = own?.interface ?? addresses.find((each) => each.interface !== 'lo')?.interface;
  if (name !== undefined) return name;
  throw new HushlbError(
    'INTERFACE_MISSING',
    'this host has no address beyond lo: --interface names the one to look at',
  );
}
