/** Encapsulation of both families in both, byte by byte against headers that a naive builder put together. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import {
  counterOf,
  createNextHops,
  ENCAP_L2,
  encapsulate,
  largestPacket,
  type NextHop,
  NO_LONGER_THERE,
  openRow,
  overhead,
  setNextHop,
} from '../../dsr/encap.ts';
import { COPY_TTL, ENCAP_GRE, ENCAP_GUE, ENCAP_IPIP, type Encapsulation, type Family } from '../../dsr/tunnel.ts';
import { bytesOfMac, CLIENT_MAC, ethernetFrame, OWN_MAC, tcpPacket } from '../packets.ts';
import { bytesOfAddress, bytesOfIp6, tcp6Packet } from '../packets6.ts';
import { familyOf, tunnelPacket, typeOf } from '../tunnels.ts';

const NEXT_HOP_MAC = '02:00:00:00:00:0b';
const SENDING_MAC = '02:00:00:00:00:0c';
const ROOM = 70;
const SOURCE = { 4: '198.18.1.10', 6: '2001:db8:1::10' } as const;
const BACKEND = { 4: '198.18.2.1', 6: '2001:db8:2::1' } as const;

const DEFAULTS: Encapsulation = {
  encap: ENCAP_IPIP,
  family: 4,
  ttl: 64,
  varySource: false,
  gue: { port: 6080, variant: 0 },
};

function hopTo(outer: Family, source: string = SOURCE[outer]): NextHop {
  return {
    mac: Uint8Array.from(bytesOfMac(NEXT_HOP_MAC)),
    ownMac: Uint8Array.from(bytesOfMac(SENDING_MAC)),
    source: Uint8Array.from(bytesOfAddress(source)),
    destination: Uint8Array.from(bytesOfAddress(BACKEND[outer])),
    mtu: 1500,
  };
}

/** What leaves for `packet`, which came in an Ethernet frame with some padding; everything around it must stay as it is. */
function send(packet: readonly number[], encapsulation: Encapsulation, hop: NextHop, hash: number): Uint8Array {
  const hops = createNextHops(3);
  openRow(hops, 1, 7);
  setNextHop(hops, 1, encapsulation, hop);
  const frame = ethernetFrame(OWN_MAC, CLIENT_MAC, typeOf(packet), packet);
  const memory = new Uint8Array(ROOM + frame.length + 30).fill(0xa5);
  memory.set(frame, ROOM);
  const grown = encapsulate(new DataView(memory.buffer), ROOM, packet.length, encapsulation.encap, hops, 1, hash);
  const start = ROOM - grown;
  assert.equal(grown, overhead(encapsulation, hop.destination.length === 4 ? 4 : 6));
  assert.ok(
    memory.subarray(0, start).every((byte) => byte === 0xa5),
    'bytes in front of the frame',
  );
  assert.ok(
    memory.subarray(ROOM + frame.length).every((byte) => byte === 0xa5),
    'bytes behind the frame',
  );
  return memory.subarray(start, ROOM + 14 + packet.length);
}

const sent = (packet: readonly number[]): Uint8Array =>
  ethernetFrame(NEXT_HOP_MAC, SENDING_MAC, typeOf(packet), packet);

test('l2 changes the MAC addresses, and keeps the EtherType and everything else', () => {
  for (const packet of [tcpPacket(), tcp6Packet()]) {
    const frame = send(packet, { ...DEFAULTS, encap: ENCAP_L2, family: familyOf(packet) }, hopTo(4), 1);
    assert.deepEqual(frame, sent(packet));
  }
});

/** Every field that an outer header takes over. */
const innerFields = fc.record({
  tos: fc.integer({ min: 0, max: 255 }),
  ttl: fc.integer({ min: 1, max: 255 }),
  id: fc.integer({ min: 0, max: 0xffff }),
  fragment: fc.constantFrom(0, 0x4000, 0x2000, 0x00b9, 0x60b9),
  payload: fc.string({ maxLength: 30 }),
});
type InnerFields = typeof innerFields extends fc.Arbitrary<infer Fields> ? Fields : never;

function innerPacket(family: Family, { tos, ttl, id, fragment, payload }: InnerFields): number[] {
  return family === 4
    ? tcpPacket({ payload, ip: { tos, ttl, id, fragment } })
    : tcp6Packet({ payload, ip: { trafficClass: tos, hopLimit: ttl, flowLabel: id } });
}

/** The address with its last two bytes mixed with the hash's first two, unless its end is then the backend's. */
function variedSource(outer: Family, hash: number): number[] {
  const bytes = bytesOfAddress(SOURCE[outer]);
  const last = bytes.length - 2;
  const varied = bytes.with(last, bytes[last] ^ ((hash >>> 16) & 255)).with(last + 1, bytes[last + 1] ^ (hash >>> 24));
  const end = (address: number[]) => address.slice(-4).join();
  return end(varied) === end(bytesOfAddress(BACKEND[outer])) ? bytes : varied;
}

const NAMES = { [ENCAP_IPIP]: 'ipip', [ENCAP_GRE]: 'gre', [ENCAP_GUE]: 'gue' } as const;

function expectedPacket(tunnel: Encapsulation, outer: Family, inner: number[], fields: InnerFields, hash: number) {
  const encap = NAMES[tunnel.encap as keyof typeof NAMES];
  const unsigned = hash >>> 0;
  return tunnelPacket(inner, {
    encap,
    source: addressText(
      tunnel.varySource && encap === 'ipip' ? variedSource(outer, hash) : bytesOfAddress(SOURCE[outer]),
    ),
    destination: BACKEND[outer],
    tos: fields.tos,
    ttl: tunnel.ttl === COPY_TTL ? fields.ttl : tunnel.ttl,
    ...(tunnel.family === 4 ? { id: fields.id, fragment: fields.fragment & 0x4000 } : { id: 0, fragment: 0x4000 }),
    flowLabel: Math.floor(unsigned / 2 ** 12),
    variant: tunnel.gue.variant,
    sourcePort: 0xc000 + Math.floor(unsigned / 2 ** 18),
    port: tunnel.gue.port,
  });
}

/** Bytes as text that the builders take. */
function addressText(bytes: readonly number[]): string {
  if (bytes.length === 4) return bytes.join('.');
  return Array.from({ length: 8 }, (_, i) => (bytes[2 * i] * 256 + bytes[2 * i + 1]).toString(16)).join(':');
}

suite('tunnels', () => {
  const kinds: [string, Partial<Encapsulation>][] = [
    ['ipip', { encap: ENCAP_IPIP }],
    ['ipip, varied source', { encap: ENCAP_IPIP, varySource: true }],
    ['gre', { encap: ENCAP_GRE, varySource: true }],
    ['gue', { encap: ENCAP_GUE }],
    ['gue, variant 1, a port of its own', { encap: ENCAP_GUE, gue: { port: 40_443, variant: 1 } }],
  ];
  const hashes = fc.oneof(fc.integer(), fc.constantFrom(0, -1, 1, 1 << 31, 0x0b03_0000, 0x1100_0000));
  const ttls = fc.constantFrom(64, COPY_TTL, 1, 255, 17);
  for (const [name, kind] of kinds) {
    for (const outer of [4, 6] as const) {
      for (const family of [4, 6] as const) {
        test(`${name}: IPv${family} in IPv${outer}`, () => {
          fc.assert(
            fc.property(innerFields, hashes, ttls, (fields, hash, ttl) => {
              const tunnel = { ...DEFAULTS, ...kind, family, ttl };
              const inner = innerPacket(family, fields);
              const frame = send(inner, tunnel, hopTo(outer), hash);
              assert.deepEqual(frame, sent(expectedPacket(tunnel, outer, inner, fields, hash)));
            }),
          );
        });
      }
    }
  }

  test('a varied source is never the backend’s own address', () => {
    // 198.18.1.10 and 198.18.2.1 differ by 03 and 0b; 2001:db8::3:10 and ::3:1 would by 00 and 11.
    for (const [outer, source, hash] of [
      [4, SOURCE[4], 0x0b03_0000],
      [6, '2001:db8:2::10', 0x1100_0000],
    ] as const) {
      const tunnel = { ...DEFAULTS, varySource: true };
      const at = outer === 4 ? 26 : 22;
      const sourceOf = (used: number) =>
        [...send(tcpPacket(), tunnel, hopTo(outer, source), used)].slice(at).slice(0, outer === 4 ? 4 : 16);
      assert.deepEqual(sourceOf(hash), bytesOfAddress(source));
      assert.notDeepEqual(sourceOf(hash ^ (1 << 16)), bytesOfAddress(source));
    }
  });
});

test('the overhead of each, and the largest packet that it leaves room for', () => {
  const rows: [Partial<Encapsulation>, Family, number][] = [
    [{ encap: ENCAP_L2 }, 4, 0],
    [{ encap: ENCAP_L2 }, 6, 0],
    [{ encap: ENCAP_IPIP }, 4, 20],
    [{ encap: ENCAP_IPIP }, 6, 40],
    [{ encap: ENCAP_GRE }, 4, 24],
    [{ encap: ENCAP_GRE }, 6, 44],
    [{ encap: ENCAP_GUE }, 4, 32],
    [{ encap: ENCAP_GUE }, 6, 52],
    [{ encap: ENCAP_GUE, gue: { port: 6080, variant: 1 } }, 4, 28],
    [{ encap: ENCAP_GUE, gue: { port: 6080, variant: 1 } }, 6, 48],
  ];
  for (const [kind, outer, expected] of rows) {
    const encapsulation = { ...DEFAULTS, ...kind };
    assert.equal(overhead(encapsulation, outer), expected);
    const hops = createNextHops(1);
    openRow(hops, 0, 0);
    setNextHop(hops, 0, encapsulation, hopTo(outer));
    assert.equal(largestPacket(hops, 0), 1500 - expected);
  }
});

test('a row before and after its backend has a next hop, and its neighbours', () => {
  const hops = createNextHops(3);
  assert.equal(largestPacket(hops, 1), NO_LONGER_THERE);
  openRow(hops, 1, 42);
  assert.equal(largestPacket(hops, 1), 0);
  setNextHop(hops, 1, DEFAULTS, hopTo(6));
  assert.equal(largestPacket(hops, 1), 1460);
  assert.equal(counterOf(hops, 1), 42);
  for (const row of [0, 2]) assert.equal(largestPacket(hops, row), NO_LONGER_THERE);
});

test('outer addresses of two families, or of none, are refused', () => {
  const hops = createNextHops(1);
  const mixed = { ...hopTo(4), destination: Uint8Array.from(bytesOfIp6(BACKEND[6])) };
  assert.throws(() => setNextHop(hops, 0, DEFAULTS, mixed), /4 and 16 bytes/);
  const none = { ...hopTo(4), source: new Uint8Array(6), destination: new Uint8Array(6) };
  assert.throws(() => setNextHop(hops, 0, DEFAULTS, none), RangeError);
});
