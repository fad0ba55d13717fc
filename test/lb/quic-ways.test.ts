/**
 * QUIC through the real forwarder: datagrams go where their connection id says, those of the draft's vectors too
 * (test/lb/quic-lb.test.ts tells of them), from wherever the client sends them.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { SERVICE_DATAGRAM_MISSES, SERVICE_HITS, SERVICE_QUIC_ROUTED } from '../../metrics/counters.ts';
import { CLIENT_6, error4, frameOf, VIP_4, VIP_6 } from '../icmp-packets.ts';
import { ipv4Packet, tcpFrame } from '../packets.ts';
import { ipv6Packet, udpDatagram } from '../packets6.ts';
import { BACKENDS, BALANCER_ADDRESS, backendYaml, createRig, type RigConfig } from './rig.ts';

const bytesOfHex = (hex: string): number[] => [...Buffer.from(hex, 'hex')];

/** RFC 8999: a long header with the connection id's length, as until the handshake is done, and a short one. */
const longHeader = (cid: string): number[] => [0xe3, 0, 0, 0, 1, cid.length / 2, ...bytesOfHex(cid), 0, 9, 9, 9, 9];
const shortHeader = (cid: string): number[] => [0x41, ...bytesOfHex(cid), 9, 9, 9, 9];

interface From {
  source?: string;
  port?: number | undefined;
}

/** A checksum of 0 is none. */
function udp(payload: readonly number[], port: number): number[] {
  return [port >> 8, port & 255, 0, 80, 0, 8 + payload.length, 0, 0, ...payload];
}

function datagram(payload: readonly number[], { source = '192.0.2.7', port = 40_000 }: From = {}): number[] {
  return ipv4Packet(source, VIP_4, udp(payload, port), { protocol: 17 });
}

const packet = (payload: readonly number[], from: From = {}): Uint8Array => frameOf(datagram(payload, from));

const CLIENTS: From[] = Array.from({ length: 60 }, (_, i) => ({ source: `192.0.2.${i + 1}`, port: 40_000 + 7 * i }));

const IDS: Record<string, string> = { b1: '111111', b2: 'c4605e', b3: '333333' };
const SERVICE = 'protocol: udp\n    quic: { serverIdLength: 3, nonceLength: 4 }';
const withIds = (names = Object.keys(IDS), more = ''): string[] =>
  names.map((name) => backendYaml(name, `serverId: "${IDS[name]}"${more}`));
const rigOf = (more: RigConfig = {}) => createRig({ service: SERVICE, backends: withIds(), ...more });

describe('the vectors of draft 21', () => {
  const VECTORS = [
    { cid: '07c4605e4504cc4f', quic: '{ serverIdLength: 3, nonceLength: 4 }', ids: ['111111', 'c4605e', '333333'] },
    {
      cid: '2a350d28b4203487d9700b',
      quic: '{ serverIdLength: 5, nonceLength: 5, rotation: 1 }',
      ids: ['1111111111', '350D28B420', '3333333333'],
    },
  ];
  for (const { cid, quic, ids } of VECTORS) {
    test(`${cid}: to the backend that it names, whoever sends it`, () => {
      const backends = ids.map((id, i) => backendYaml(`b${i + 1}`, `serverId: "${id}"`));
      const rig = createRig({ service: `protocol: udp\n    quic: ${quic}`, backends });
      for (const client of CLIENTS) {
        for (const payload of [longHeader(cid), shortHeader(cid)]) {
          const sent = rig.walk(packet(payload, client));
          const outer = ipv4Packet(BALANCER_ADDRESS, BACKENDS.b2.address, datagram(payload, client), {
            protocol: 4,
            ttl: 64,
          });
          assert.equal(rig.backendOf(sent), 'b2');
          assert.deepEqual(Buffer.from(sent.frame!.subarray(14)), Buffer.from(outer));
        }
      }
      assert.equal(rig.count(SERVICE_QUIC_ROUTED), 2 * CLIENTS.length);
      assert.equal(rig.count(SERVICE_HITS) + rig.count(SERVICE_DATAGRAM_MISSES), 0);
    });
  }
});

/** As a server of the unencrypted layout makes it: rotation 0, any five bits, its id, a nonce. */
const cidOf = (backend: string, nonce = 'aabbccdd'): string => `13${IDS[backend]}${nonce}`;

describe("a client's address change", () => {
  const moved = { source: '203.0.113.77', port: 61_000 };
  /** First its own connection id, which no server made, then the server's, then the same from elsewhere. */
  function migrate(rig: ReturnType<typeof createRig>, client: From): [first: string, after: string] {
    const first = rig.backendOf(rig.walk(packet(longHeader('f00000000000000001'), client)))!;
    assert.equal(rig.backendOf(rig.walk(packet(shortHeader(cidOf(first)), client))), first);
    return [first, rig.backendOf(rig.walk(packet(shortHeader(cidOf(first)), moved)))!];
  }

  test('the connection stays with its backend', () => {
    for (const more of [{}, { service: `${SERVICE}\n    conntrack: { enabled: false }` }]) {
      const rig = rigOf(more);
      const firsts = CLIENTS.map((client) => {
        const [first, after] = migrate(rig, client);
        assert.equal(after, first);
        return first;
      });
      assert.deepEqual(new Set(firsts).size, 3);
    }
  });

  test('without quic it does not', () => {
    const rig = createRig({ service: 'protocol: udp' });
    const kept = CLIENTS.filter((client) => {
      const [first, after] = migrate(rig, client);
      return first === after;
    });
    assert.ok(kept.length < CLIENTS.length / 2, `${kept.length} of ${CLIENTS.length}`);
  });

  test('over IPv6, in a tagged frame, and in one batch with others', () => {
    const six = rigOf({ vip: VIP_6 });
    for (const [port, backend] of [
      [40_000, 'b1'],
      [40_001, 'b2'],
      [40_002, 'b3'],
    ] as const) {
      const frame = frameOf(ipv6Packet(CLIENT_6, VIP_6, udp(shortHeader(cidOf(backend)), port), { protocol: 17 }));
      assert.equal(six.backendOf(six.walk(frame)), backend);
      const tagged = Uint8Array.from([...frame.subarray(0, 12), 0x81, 0, 0, 7, ...frame.subarray(12)]);
      assert.equal(six.backendOf(six.walk(tagged)), backend);
    }
    const tcp = '{ name: tcp, vip: 198.18.10.1, port: 80, backends: [{ name: b1, address: 198.18.2.4 }] }';
    const rig = rigOf({ others: [tcp] });
    const sent = rig.walkAll([
      packet(shortHeader(cidOf('b3'))),
      tcpFrame({ flags: 'S' }),
      packet(shortHeader(cidOf('b1'))),
    ]);
    assert.deepEqual(
      sent.map((frame) => rig.backendOf({ exit: 'forward', frame })),
      ['b3', 'b4', 'b1'],
    );
  });

  test('an ICMP error about the new way finds the backend', () => {
    const rig = rigOf();
    for (const backend of Object.keys(IDS)) {
      rig.walk(packet(shortHeader(cidOf(backend)), moved));
      const quoted = ipv4Packet(
        VIP_4,
        moved.source,
        udpDatagram(VIP_4, moved.source, { sourcePort: 80, destinationPort: moved.port }),
        {
          protocol: 17,
        },
      );
      assert.equal(rig.backendOf(rig.walk(frameOf(error4(3, 4, quoted)))), backend);
    }
  });
});

describe('backends that go', () => {
  test('a draining one keeps the connections that name it, and gets no new ones', () => {
    const rig = rigOf();
    const backends = [...withIds(['b1'], ', state: draining'), ...withIds(['b2', 'b3'])];
    rig.takeOver({ service: SERVICE, backends });
    for (const client of CLIENTS) {
      assert.equal(rig.backendOf(rig.walk(packet(shortHeader(cidOf('b1')), client))), 'b1');
    }
    for (const { port } of CLIENTS) {
      const fresh = { source: '203.0.113.5', port };
      assert.notEqual(rig.backendOf(rig.walk(packet(longHeader('f00000000000000001'), fresh))), 'b1');
    }
  });

  test('what names a removed one goes as any datagram, to those that are left; a new one is found', () => {
    const rig = rigOf();
    for (const client of CLIENTS) rig.walk(packet(shortHeader(cidOf('b1')), client));
    const routed = rig.count(SERVICE_QUIC_ROUTED);
    const added = backendYaml('b4', 'serverId: "444444"');
    rig.takeOver({ service: SERVICE, backends: [added, ...withIds(['b3', 'b2'])] });
    for (const client of CLIENTS) {
      const backend = rig.backendOf(rig.walk(packet(shortHeader(cidOf('b1')), client)));
      assert.ok(backend !== undefined && backend !== 'b1', backend);
    }
    assert.equal(rig.count(SERVICE_QUIC_ROUTED), routed);
    assert.equal(rig.backendOf(rig.walk(packet(shortHeader('13444444aabbccdd')))), 'b4');
    assert.equal(rig.backendOf(rig.walk(packet(shortHeader(cidOf('b2'))))), 'b2');
  });
});

test('what is not routable is a datagram as any other: by the table, by the hash', () => {
  const rig = rigOf();
  const plain = createRig({ service: 'protocol: udp' });
  const unroutable = [
    longHeader('f0c4605e4504cc4f'),
    shortHeader('07c4605f4504cc4f'),
    shortHeader('27c4605e4504cc4f'),
    longHeader('07c4605e4504cc'),
    [0x41],
    [],
  ];
  for (const client of CLIENTS) {
    for (const payload of unroutable) {
      assert.equal(
        rig.backendOf(rig.walk(packet(payload, client))),
        plain.backendOf(plain.walk(packet(payload, client))),
      );
    }
  }
  assert.equal(rig.count(SERVICE_QUIC_ROUTED), 0);
  assert.equal(rig.count(SERVICE_HITS), plain.count(SERVICE_HITS));
});
