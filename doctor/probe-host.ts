/**
 * `hushlb doctor --probe`: which probes there are to send, from a balancer or from a client, and what came of them. Called by
 * cli/doctor.ts; needs CAP_NET_RAW.
 */
import { readFileSync } from 'node:fs';
import { readTcxPrograms } from '../io/bpf-objects.ts';
import { readLink } from '../io/links.ts';
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
import { type BackendPath, FULL_SIZE } from './path.ts';
import { type BackendProbe, judgeBackendProbe } from './probe.ts';
import { judgeWholeProbe, type Tunnels } from './probe-whole.ts';
import { targetsOf } from './read-backend.ts';
import { macOf, type Ways } from './read-balancer.ts';
import { inNetworkOf, readInterface } from './read-host.ts';
import { MARK_TEXT, type Outer, type Segment, TTL_OF_LAST_HOP } from './sample.ts';
import { type Echoes, type Ping, PLAIN, type Shot, shoot } from './send-probes.ts';
import { isIpv6, type Target } from './target.ts';

const { note } = tell('probe');

const PATIENCE_MS = 1000;
const WHOLE_SHOTS = 8;
/** Each of them must come, and the way is a longer one. */
const WHOLE_PATIENCE_MS = 2000;

export interface BalancerToProbe {
  readonly config: Config;
  readonly ways: Ways | undefined;
  /** The configuration's. */
  readonly file: string;
}

/** Through the tunnel to each backend of each service, and the whole way to each VIP. */
export function probeFromBalancer({ config, ways, file }: BalancerToProbe): Finding[] {
  if (!readCapabilities().has('CAP_NET_RAW')) {
    return [
      note('probe-skipped', 'nothing was sent', 'packets with headers of their own want CAP_NET_RAW', ['sudo -s']),
    ];
  }
  if (ways?.link.mac === undefined) {
    return [note('probe-skipped', 'nothing was sent', `${config.interface} cannot send: see interface above`)];
  }
  const byService = probeBackends(config.services, ways);
  const probed = config.services.map((service) => {
    const probes = byService.get(service.name);
    if (probes !== undefined) return { service, findings: probes.map((each) => judgeBackendProbe(each, file)) };
    const why = 'answers come back to it; a backend may still serve clients';
    const what = `${service.name} was not probed: ${ways.link.name} has no address of the VIP's family`;
    return { service, findings: [note('probe-skipped', what, why)] };
  });
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

/** By its programs, or by its admin socket: the portable device has no program, and a guard of nftables has no name to go by. */
function runsHere({ interface: name, io, admin }: Config): boolean {
  const { xdp, link } = readInterface(name);
  if (xdp.some((program) => program.name === STEERING_NAME)) return true;
  if (readTcxPrograms(link?.index ?? 0, 'ingress')?.some((program) => program.name === 'hushlb_guard')) return true;
  if (admin === null) return io === 'portable';
  return readFileSync('/proc/net/unix', 'utf8')
    .split('\n')
    .some((line) => line.endsWith(` ${admin.socket}`));
}

/** What is known of a backend before it is asked, with its packets' wrapping; `outer` undefined: there is no way to it. */
interface Addressee {
  readonly service: ServiceConfig;
  readonly path: BackendPath;
  readonly client: Uint8Array;
  readonly outer: Outer | undefined;
}

/** By the service's name; one without is missing where the interface has no address for it. All of them at once. */
function probeBackends(services: readonly ServiceConfig[], ways: Ways): Map<string, BackendProbe[]> {
  const addressees = services.flatMap((service): Addressee[] => {
    const client = sourceFor(addressBytes(service.vip), ways);
    if (client === undefined) return [];
    return ways.backends
      .filter((path) => path.service === service.name)
      .map((path) => ({ service, path, client, outer: outerOf(path, ways) }));
  });
  const first = shoot(ways.link.index, {
    shots: addressees.flatMap(shotsFor),
    pings: addressees.flatMap((each) => pingFor('vip', each) ?? []),
    patienceMs: PATIENCE_MS,
  });
  const silent = addressees.filter((each) => first.outcomes.get(keyOf('small', each))?.kind === 'silence');
  const second = shoot(ways.link.index, {
    shots: [],
    pings: silent.flatMap((each) => [pingFor('host', each) ?? [], pingFor('tunnel', each) ?? []].flat()),
    patienceMs: PATIENCE_MS,
  });
  const probes = new Map<string, BackendProbe[]>();
  for (const each of addressees) {
    const probe = probeOf(each, first, second);
    probes.set(each.service.name, [...(probes.get(each.service.name) ?? []), probe]);
  }
  return probes;
}

function keyOf(what: 'small' | 'full' | 'vip' | 'host' | 'tunnel', { path }: Addressee): string {
  return `${what} ${path.service}/${path.backend}`;
}

function probeOf(addressee: Addressee, first: Echoes, second: Echoes): BackendProbe {
  const { service, path } = addressee;
  const { backend, address, overhead } = path;
  const outcome = (what: 'small' | 'full') => first.outcomes.get(keyOf(what, addressee)) ?? null;
  return {
    target: { ...targetOf(service), overhead, outer: isIpv6(address) ? (6 as const) : (4 as const) },
    backend,
    address,
    small: outcome('small'),
    full: outcome('full'),
    pings: {
      vip: first.pings.get(keyOf('vip', addressee)) ?? 'silence',
      host: second.pings.get(keyOf('host', addressee)) ?? null,
      tunnel: second.pings.get(keyOf('tunnel', addressee)) ?? null,
    },
  };
}

function shotsFor(addressee: Addressee): Shot[] {
  const { service, path, client, outer } = addressee;
  if (outer === undefined) return [];
  const shot = (what: 'small' | 'full', payloadLength: number): Shot => ({
    key: keyOf(what, addressee),
    segment: segmentFor(service, client, payloadLength),
    encapsulation: encapsulationOf(service),
    outer,
  });
  const room = path.way.kind === 'link' ? path.way.mtu : 0;
  const hasRoom = service.protocol === 'tcp' && FULL_SIZE + path.overhead <= room;
  const full = hasRoom ? [shot('full', fullPayload(addressBytes(service.vip)))] : [];
  return [shot('small', smallPayload(service)), ...full];
}

function pingFor(what: 'vip' | 'host' | 'tunnel', addressee: Addressee): Ping | undefined {
  const { service, path, client, outer } = addressee;
  if (outer === undefined) return undefined;
  const key = keyOf(what, addressee);
  const [own, vip] = [outer.destination, addressBytes(service.vip)];
  const encapsulation = encapsulationOf(service);
  if (what === 'vip') return { key, source: client, destination: vip, ttl: TTL_OF_LAST_HOP, encapsulation, outer };
  if (what === 'host') return { key, source: outer.source, destination: own, ttl: null, encapsulation: PLAIN, outer };
  if (path.overhead === 0 || own.length !== vip.length) return undefined;
  return { key, source: client, destination: own, ttl: TTL_OF_LAST_HOP, encapsulation, outer };
}

function outerOf({ address, way }: BackendPath, ways: Ways): Outer | undefined {
  const { mac: ownMac } = ways.link;
  if (way.kind !== 'link' || ownMac === undefined) return undefined;
  const mac = ways.macOf(way.via);
  const destination = addressBytes(address);
  const source = lookupRoute(destination)?.source ?? sourceFor(destination, ways);
  return mac === undefined || source === undefined ? undefined : { mac, ownMac, source, destination };
}

/** An address of the interface's, of the family of `towards`; best one that shares a network with it. */
function sourceFor(towards: Uint8Array, { link, addresses }: Ways): Uint8Array | undefined {
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
  const shots = Array.from({ length: WHOLE_SHOTS }, (_, i) => ({ key: `${i}`, segment, encapsulation: PLAIN, outer }));
  const { outcomes } = shoot(link.index, { shots, pings: [], patienceMs: WHOLE_PATIENCE_MS });
  return judgeWholeProbe({ target, own: formatAddress(source), outcomes: [...outcomes.values()] }, throughTunnel);
}
