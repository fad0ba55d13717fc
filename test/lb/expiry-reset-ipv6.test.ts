/**
 * `onExpiry: reset` of IPv6 services without a network: every byte of the resets. Which connections get them, and when, is
 * the same for both families: test/lb/expiry-reset.test.ts.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { SERVICE_EXPIRY_RESETS_SENT, SERVICE_RESETS_SENT } from '../../metrics/counters.ts';
import { bytesOfMac, CLIENT_MAC, ETHERTYPE_IPV4, ethernetFrame, OWN_MAC, tcpFrame, tcpPacket } from '../packets.ts';
import { tagged } from '../packets-link.ts';
import { ETHERTYPE_IPV6, type Tcp6Fields, tcp6Frame, tcp6Packet } from '../packets6.ts';
import { type TunnelFields, tunnelPacket, typeOf } from '../tunnels.ts';
import {
  BACKENDS,
  BACKENDS_IPV6,
  BALANCER_ADDRESS,
  BALANCER_ADDRESS_IPV6,
  backendYaml,
  createRig,
  type Rig,
} from './rig.ts';

const VIP = '2001:db8:10::1';
const CLIENT = '2001:db8::7';
const TIMEOUT = 'conntrack: { idleTimeout: 10s, capacity: 4096 }';
const TELLS = `onExpiry: reset\n    ${TIMEOUT}`;
const SERVICE = { vip: VIP, service: TELLS };
const TO_IPV6 = { backends: Object.entries(BACKENDS_IPV6).map(([name, { address }]) => yaml(name, address)) };

function yaml(name: string, address: string): string {
  return `{ name: ${name}, address: "${address}" }`;
}

const ofReset = { flags: 'R', window: 0, acknowledgement: 0, ip: { hopLimit: 64 } };

/** The RST that the client must get: SEQ is what it acknowledged last. */
function toClient(sequence: number, { client = CLIENT, port = 40000, mac = CLIENT_MAC } = {}): Uint8Array {
  const ports = { sourcePort: 80, destinationPort: port };
  const packet = tcp6Packet({ ...ofReset, ...ports, source: VIP, destination: client, sequence });
  return ethernetFrame(mac, OWN_MAC, ETHERTYPE_IPV6, packet);
}

/** The RST that the backend must get, without a tunnel: SEQ is the end of what the client sent last. */
function packetToBackend(sequence: number, { client = CLIENT, port = 40000 } = {}): number[] {
  return tcp6Packet({ ...ofReset, source: client, sourcePort: port, sequence });
}

const viaIpv6 = (backend: string): TunnelFields => ({
  source: BALANCER_ADDRESS_IPV6,
  destination: BACKENDS_IPV6[backend].address,
});
/** IPv6 in IPv4 is an atomic datagram. */
const viaIpv4 = (backend: string): TunnelFields => ({
  source: BALANCER_ADDRESS,
  destination: BACKENDS[backend].address,
  id: 0,
});

function toBackend(backend: string, packet: number[], tunnel: TunnelFields | null): Uint8Array {
  const sent = tunnel === null ? packet : tunnelPacket(packet, tunnel);
  return ethernetFrame(BACKENDS[backend].mac, OWN_MAC, typeOf(sent), sent);
}

const hex = (frames: readonly Uint8Array[]) => frames.map((frame) => Buffer.from(frame).toString('hex'));

/** Walks them and returns the backend and the last frame that it got. */
function walkAll(rig: Rig, packets: readonly Tcp6Fields[]): { backend: string; sent: Uint8Array } {
  const outcomes = packets.map((packet) => rig.walk(tcp6Frame(packet)));
  const last = outcomes[outcomes.length - 1];
  return { backend: rig.backendOf(last) ?? '', sent: last.frame ?? new Uint8Array() };
}

/** Flow label of the outer IPv6 header, source port of GUE behind it: the flow's own, spread by its hash. */
const labelOf = (frame: Uint8Array) => ((frame[15] & 15) << 16) | (frame[16] << 8) | frame[17];
const guePortOf = (frame: Uint8Array) => (frame[54] << 8) | frame[55];

const opening: Tcp6Fields[] = [
  { flags: 'S', sequence: 1000 },
  { flags: 'A', sequence: 1001, acknowledgement: 5001 },
  { flags: 'PA', sequence: 1001, acknowledgement: 5001, payload: 'GET / HTTP/1.1\r\n\r\n' },
];
const END = 1001 + 18;
const acked: Tcp6Fields = { flags: 'A', sequence: END, acknowledgement: 5301 };

describe('the bytes', () => {
  test('IPv6 in IPv6, swept: one RST to the client, one through the tunnel with the flow label of the flow', () => {
    const rig = createRig({ ...SERVICE, ...TO_IPV6 });
    const { backend, sent } = walkAll(rig, [...opening, acked]);
    rig.sweep(9_999, 1_000);
    assert.deepEqual(rig.resets(), []);
    rig.sweep(10_000, 1_000);
    const tunnel = { ...viaIpv6(backend), flowLabel: labelOf(sent) };
    assert.notEqual(tunnel.flowLabel, 0);
    assert.deepEqual(hex(rig.resets()), hex([toClient(5301), toBackend(backend, packetToBackend(END), tunnel)]));
    assert.deepEqual([SERVICE_RESETS_SENT, SERVICE_EXPIRY_RESETS_SENT].map(rig.count), [2, 2]);
    rig.sweep(30_000, 1_000);
    assert.deepEqual(rig.resets(), []);
  });

  test('IPv6 in IPv4', () => {
    const rig = createRig(SERVICE);
    const { backend } = walkAll(rig, [...opening, acked]);
    rig.sweep(10_000, 1_000);
    const frame = toBackend(backend, packetToBackend(END), viaIpv4(backend));
    assert.deepEqual(hex(rig.resets()), hex([toClient(5301), frame]));
  });

  test('GUE over IPv6, from the source port of the flow', () => {
    const rig = createRig({ ...SERVICE, ...TO_IPV6, service: `encap: gue\n    ${TELLS}` });
    const { backend, sent } = walkAll(rig, [...opening, acked]);
    rig.sweep(10_000, 1_000);
    const ofFlow = { flowLabel: labelOf(sent), sourcePort: guePortOf(sent) };
    const frame = toBackend(backend, packetToBackend(END), { ...viaIpv6(backend), ...ofFlow, encap: 'gue' });
    assert.deepEqual(hex(rig.resets()), hex([toClient(5301), frame]));
  });

  test('L2: the backend gets it as it is, as an IPv6 frame', () => {
    const rig = createRig({ ...SERVICE, ...TO_IPV6, service: `encap: l2\n    ${TELLS}` });
    const { backend } = walkAll(rig, [...opening, acked]);
    rig.sweep(10_000, 1_000);
    assert.deepEqual(hex(rig.resets()), hex([toClient(5301), toBackend(backend, packetToBackend(END), null)]));
  });

  test('extension headers in what the client sent: they are no data, and the RST has none', () => {
    const rig = createRig(SERVICE);
    const options = [0, 1, 4, 0, 0, 0, 0];
    const ip = { extensions: [[0, options] as const, [60, options] as const] };
    const { backend } = walkAll(
      rig,
      opening.map((fields) => ({ ...fields, ip })),
    );
    rig.sweep(10_000, 1_000);
    const frame = toBackend(backend, packetToBackend(END), viaIpv4(backend));
    assert.deepEqual(hex(rig.resets()), hex([toClient(5001), frame]));
  });

  for (const tags of [[{ control: 5 }], [{ control: 0x456, type: 0x88a8 }, { control: 5 }]]) {
    test(`a connection behind ${tags.length} VLAN tags: its RSTs have none`, () => {
      const rig = createRig(SERVICE);
      for (const fields of opening) rig.walk(tagged(tcp6Frame(fields), ...tags));
      const outcome = rig.walk(tagged(tcp6Frame(acked), ...tags));
      const backend = rig.backendOf(outcome) ?? '';
      rig.sweep(10_000, 1_000);
      const frame = toBackend(backend, packetToBackend(END), viaIpv4(backend));
      assert.deepEqual(hex(rig.resets()), hex([toClient(5301), frame]));
    });
  }

  test('the client that moved to another router is told where its last packet came from', () => {
    const rig = createRig(SERVICE);
    walkAll(rig, opening);
    const mac = '06:11:22:33:44:55';
    const moved = tcp6Frame(acked);
    moved.set(bytesOfMac(mac), 6);
    rig.walk(moved);
    rig.sweep(10_000, 1_000);
    assert.deepEqual(hex(rig.resets().slice(0, 1)), hex([toClient(5301, { mac })]));
  });

  test('ports that are used again after a FIN', () => {
    const rig = createRig(SERVICE);
    const { backend } = walkAll(rig, [
      ...opening,
      { flags: 'FA', sequence: END },
      { flags: 'S', sequence: 90_000 },
      { flags: 'A', sequence: 90_001, acknowledgement: 70_001 },
    ]);
    rig.sweep(10_000, 1_000);
    const frame = toBackend(backend, packetToBackend(90_001), viaIpv4(backend));
    assert.deepEqual(hex(rig.resets()), hex([toClient(70_001), frame]));
  });
});

describe('noticed late, by the next packet', () => {
  test("the packet becomes the client's RST, the backend's goes through the tunnel", () => {
    const rig = createRig(SERVICE);
    const { backend } = walkAll(rig, [...opening, acked]);
    const late = rig.walk(tcp6Frame({ flags: 'PA', sequence: END, acknowledgement: 5301, payload: 'GET /' }), 10_000);
    assert.equal(late.exit, 'reset: expired-connection');
    assert.deepEqual(hex([late.frame ?? new Uint8Array()]), hex([toClient(5301)]));
    assert.deepEqual(hex(rig.resets()), hex([toBackend(backend, packetToBackend(END), viaIpv4(backend))]));
    assert.deepEqual([SERVICE_RESETS_SENT, SERVICE_EXPIRY_RESETS_SENT].map(rig.count), [2, 2]);
  });

  test('another connection that takes the slot: the old one is told, by its own address', () => {
    const rig = createRig({ ...SERVICE, service: 'onExpiry: reset\n    conntrack: { idleTimeout: 10s, capacity: 2 }' });
    const { backend } = walkAll(rig, [...opening, acked]);
    const other = '2001:db8:ffff:ffff:ffff:ffff:ffff:ffff';
    const again: Tcp6Fields = { flags: 'A', source: other, sequence: 7, acknowledgement: 9 };
    const next = rig.walk(tcp6Frame(again), 10_000);
    assert.equal(next.exit, 'forward');
    assert.deepEqual(
      hex(rig.resets()),
      hex([toClient(5301), toBackend(backend, packetToBackend(END), viaIpv4(backend))]),
    );
    rig.sweep(20_000, 1_000);
    const backendNow = rig.backendOf(next) ?? '';
    const own = { client: other };
    assert.deepEqual(
      hex(rig.resets()),
      hex([toClient(9, own), toBackend(backendNow, packetToBackend(7, own), viaIpv4(backendNow))]),
    );
  });
});

describe('who gets none', () => {
  const cases: [name: string, packets: Tcp6Fields[]][] = [
    ['a SYN that nobody follows up: its source may be forged', [{ flags: 'S' }]],
    ['a connection that has sent FIN, and ACKs after it', [...opening, { flags: 'FA', sequence: END }, acked]],
    ['one that has sent RST', [...opening, { flags: 'RA', sequence: END }]],
  ];
  for (const [name, packets] of cases) {
    test(name, () => {
      const rig = createRig(SERVICE);
      walkAll(rig, packets);
      rig.sweep(10_000, 1_000);
      assert.deepEqual(rig.resets(), []);
    });
  }

  test('what it costs: 80 bytes for each connection of the capacity', () => {
    assert.equal(createRig(SERVICE).forwarder.expiryRows[0]?.words.byteLength, 80 * 4096);
  });

  test('a service with onExpiry: silent takes no memory for it', () => {
    assert.deepEqual(createRig({ vip: VIP, service: TIMEOUT }).forwarder.expiryRows, [null]);
  });

  for (const [fits, frames] of [
    [59, 1],
    [60, 2],
  ]) {
    test(`a backend whose path takes ${fits} bytes in the tunnel: the client is told all the same`, () => {
      const rig = createRig({ ...SERVICE, ...TO_IPV6, hopOf: () => ({ mtu: 40 + fits }) });
      walkAll(rig, [acked]);
      rig.sweep(10_000, 1_000);
      assert.deepEqual(rig.resets().length, frames);
    });
  }
});

describe('many at once', () => {
  const COUNT = 600;

  test('a sweep resets 256 connections, the next goes on', () => {
    const rig = createRig(SERVICE);
    const expected: Uint8Array[] = [];
    for (let i = 0; i < COUNT; i++) {
      const of = { client: `2001:db8:${i.toString(16)}::${(i * 7 + 1).toString(16)}`, port: 10_000 + i };
      const { backend } = walkAll(rig, [{ ...acked, source: of.client, sourcePort: of.port }]);
      expected.push(toClient(5301, of), toBackend(backend, packetToBackend(END, of), viaIpv4(backend)));
    }
    const frames: Uint8Array[] = [];
    for (const most of [256, 256, COUNT - 512, 0]) {
      rig.sweep(10_000, 1_000);
      assert.equal(rig.forwarder.resets.count, most);
      frames.push(...rig.resets());
    }
    assert.deepEqual(hex(frames).sort(), hex(expected).sort());
  });

  test('of both families in turn, each with its own length and type', () => {
    const four = `{ name: four, vip: 198.18.10.9, port: 80, encap: l2, onExpiry: reset, ${TIMEOUT}, backends: [${backendYaml('b1')}] }`;
    const rig = createRig({ ...SERVICE, others: [four] });
    const expected: Uint8Array[] = [];
    for (const port of [10_000, 10_001, 10_002]) {
      const { backend } = walkAll(rig, [{ ...acked, sourcePort: port }]);
      expected.push(toBackend(backend, packetToBackend(END, { port }), viaIpv4(backend)));
      rig.walk(
        tcpFrame({ flags: 'A', sequence: END, acknowledgement: 5301, destination: '198.18.10.9', sourcePort: port }),
      );
      const bare = { flags: 'R', window: 0, ip: { id: 0, ttl: 64 } };
      const fromClient = { ...bare, destination: '198.18.10.9', sourcePort: port, sequence: END };
      expected.push(ethernetFrame(BACKENDS.b1.mac, OWN_MAC, ETHERTYPE_IPV4, tcpPacket(fromClient)));
    }
    // By the packets that find them gone, one of each family after the other.
    for (const port of [10_000, 10_001, 10_002]) {
      rig.walk(tcp6Frame({ flags: 'R', sourcePort: port }), 10_000);
      rig.walk(tcpFrame({ flags: 'R', sourcePort: port, destination: '198.18.10.9' }), 10_000);
    }
    assert.deepEqual(hex(rig.resets()), hex(expected));
  });

  test('what the device has no frame for waits, and no frame is sent twice', () => {
    const rig = createRig({ ...SERVICE, frameCount: 3 });
    const expected: Uint8Array[] = [];
    for (const port of [10_000, 10_001, 10_002]) {
      const { backend } = walkAll(rig, [{ ...acked, sourcePort: port }]);
      expected.push(toClient(5301, { port }), toBackend(backend, packetToBackend(END, { port }), viaIpv4(backend)));
    }
    rig.sweep(10_000, 1_000);
    const [first, second, third] = [rig.resets(), rig.resets(), rig.resets()];
    assert.deepEqual([first.length, second.length, third.length], [3, 3, 0]);
    assert.deepEqual(hex([...first, ...second]).sort(), hex(expected).sort());
  });
});
