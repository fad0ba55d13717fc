/**
 * Services of a configuration that contradict each other or themselves. config-rules.ts yields these findings beside its
 * own. All look at what the file says, right or wrong, so that they are reported in the same go as wrong values.
 */
import { nextPrime } from '../hashing/lookup-table.ts';
import { formatAddress, parseAddress } from '../wire/address.ts';
import { MAX_BACKENDS } from './config.ts';
import { healthContradictions } from './config-health-rules.ts';
import { type Finding, field, listOf, type Path } from './config-problems.ts';
import { isAllPorts, isSinglePort, type PortRange, parsePorts, portPhrase } from './ports.ts';

export function* serviceContradictions(services: readonly unknown[]): Generator<Finding> {
  const place = (i: number): Path => ['services', i];
  yield* repeated(services, 'name', place, 'a name that no other service has');
  yield* overlappingSockets(services);

  let total = 0;
  for (const [i, service] of services.entries()) {
    yield* pointlessKeys(service, place(i));
    yield* quicContradictions(service, place(i));
    yield* healthContradictions(service, place(i));
    const backends = listOf(service, 'backends');
    total += backends.length;
    const backendPlace = (j: number): Path => [...place(i), 'backends', j];
    yield* repeated(backends, 'name', backendPlace, 'a name that no other backend of the service has');
    yield* repeated(backends, 'address', backendPlace, 'an address that no other backend of the service has');

    const vip = canonical(field(service, 'vip'));
    for (const [j, backend] of backends.entries()) {
      if (typeof vip === 'string' && canonical(field(backend, 'address')) === vip) {
        yield { path: [...backendPlace(j), 'address'], expected: "the backend's own address, not the VIP" };
      }
    }
    const tableSize = field(service, 'tableSize');
    if (typeof tableSize === 'number' && tableSize > 0 && tableSize < backends.length) {
      const expected = `a prime number of at least ${nextPrime(backends.length)}, for ${backends.length} backends`;
      yield { path: [...place(i), 'tableSize'], expected };
    }
  }
  if (total > MAX_BACKENDS) {
    yield { path: ['services'], expected: `at most ${MAX_BACKENDS} backends in all`, got: String(total) };
  }
}

/** An address is the same however it is written. */
function canonical(value: unknown): unknown {
  const bytes = typeof value === 'string' ? parseAddress(value) : undefined;
  return bytes === undefined ? value : formatAddress(bytes);
}

function* repeated(
  items: readonly unknown[],
  key: string,
  place: (i: number) => Path,
  expected: string,
): Generator<Finding> {
  const seen = new Set<unknown>();
  for (const [i, item] of items.entries()) {
    const written = field(item, key);
    const value = key === 'address' ? canonical(written) : written;
    if (typeof value !== 'string') continue;
    if (seen.has(value)) yield { path: [...place(i), key], expected };
    seen.add(value);
  }
}

interface Socket {
  readonly i: number;
  readonly ports: PortRange;
}

/** A port, a range and all ports of one VIP may overlap, because the most specific has the packet; two of a kind may not. */
function* overlappingSockets(services: readonly unknown[]): Generator<Finding> {
  const known = new Map<string, Socket[]>();
  for (const [i, service] of services.entries()) {
    const vip = canonical(field(service, 'vip'));
    const protocol = field(service, 'protocol') ?? 'tcp';
    const ports = parsePorts(field(service, 'port'));
    if (typeof vip !== 'string' || typeof protocol !== 'string' || ports === undefined) continue;
    const [kind, rival] = [portKind(ports), `${vip} ${protocol} ${portKind(ports)}`];
    // One port each, thousands of them: only the same one can be in the way.
    const key = kind === 'port' ? `${rival} ${ports.first}` : rival;
    const rivals = known.get(key) ?? [];
    known.set(key, rivals);
    const other = rivals.find((one) => one.ports.first <= ports.last && ports.first <= one.ports.last);
    if (other === undefined) rivals.push({ i, ports });
    else {
      const expected =
        kind === 'range'
          ? 'ports that no other range of the VIP and protocol has'
          : 'a VIP, protocol and port that no other service has';
      const theirs = kind === 'range' ? `, which has ${portPhrase(other.ports)}` : '';
      const got = `${vip} ${protocol} ${portPhrase(ports)}, as services[${other.i}]${theirs}`;
      yield { path: ['services', i], expected, got };
    }
  }
}

function portKind(ports: PortRange): 'port' | 'range' | 'all' {
  if (isSinglePort(ports)) return 'port';
  return isAllPorts(ports) ? 'all' : 'range';
}

/** The longest connection id of QUIC version 1 without its first octet (RFC 9000, section 17.2). */
const MAX_ID_AND_NONCE = 19;

/** Of the unencrypted layout: every backend has a server id, of one length, and no two the same. */
function* quicContradictions(service: unknown, place: Path): Generator<Finding> {
  const quic = field(service, 'quic');
  const [length, nonce] = [field(quic, 'serverIdLength'), field(quic, 'nonceLength')];
  if (typeof length === 'number' && typeof nonce === 'number' && length <= 15 && length + nonce > MAX_ID_AND_NONCE) {
    const expected = `at most ${MAX_ID_AND_NONCE - length}, because a connection id has 20 bytes at most`;
    yield { path: [...place, 'quic', 'nonceLength'], expected };
  }
  const known = new Set<string>();
  for (const [j, backend] of listOf(service, 'backends').entries()) {
    const path = [...place, 'backends', j, 'serverId'];
    const id = field(backend, 'serverId');
    if (quic === undefined) {
      if (id !== undefined) yield { path, expected: 'not to be set, because the service has no quic' };
      continue;
    }
    if (id === undefined) yield { path, expected: 'the server id that the backend writes into connection ids' };
    if (typeof id !== 'string') continue;
    if (typeof length === 'number' && id.length !== 2 * length) {
      yield { path, expected: `a server id of ${length} octets, as serverIdLength says` };
    }
    if (known.has(id.toLowerCase())) yield { path, expected: 'a server id that no other backend of the service has' };
    known.add(id.toLowerCase());
  }
}

/** Keys that can mean nothing beside another of the same service. */
function* pointlessKeys(service: unknown, place: Path): Generator<Finding> {
  const written = (key: string): unknown => field(service, key);
  const isWritten = (key: string) => written(key) !== undefined;
  const encap = isOneOf(written('encap'), 'l2', 'gue', 'gre') ? written('encap') : 'ipip';
  const isUdp = written('protocol') === 'udp';
  const vip = written('vip');
  const isIpv6 = typeof vip === 'string' && parseAddress(vip)?.length === 16;
  const rules: readonly (readonly [key: string, isWrong: boolean, expected: string])[] = [
    [
      'onMiss',
      isUdp && isOneOf(written('onMiss'), 'reset', 'drop'),
      'forward, because any datagram may open a flow of udp',
    ],
    ['onExpiry', isUdp && written('onExpiry') === 'reset', 'silent, because udp has no RST'],
    ['profile', isUdp && isWritten('profile'), 'not to be set: profiles say what becomes of idle TCP connections'],
    ['mssClamp', isUdp && isWritten('mssClamp') && written('mssClamp') !== 'off', 'off, because udp has no MSS'],
    ['gue', isWritten('gue') && encap !== 'gue', `not to be set, because encap is ${encap}`],
    ['quic', isWritten('quic') && !isUdp, 'not to be set, because QUIC is carried by udp'],
    ['varySource', written('varySource') === true && encap !== 'ipip', `false, because encap is ${encap}`],
    ['outerTtl', isWritten('outerTtl') && encap === 'l2', 'not to be set, because encap l2 has no outer header'],
    ['tooBig', isIpv6 && written('tooBig') === 'fragment', 'drop, because nobody on the way fragments IPv6 packets'],
    ['ipOptions', isIpv6 && written('ipOptions') === 'accept', 'drop, because IPv6 packets have no IP options'],
  ];
  for (const [key, isWrong, expected] of rules) if (isWrong) yield { path: [...place, key], expected };
}

function isOneOf(value: unknown, ...values: string[]): boolean {
  return typeof value === 'string' && values.includes(value);
}
