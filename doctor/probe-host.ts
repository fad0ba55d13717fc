/**
 * `hushlb doctor --probe`: which probes there are to send, from a balancer or from a client, and what came of them. Called by
 * cli/doctor.ts; needs CAP_NET_RAW.
 */
import { readTcxPrograms } from '../io/bpf-objects.ts';
import { type Link, readLink } from '../io/links.ts';
import { readCapabilities } from '../io/process-limits.ts';
import { lookupRoute } from '../io/routes.ts';
import type { Config, ServiceConfig } from '../lb/config.ts';
import { HushlbError } from '../lb/errors.ts';
import { encapsulationOf } from '../lb/forwarding-state.ts';
import { addressBytes, formatAddress } from '../wire/address.ts';
import { IPV4_HEADER_LENGTH } from '../wire/ipv4.ts';
import { IPV6_HEADER_LENGTH } from '../wire/ipv6.ts';
import { TCP_HEADER_LENGTH } from '../wire/tcp.ts';
import { type Finding, tell } from './finding.ts';
import { STEERING_NAME } from './interface.ts';
import { type BackendPath, FULL_SIZE, type PathFacts } from './path.ts';
import { judgeBackendProbe, judgeWholeProbe, type Outcome, type Tunnels } from './probe.ts';
import { targetsOf } from './read-backend.ts';
import { macOf, readPaths } from './read-balancer.ts';
import { type HostAddress, inNetworkOf, readHostAddresses, readInterface } from './read-host.ts';
import { MARK_TEXT, type Segment } from './sample.ts';
import { type Echo, PLAIN, type Shot, shoot } from './send-probes.ts';
import { isIpv6, type Target } from './target.ts';

const { note } = tell('probe');

const WHOLE_SHOTS = 8;

/** Through the tunnel to each backend of each service, and the whole way to each VIP. */
export function probeFromBalancer(config: Config, file: string): Finding[] {
  if (!readCapabilities().has('CAP_NET_RAW')) {
    return [
      note('probe-skipped', 'nothing was sent', 'packets with headers of their own want CAP_NET_RAW', ['sudo -s']),
    ];
  }
  const link = readLink(config.interface);
  if (link?.mac === undefined || !link.up || !link.running) {
    return [note('probe-skipped', 'nothing was sent', `${config.interface} cannot send: see interface above`)];
  }
  const addresses = readHostAddresses();
  const facts = readPaths(config, link, addresses);
  const probed = config.services.map((service) => ({
    service,
    findings: probeService(service, facts, link, addresses, file),
  }));
  const findings = probed.flatMap((each) => each.findings);
  if (!runsHere(config)) {
    const why = '--probe beside a running hushlb also tries the way by the router and through hushlb';
    return [...findings, note('probe-skipped', 'the whole way was not tried: hushlb does not run here', why)];
  }
  return [...findings, ...probed.map((each) => probeWhole(targetOf(each.service), tunnelsOf(each.findings)))];
}

function tunnelsOf(findings: readonly Finding[]): Tunnels {
  const answered = findings.filter(({ code }) => code === 'probe').length;
  if (answered === 0) return 'none';
  return answered === findings.length ? 'all' : 'some';
}

/** The whole way to one VIP and port, from any host. Throws SystemCallError without CAP_NET_RAW. */
export function probeFromClient(services: readonly ServiceConfig[]): Finding[] {
  return services.map((service) => probeWhole(targetOf(service), undefined));
}

function targetOf(service: ServiceConfig): Target {
  return targetsOf({ services: [service] }, [])[0];
}

function runsHere({ interface: name, io }: Config): boolean {
  const { xdp, link } = readInterface(name);
  if (xdp.some((program) => program.name === STEERING_NAME) || io === 'portable') return true;
  return readTcxPrograms(link?.index ?? 0, 'ingress')?.some((program) => program.name === 'hushlb_guard') ?? false;
}

function probeService(
  service: ServiceConfig,
  { backends }: PathFacts,
  link: Link,
  addresses: readonly HostAddress[],
  file: string,
): Finding[] {
  const paths = backends.filter((each) => each.service === service.name);
  const vip = addressBytes(service.vip);
  const client = sourceFor(vip, link, addresses);
  if (client === undefined) {
    const why = 'answers come back to it; a backend may still serve clients';
    return [
      note('probe-skipped', `${service.name} was not probed: ${link.name} has no address of the VIP's family`, why),
    ];
  }
  const encapsulation = encapsulationOf(service);
  const shots: Shot[] = [];
  const echoes = new Map<string, Echo>();
  for (const path of paths) {
    const outer = outerOf(path, link, addresses);
    if (outer === undefined) continue;
    const add = (size: string, payloadLength: number) =>
      shots.push({
        key: `${path.backend} ${size}`,
        segment: segmentFor(service, client, payloadLength),
        encapsulation,
        outer,
      });
    add('small', smallPayload(service));
    const room = path.way.kind === 'link' ? path.way.mtu : 0;
    if (service.protocol === 'tcp' && FULL_SIZE + path.overhead <= room) add('full', fullPayload(vip));
    echoes.set(path.address, { source: outer.source, destination: outer.destination, outer });
  }
  const { outcomes, echoes: echoing } = shoot(link.index, shots, [...echoes.values()]);
  const outcome = (key: string): Outcome | null => outcomes.get(key) ?? null;
  return paths.map(({ backend, address, overhead }) => {
    const target = { ...targetOf(service), overhead, outer: isIpv6(address) ? (6 as const) : (4 as const) };
    const [small, full] = [outcome(`${backend} small`), outcome(`${backend} full`)];
    return judgeBackendProbe({ target, backend, address, small, full, echoes: echoing.has(address) }, file);
  });
}

function outerOf(
  { address, way }: BackendPath,
  link: Link,
  addresses: readonly HostAddress[],
): Shot['outer'] | undefined {
  if (way.kind !== 'link' || link.mac === undefined) return undefined;
  const mac = macOf(way.via, link);
  const destination = addressBytes(address);
  const source = lookupRoute(destination)?.source ?? sourceFor(destination, link, addresses);
  return mac === undefined || source === undefined ? undefined : { mac, ownMac: link.mac, source, destination };
}

/** An address of the interface's, of the family of `towards`; best one that shares a network with it. */
function sourceFor(towards: Uint8Array, link: Link, addresses: readonly HostAddress[]): Uint8Array | undefined {
  const own = addresses.filter(
    ({ interface: name, bytes, text }) =>
      name === link.name && bytes.length === towards.length && !text.startsWith('fe80:'),
  );
  return (own.find((each) => inNetworkOf(towards, [each])) ?? own[0])?.bytes;
}

function segmentFor(
  { vip, ports, protocol }: Pick<Target, 'vip' | 'ports' | 'protocol'>,
  source: Uint8Array,
  payloadLength: number,
): Omit<Segment, 'sourcePort' | 'flags' | 'sequence'> {
  return { source, destination: addressBytes(vip), destinationPort: ports.first, protocol, payloadLength };
}

function smallPayload({ protocol }: Pick<Target, 'protocol'>): number {
  return protocol === 'udp' ? MARK_TEXT.length : 0;
}

/** A SYN may carry data; a server that did not ask for it leaves it (RFC 9293, 3.10.7.2). */
function fullPayload(vip: Uint8Array): number {
  return FULL_SIZE - TCP_HEADER_LENGTH - (vip.length === 16 ? IPV6_HEADER_LENGTH : IPV4_HEADER_LENGTH);
}

function isAnswer({ kind }: Outcome): boolean {
  return kind === 'accepted' || kind === 'datagram';
}

function probeWhole(target: Target, throughTunnel: Tunnels | undefined): Finding {
  const destination = addressBytes(target.vip);
  const route = lookupRoute(destination);
  const link = readLink(route?.interfaceIndex ?? 0);
  if (
    route === undefined ||
    route.unreachable ||
    route.local ||
    link?.mac === undefined ||
    route.source === undefined
  ) {
    const why =
      'from this host it would not go by the router: try `hushlb doctor --probe` with --vip and --port on a client';
    return note('probe-skipped', `the whole way to ${target.vip} was not tried: no route leads there by a router`, why);
  }
  const mac = macOf(route.gateway === undefined ? target.vip : formatAddress(route.gateway), link);
  if (mac === undefined) {
    throw new HushlbError(
      'NEXT_HOP_SILENT',
      `the next hop to ${target.vip} does not answer on ${link.name}: ip route get ${target.vip}`,
    );
  }
  const outer = { mac, ownMac: link.mac, source: route.source, destination };
  const { source } = route;
  const segment = segmentFor(target, source, smallPayload(target));
  // From several ports, so that one silent backend does not speak for all.
  const shots = Array.from({ length: WHOLE_SHOTS }, (_, i) => ({ key: `${i}`, segment, encapsulation: PLAIN, outer }));
  const outcomes = [...shoot(link.index, shots, []).outcomes.values()];
  const outcome = outcomes.find(isAnswer) ?? outcomes.find(({ kind }) => kind !== 'silence') ?? { kind: 'silence' };
  return judgeWholeProbe({ target, own: formatAddress(source), outcome }, throughTunnel);
}
