/**
 * Routing by connection id, against the vectors that the QUIC-LB drafts publish for their unencrypted layout.
 *
 * Draft 21 (appendix "Load Balancer Test Vectors") has two. Its second is misprinted: the nonce, 3487d970b, and the
 * connection id, 20a350d28b4203487d970b, are no whole octets of the lengths that the draft allows, as somebody printed
 * octets without their leading zeros; below it stands with them. Drafts 05 to 08 have 25 of the same layout, with a first octet
 * of which two bits are the rotation, all of them 0, and with nonces shorter than the four bytes that were asked later; so
 * they are filled up here behind what they say.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { createQuicRoutes, findServer, NO_SERVER, type QuicLbConfig } from '../../lb/quic-lb.ts';
import { viewAtEnd } from '../icmp-packets.ts';

const bytesOfHex = (hex: string): number[] => [...Buffer.from(hex, 'hex')];

const DRAFT_21 = [
  { rotation: 0, serverId: 'c4605e', nonce: '4504cc4f', cid: '07c4605e4504cc4f' },
  { rotation: 1, serverId: '350d28b420', nonce: '3487d9700b', cid: '2a350d28b4203487d9700b' },
];

/** Connection id and server id. */
const DRAFT_08: readonly (readonly [string, string])[] = [
  ['01be', 'be'],
  ['0221b7', '21'],
  ['03cadfd8', 'ca'],
  ['041e0c9328', '1e'],
  ['050c8f6d9129', '0c'],
  ['02aab0', 'aab0'],
  ['3ac4b106', 'c4b1'],
  ['08bd3cf4a0', 'bd3c'],
  ['3771d59502d6', '71d5'],
  ['1d57dee8b888f3', '57de'],
  ['0336c976', '36c976'],
  ['04aa291806', 'aa2918'],
  ['0586897bd8b6', '86897b'],
  ['063625bcae4de0', '3625bc'],
  ['07966fb1f3cb535f', '966fb1'],
  ['185172fab8', '5172fab8'],
  ['2eb7ff2c9297', 'b7ff2c92'],
  ['14f3eb3dd3edbe', 'f3eb3dd3'],
  ['3feb31cece744b74', 'eb31cece'],
  ['06b9f34c353ce23bb5', 'b9f34c35'],
  ['05bdcd8d0b1d', 'bdcd8d0b1d'],
  ['06aee673725a63', 'aee673725a'],
  ['07bbf338ddbf37f4', 'bbf338ddbf'],
  ['08fbbca64c26756840', 'fbbca64c26'],
  ['09e7737c495b93894e34', 'e7737c495b'],
];

/** RFC 8999, section 5: a long header says how long its connection ids are, a short one does not. */
const longPacket = (cid: readonly number[]): number[] => [0xc3, 0, 0, 0, 1, cid.length, ...cid, 0, 0, 9, 9, 9];
const shortPacket = (cid: readonly number[]): number[] => [0x41, ...cid, 9, 9, 9];

function route(config: QuicLbConfig | readonly QuicLbConfig[], packet: readonly number[]): number {
  const configs = Array.isArray(config) ? config : [config as QuicLbConfig];
  return findServer(createQuicRoutes(configs, 99), viewAtEnd(packet, 3), 3, packet.length);
}

const configOf = (rotation: number, serverId: string, nonceLength: number, more = {}): QuicLbConfig => ({
  rotation,
  serverIdLength: serverId.length / 2,
  nonceLength,
  servers: [{ serverId: Uint8Array.from(bytesOfHex(serverId)), backend: 7 }],
  ...more,
});

describe('the vectors of draft 21', () => {
  for (const { rotation, serverId, nonce, cid } of DRAFT_21) {
    test(cid, () => {
      const nonceLength = nonce.length / 2;
      for (const encodesLength of [false, true]) {
        const config = configOf(rotation, serverId, nonceLength, { encodesLength });
        assert.equal(route(config, longPacket(bytesOfHex(cid))), 7);
        assert.equal(route(config, shortPacket(bytesOfHex(cid))), 7);
      }
      const other = serverId.replace(/.$/, (digit) => (digit === '0' ? '1' : '0'));
      assert.equal(route(configOf(rotation, other, nonceLength), longPacket(bytesOfHex(cid))), NO_SERVER);
      assert.equal(route(configOf(rotation + 1, serverId, nonceLength), longPacket(bytesOfHex(cid))), NO_SERVER);
    });
  }
});

test('the vectors of draft 08', () => {
  for (const [cid, serverId] of DRAFT_08) {
    const filled = [...bytesOfHex(cid), 1, 2, 3, 4];
    const config = configOf(filled[0] >> 5, serverId, 4);
    assert.equal(route(config, longPacket(filled)), 7, cid);
    assert.equal(route(config, shortPacket(filled)), 7, cid);
  }
});

test('any server of any configuration is found by what a server writes', () => {
  const serverIds = fc.integer({ min: 1, max: 15 }).chain((length) =>
    fc.record({
      length: fc.constant(length),
      nonceLength: fc.integer({ min: 4, max: 19 - length }),
      ids: fc.uniqueArray(fc.array(fc.nat(255), { minLength: length, maxLength: length }), {
        minLength: 1,
        maxLength: 40,
        selector: (id) => id.join(),
      }),
    }),
  );
  fc.assert(
    fc.property(fc.array(serverIds, { minLength: 1, maxLength: 7 }), fc.integer(), (list, seed) => {
      const configs = list.map(({ length, nonceLength, ids }, rotation) => ({
        rotation,
        serverIdLength: length,
        nonceLength,
        servers: ids.map((id, i) => ({ serverId: Uint8Array.from(id), backend: rotation * 100 + i })),
      }));
      const routes = createQuicRoutes(configs, seed);
      for (const { rotation, nonceLength, servers } of configs) {
        for (const { serverId, backend } of servers) {
          const cid = [(rotation << 5) | 21, ...serverId, ...Array(nonceLength).fill(0x5a)];
          for (const packet of [longPacket(cid), shortPacket(cid)]) {
            assert.equal(findServer(routes, viewAtEnd(packet), 0, packet.length), backend);
          }
        }
      }
    }),
    { numRuns: 50 },
  );
});

describe('a connection id that names nobody', () => {
  const config = configOf(2, 'abcd', 4, { servers: [{ serverId: Uint8Array.of(0xab, 0xcd), backend: 0 }] });
  const encoding = { ...config, encodesLength: true };
  const cid = [0x46, 0xab, 0xcd, 1, 2, 3, 4];

  test('the same with everything right names backend 0', () => {
    assert.deepEqual([route(config, longPacket(cid)), route(encoding, longPacket(cid))], [0, 0]);
    assert.deepEqual([route(config, shortPacket(cid)), route(encoding, shortPacket(cid))], [0, 0]);
  });

  for (const [what, found] of [
    ['without configurations', route([], longPacket(cid))],
    ['of rotation 7', route(config, longPacket(cid.with(0, 0xe6)))],
    ['of a rotation without configuration', route(config, longPacket(cid.with(0, 0x66)))],
    ['of no server', route(config, longPacket(cid.with(2, 0xce)))],
    ['too short in a long header', route(config, longPacket(cid.slice(0, 6)))],
    ['empty in a long header', route(config, longPacket([]))],
    ['longer than the packet', route(config, longPacket(cid).slice(0, 12))],
    ['too short in a short header', route(config, [0x41, ...cid.slice(0, 6)])],
    ['in nothing', route(config, [])],
    ['that says another length', route(encoding, longPacket(cid.with(0, 0x47)))],
    ['that says less than its length', route(encoding, longPacket([...cid, 5]))],
    ['that says a length below its parts', route(encoding, shortPacket(cid.with(0, 0x45)))],
    ['that says a length beyond the packet', route(encoding, [0x41, ...cid.with(0, 0x47)])],
  ] as const) {
    test(what, () => assert.equal(found, NO_SERVER));
  }

  test('of rotation 1 is not the one of rotation 2 with the same server id', () => {
    const other = { ...config, rotation: 1, servers: [{ serverId: Uint8Array.of(0xab, 0xcd), backend: 1 }] };
    assert.equal(route([config, other], longPacket(cid)), 0);
    assert.equal(route([config, other], longPacket(cid.with(0, 0x26))), 1);
  });
});

describe('what the draft does not allow is refused', () => {
  const server = { serverId: Uint8Array.of(1), backend: 0 };
  const good = { rotation: 0, serverIdLength: 1, nonceLength: 4, servers: [server] };
  for (const [configs, message] of [
    [[{ ...good, rotation: 7 }], 'rotation: expected 0 to 6, got 7'],
    [[{ ...good, serverIdLength: 16 }], 'serverIdLength: expected 1 to 15, got 16'],
    [[{ ...good, nonceLength: 3 }], 'nonceLength: expected 4 to 18, got 3'],
    [[{ ...good, serverIdLength: 15, nonceLength: 5 }], 'nonceLength: expected 4, got 5'],
    [[good, good], 'rotation: 0 stands twice'],
    [[{ ...good, servers: [server, server] }], 'serverId: 01 stands twice'],
    [[{ ...good, serverIdLength: 2 }], 'serverId, bytes: expected 2, got 1'],
    [[{ ...good, servers: [{ ...server, backend: -1 }] }], 'backend: expected 0 to 2147483647, got -1'],
  ] as const) {
    test(message, () => assert.throws(() => createQuicRoutes(configs, 0), new RangeError(message)));
  }
});
