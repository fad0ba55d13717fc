/** Random configurations and flows for the tests of explain and plan, and packets of them. Not a test. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { stringify } from 'yaml';
import type { Explanation } from '../../explain/explanation.ts';
import type { Flow } from '../../explain/flow.ts';
import type { BackendEdit, WhatIf } from '../../explain/what-if.ts';
import { CLIENT_MAC, ETHERTYPE_IPV4, ethernetFrame, ipv4Packet, OWN_MAC, tcpPacket } from '../packets.ts';
import { ETHERTYPE_IPV6, ipv6Packet, tcp6Packet, udpDatagram } from '../packets6.ts';
import { tunnelPacket, typeOf } from '../tunnels.ts';

/** Of clients' packets. */
const TTL = 61;

const VIPS = ['198.18.10.1', '198.18.10.2', '2001:db8:10::1'];
const PORTS = [80, 443, 8080];
export const NAMES = ['b1', 'b2', 'b3', 'b4', 'b5'];

const backend = (name: string, i: number) =>
  fc.record({
    name: fc.constant(name),
    address: fc.constantFrom(`198.18.2.${i + 1}`, `2001:db8:2::${i + 1}`),
    weight: fc.integer({ min: 1, max: 5 }),
    state: fc.constantFrom('active', 'active', 'active', 'draining'),
  });

const backends = fc
  .tuple(...NAMES.map(backend), fc.integer({ min: 1, max: NAMES.length }))
  .map((drawn) => drawn.slice(0, drawn[NAMES.length] as number));

export const service = (name: string) =>
  fc
    .record({
      vip: fc.constantFrom(...VIPS),
      port: fc.constantFrom(...PORTS),
      protocol: fc.constantFrom('tcp' as const, 'udp' as const),
      hash: fc.constantFrom('source-ip', 'source-ip-port', 'five-tuple'),
      tableSize: fc.constantFrom(7, 251, 1021),
      enabled: fc.constantFrom(true, true, true, false),
      way: fc.constantFrom<object>(
        { encap: 'ipip' },
        { encap: 'ipip', varySource: true },
        { encap: 'ipip', outerTtl: 17 },
        { encap: 'gue' },
        { encap: 'gue', gue: { port: 7000, variant: 1 }, outerTtl: 'copy' },
        { encap: 'gre' },
        { encap: 'l2' },
      ),
      onMiss: fc.constantFrom('forward', 'forward', 'reset', 'drop'),
      allDown: fc.constantFrom('keep', 'drop'),
      onDown: fc.constantFrom('rehash', 'keep'),
      backends,
    })
    .map(({ enabled, way, onMiss, ...rest }) => ({
      name,
      ...rest,
      ...way,
      ...(rest.protocol === 'tcp' && { onMiss }),
      conntrack: { enabled, capacity: 64 },
    }));

type Drawn = ReturnType<typeof service> extends fc.Arbitrary<infer T> ? T : never;

const services = fc
  .tuple(service('s1'), service('s2'), service('s3'))
  .filter((drawn) => new Set(drawn.map(({ vip, port, protocol }) => `${vip} ${port} ${protocol}`)).size === 3)
  .chain((drawn) =>
    fc.nat(0xffff_ffff).map((hashSeed) => ({
      drawn,
      text: stringify({ interface: 'eth0', hashSeed, services: drawn }),
    })),
  );

export const configuration = services.map(({ text }) => text);

const client = fc.record({ host: fc.integer({ min: 1, max: 254 }), port: fc.integer({ min: 1024, max: 65_535 }) });

function flowTo(
  { vip, port, protocol }: Pick<Drawn, 'vip' | 'port' | 'protocol'>,
  from: { host: number; port: number },
): Flow {
  const address = vip.includes(':') ? `2001:db8:c::${from.host.toString(16)}` : `192.0.2.${from.host}`;
  return { client: { address, port: from.port }, to: { address: vip, port }, protocol };
}

/** To any VIP and port, whether or not a service has them. */
export const flow: fc.Arbitrary<Flow> = fc
  .tuple(
    fc.record({
      vip: fc.constantFrom(...VIPS),
      port: fc.constantFrom(...PORTS),
      protocol: fc.constantFrom('tcp' as const, 'udp' as const),
    }),
    client,
  )
  .map(([to, from]) => flowTo(to, from));

/** A configuration, and a flow to the first of its services. */
export const aimed: fc.Arbitrary<{ text: string; flow: Flow }> = fc
  .tuple(services, client)
  .map(([{ drawn, text }, from]) => ({ text, flow: flowTo(drawn[0], from) }));

const edit: fc.Arbitrary<BackendEdit> = fc.oneof(
  fc.record({
    kind: fc.constantFrom('remove' as const, 'drain' as const, 'undrain' as const),
    backend: fc.constantFrom(...NAMES),
  }),
  fc.record({
    kind: fc.constant('weight' as const),
    backend: fc.constantFrom(...NAMES),
    weight: fc.integer({ min: 1, max: 9 }),
  }),
);

export const whatIf: fc.Arbitrary<WhatIf> = fc.record({
  edits: fc.array(edit, { maxLength: 2 }),
  down: fc.subarray(NAMES, { maxLength: 2 }),
  expired: fc.boolean(),
});

/** As a client sends it, built without our own wire/. */
export function frameOf({ client, to, protocol }: Flow, opens: boolean): Uint8Array {
  const fields = {
    source: client.address,
    destination: to.address,
    sourcePort: client.port,
    destinationPort: to.port,
  };
  const isIpv6 = to.address.includes(':');
  const type = isIpv6 ? ETHERTYPE_IPV6 : ETHERTYPE_IPV4;
  const ip = { ttl: TTL, hopLimit: TTL };
  const tcp = { ...fields, flags: opens ? 'S' : 'A', ip };
  if (protocol === 'tcp') {
    return ethernetFrame(OWN_MAC, CLIENT_MAC, type, isIpv6 ? tcp6Packet(tcp) : tcpPacket(tcp));
  }
  const datagram = udpDatagram(client.address, to.address, { ...fields, payload: 'question' });
  const packet = isIpv6
    ? ipv6Packet(client.address, to.address, datagram, { hopLimit: TTL, protocol: 17 })
    : ipv4Packet(client.address, to.address, datagram, { ttl: TTL, protocol: 17 });
  return ethernetFrame(OWN_MAC, CLIENT_MAC, type, packet);
}

/** The frame that an explanation promises for the packet in `frame`. */
export function promised({ backend, outer }: Explanation, frame: Uint8Array): Uint8Array {
  assert.ok(backend !== null && outer !== null && outer.destinationMac !== null && outer.sourceMac !== null);
  const inner = [...frame.subarray(14)];
  if (outer.encap === 'l2') {
    const type = typeOf(inner);
    return ethernetFrame(outer.destinationMac, outer.sourceMac, type, inner);
  }
  assert.equal(outer.destination, backend.address);
  const isIpv6 = typeOf(inner) === ETHERTYPE_IPV6;
  const packet = tunnelPacket(inner, {
    encap: outer.encap,
    source: outer.source ?? '',
    destination: outer.destination ?? '',
    ttl: outer.ttl ?? TTL,
    // Around IPv6 an atomic datagram, which may not be fragmented.
    ...(isIpv6 && { id: 0 }),
    flowLabel: outer.flowLabel ?? 0,
    variant: outer.variant ?? 0,
    sourcePort: outer.sourcePort ?? 0,
    port: outer.port ?? 0,
  });
  assert.equal(outer.bytes, packet.length - inner.length);
  return ethernetFrame(outer.destinationMac, outer.sourceMac, typeOf(packet), packet);
}
