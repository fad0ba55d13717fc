/** `onExpiry: reset` without a network: which connections get resets, when, and every byte of them. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  SERVICE_ENTRIES,
  SERVICE_EXPIRED,
  SERVICE_EXPIRY_RESETS_SENT,
  SERVICE_RESETS_SENT,
} from '../../metrics/counters.ts';
import {
  bytesOfMac,
  CLIENT_MAC,
  ETHERTYPE_IPV4,
  ethernetFrame,
  ipv4Packet,
  OWN_MAC,
  type TcpFields,
  tcpFrame,
  tcpSegment,
} from '../packets.ts';
import { BACKENDS, BALANCER_ADDRESS, createRig, type Rig } from './rig.ts';

const VIP = '198.18.10.1';
const CLIENT = '192.0.2.7';
const TELLS = 'onExpiry: reset\n    conntrack: { idleTimeout: 10s, capacity: 4096 }';

/** The RST that the client must get: SEQ is what it acknowledged last. */
function toClient(sequence: number, port = 40000, mac = CLIENT_MAC): Uint8Array {
  const segment = tcpSegment(VIP, CLIENT, { flags: 'R', window: 0, sourcePort: 80, destinationPort: port, sequence });
  return ethernetFrame(mac, OWN_MAC, ETHERTYPE_IPV4, ipv4Packet(VIP, CLIENT, segment, { id: 0, ttl: 64 }));
}

function packetToBackend(sequence: number, port = 40000): number[] {
  const segment = tcpSegment(CLIENT, VIP, { flags: 'R', window: 0, sourcePort: port, sequence });
  return ipv4Packet(CLIENT, VIP, segment, { id: 0, ttl: 64 });
}

/** The RST that the backend must get, in the tunnel: SEQ is the end of what the client sent last. */
function toBackend(backend: string, sequence: number, port = 40000): Uint8Array {
  const { address, mac } = BACKENDS[backend];
  const outer = ipv4Packet(BALANCER_ADDRESS, address, packetToBackend(sequence, port), { ttl: 64, protocol: 4, id: 0 });
  return ethernetFrame(mac, OWN_MAC, ETHERTYPE_IPV4, outer);
}

const hex = (frames: readonly Uint8Array[]) => frames.map((frame) => Buffer.from(frame).toString('hex'));

function walkAll(rig: Rig, packets: readonly TcpFields[], now = 0): string {
  let backend = '';
  for (const packet of packets) backend = rig.backendOf(rig.walk(tcpFrame(packet), now)) ?? backend;
  return backend;
}

const opening: TcpFields[] = [
  { flags: 'S', sequence: 1000 },
  { flags: 'A', sequence: 1001, acknowledgement: 5001 },
  { flags: 'PA', sequence: 1001, acknowledgement: 5001, payload: 'GET / HTTP/1.1\r\n\r\n' },
];
const END = 1001 + 18;
const acked: TcpFields = { flags: 'A', sequence: END, acknowledgement: 5301 };

describe('the bytes', () => {
  test('swept: one RST to the client, one through the tunnel, and the entry is gone', () => {
    const rig = createRig({ service: TELLS });
    const backend = walkAll(rig, [...opening, acked]);
    rig.sweep(9_999, 1_000);
    assert.deepEqual(rig.resets(), []);
    rig.sweep(10_000, 1_000);
    assert.deepEqual(hex(rig.resets()), hex([toClient(5301), toBackend(backend, END)]));
    assert.deepEqual(
      [SERVICE_EXPIRED, SERVICE_ENTRIES, SERVICE_RESETS_SENT, SERVICE_EXPIRY_RESETS_SENT].map(rig.count),
      [1, 0, 2, 2],
    );
    rig.sweep(30_000, 1_000);
    assert.deepEqual(rig.resets(), []);
  });

  test('L2: the backend gets it as it is', () => {
    const rig = createRig({ service: `encap: l2\n    ${TELLS}` });
    const backend = walkAll(rig, [...opening, acked]);
    rig.sweep(10_000, 1_000);
    const frame = ethernetFrame(BACKENDS[backend].mac, OWN_MAC, ETHERTYPE_IPV4, packetToBackend(END));
    assert.deepEqual(hex(rig.resets()), hex([toClient(5301), frame]));
  });

  test('sequence numbers wrap at 2^32', () => {
    const rig = createRig({ service: TELLS });
    const backend = walkAll(rig, [
      { flags: 'S', sequence: 0xfffffff0 },
      { flags: 'PA', sequence: 0xfffffff1, acknowledgement: 0xfffffff8, payload: 'x'.repeat(20) },
      { flags: 'A', sequence: 5, acknowledgement: 100 },
    ]);
    rig.sweep(10_000, 1_000);
    assert.deepEqual(hex(rig.resets()), hex([toClient(100), toBackend(backend, 5)]));
  });

  test('a retransmission, a keep-alive probe and an old ACK take nothing back', () => {
    const rig = createRig({ service: TELLS });
    const backend = walkAll(rig, [
      ...opening,
      acked,
      opening[2],
      { flags: 'A', sequence: END - 1, acknowledgement: 5200 },
    ]);
    rig.sweep(10_000, 1_000);
    assert.deepEqual(hex(rig.resets()), hex([toClient(5301), toBackend(backend, END)]));
  });

  for (const start of [0x7ffffff8, 0xfffffff8]) {
    test(`what comes late from before 0x${start.toString(16)} + 16 takes nothing back`, () => {
      const rig = createRig({ service: TELLS });
      const before: TcpFields = { flags: 'A', sequence: start, acknowledgement: start };
      const end = (start + 16) % 2 ** 32;
      const backend = walkAll(rig, [before, { flags: 'A', sequence: end, acknowledgement: end }, before]);
      rig.sweep(10_000, 1_000);
      assert.deepEqual(hex(rig.resets()), hex([toClient(end), toBackend(backend, end)]));
    });
  }

  test('ports that are used again after a FIN', () => {
    const rig = createRig({ service: TELLS });
    const again: TcpFields[] = [
      { flags: 'S', sequence: 90_000 },
      { flags: 'A', sequence: 90_001, acknowledgement: 70_001 },
    ];
    const backend = walkAll(rig, [...opening, { flags: 'FA', sequence: END }, ...again]);
    rig.sweep(10_000, 1_000);
    assert.deepEqual(hex(rig.resets()), hex([toClient(70_001), toBackend(backend, 90_001)]));
  });

  test('a connection that was picked up in the middle', () => {
    const rig = createRig({ service: TELLS });
    const backend = walkAll(rig, [acked]);
    rig.sweep(10_000, 1_000);
    assert.deepEqual(hex(rig.resets()), hex([toClient(5301), toBackend(backend, END)]));
  });

  test('the client that moved to another router is told where its last packet came from', () => {
    const rig = createRig({ service: TELLS });
    walkAll(rig, opening);
    const moved = tcpFrame(acked);
    const mac = '06:11:22:33:44:55';
    moved.set(bytesOfMac(mac), 6);
    rig.walk(moved);
    rig.sweep(10_000, 1_000);
    assert.deepEqual(hex(rig.resets().slice(0, 1)), hex([toClient(5301, 40000, mac)]));
  });
});

describe('noticed late, by the next packet', () => {
  for (const onMiss of ['forward', 'reset', 'drop']) {
    test(`onMiss ${onMiss}: the packet becomes the client's RST, the backend's goes through the tunnel`, () => {
      const rig = createRig({ service: `onMiss: ${onMiss}\n    ${TELLS}` });
      const backend = walkAll(rig, [...opening, acked]);
      const late = rig.walk(tcpFrame({ flags: 'PA', sequence: END, acknowledgement: 5301, payload: 'GET /' }), 10_000);
      assert.equal(late.exit, 'reset: expired-connection');
      assert.deepEqual(hex([late.frame ?? new Uint8Array()]), hex([toClient(5301)]));
      assert.deepEqual(hex(rig.resets()), hex([toBackend(backend, END)]));
      assert.deepEqual([SERVICE_RESETS_SENT, SERVICE_EXPIRY_RESETS_SENT].map(rig.count), [2, 2]);
    });
  }

  test('an RST is not answered, the backend is told', () => {
    const rig = createRig({ service: TELLS });
    const backend = walkAll(rig, [...opening, acked]);
    assert.equal(rig.walk(tcpFrame({ flags: 'R', sequence: END }), 10_000).exit, 'drop: unknown-reset');
    assert.deepEqual(hex(rig.resets()), hex([toBackend(backend, END)]));
  });

  test('another connection that takes the slot: both sides of the old one are told', () => {
    const rig = createRig({ service: 'onExpiry: reset\n    conntrack: { idleTimeout: 10s, capacity: 2 }' });
    const backend = walkAll(rig, [...opening, acked]);
    rig.walk(tcpFrame({ flags: 'S', sourcePort: 40001 }), 10_000);
    assert.equal(rig.count(SERVICE_RESETS_SENT), 0);
    assert.deepEqual(hex(rig.resets()), hex([toClient(5301), toBackend(backend, END)]));
  });

  test('a SYN on the same ports: the client has given up the old one, nobody is told', () => {
    const rig = createRig({ service: TELLS });
    walkAll(rig, [...opening, acked]);
    assert.equal(rig.walk(tcpFrame({ flags: 'S', sequence: 90_000 }), 10_000).exit, 'forward');
    assert.deepEqual(rig.resets(), []);
  });
});

describe('who gets none', () => {
  const cases: [name: string, packets: TcpFields[]][] = [
    ['a SYN that nobody follows up: its source may be forged', [{ flags: 'S' }]],
    ['the SYN again and again', [{ flags: 'S' }, { flags: 'S' }, { flags: 'S' }]],
    ['a SYN that nobody follows up, on the ports of a live connection', [...opening, { flags: 'S', sequence: 90_000 }]],
    ['a connection that has sent FIN, and ACKs after it', [...opening, { flags: 'FA', sequence: END }, acked]],
    ['one that has sent RST', [...opening, { flags: 'RA', sequence: END }]],
    ['one that was picked up at its FIN', [{ flags: 'FA' }, acked]],
  ];
  for (const [name, packets] of cases) {
    test(name, () => {
      const rig = createRig({ service: TELLS });
      walkAll(rig, packets);
      rig.sweep(10_000, 1_000);
      rig.sweep(20_000, 1_000);
      assert.equal(rig.count(SERVICE_EXPIRED), 1);
      assert.deepEqual(rig.resets(), []);
      assert.equal(rig.count(SERVICE_RESETS_SENT), 0);
    });
  }

  test('what it costs: 48 bytes for each connection of the capacity', () => {
    assert.equal(createRig({ service: TELLS }).forwarder.expiryRows[0]?.words.byteLength, 48 * 4096);
  });

  test('a service with onExpiry: silent, which takes no memory for it either', () => {
    const rig = createRig({ service: 'conntrack: { idleTimeout: 10s }' });
    walkAll(rig, [...opening, acked]);
    rig.sweep(10_000, 1_000);
    assert.deepEqual(rig.resets(), []);
    assert.deepEqual(rig.forwarder.expiryRows, [null]);
    assert.deepEqual(
      createRig({ service: 'onExpiry: reset\n    conntrack: { enabled: false }' }).forwarder.expiryRows,
      [null],
    );
  });

  test('a backend without a neighbour: the client is told all the same', () => {
    const rig = createRig({ service: TELLS });
    walkAll(rig, [...opening, acked]);
    rig.forwarder.state.services[0].hops.fill(0);
    rig.sweep(10_000, 1_000);
    assert.deepEqual(hex(rig.resets()), hex([toClient(5301)]));
  });
});

describe('many at once', () => {
  const COUNT = 600;
  const portOf = (frame: Uint8Array) => (frame[frame.length - 18] << 8) | frame[frame.length - 17];

  test('a sweep resets 256 connections, the next goes on', () => {
    const rig = createRig({ service: TELLS });
    const backends = new Map<number, string>();
    for (let i = 0; i < COUNT; i++) {
      const port = 10_000 + i;
      backends.set(port, walkAll(rig, [{ ...acked, sourcePort: port }]));
    }
    const frames: Uint8Array[] = [];
    for (const most of [256, 256, COUNT - 512, 0]) {
      rig.sweep(10_000, 1_000);
      assert.equal(rig.forwarder.resets.count, most);
      const sent = rig.resets();
      assert.equal(sent.length, 2 * most);
      assert.equal(rig.forwarder.resets.count, 0);
      frames.push(...sent);
    }
    assert.deepEqual(new Set(frames.filter((frame) => frame.length === 54).map(portOf)), new Set(backends.keys()));
    const expected = [...backends].flatMap(([port, name]) => [toClient(5301, port), toBackend(name, END, port)]);
    assert.deepEqual(hex(frames).sort(), hex(expected).sort());
  });

  test('what the device has no frame for waits, and no frame is sent twice', () => {
    const rig = createRig({ service: TELLS, frameCount: 3 });
    const expected: Uint8Array[] = [];
    for (const port of [10_000, 10_001, 10_002]) {
      const backend = walkAll(rig, [{ ...acked, sourcePort: port }]);
      expected.push(toClient(5301, port), toBackend(backend, END, port));
    }
    rig.sweep(10_000, 1_000);
    const [first, second, third] = [rig.resets(), rig.resets(), rig.resets()];
    assert.deepEqual([first.length, second.length, third.length], [3, 3, 0]);
    assert.deepEqual(hex([...first, ...second]).sort(), hex(expected).sort());
    assert.equal(rig.count(SERVICE_RESETS_SENT), 6);
  });
});
