/**
 * lb/service-index.ts beside a naive model: a list of services, searched from the narrowest to the widest.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import {
  buildServiceIndex,
  findService,
  findService6,
  firstService,
  NO_SERVICE,
  type ServiceIndex,
  type ServiceKey,
  soleService,
  VIP_ONLY,
  vipRow,
  vipRow6,
} from '../../lb/service-index.ts';

const TCP = 6;
const UDP = 17;

/** The two bytes of a port, loaded little-endian. */
function packetPort(port: number): number {
  return new DataView(Uint8Array.of(port >> 8, port & 255).buffer).getUint16(0, true);
}

function look(index: ServiceIndex, vip: readonly number[], port: number, protocol: number): number {
  return vip.length === 1
    ? findService(index, vip[0], packetPort(port), protocol)
    : findService6(index, vip[0], vip[1], vip[2], vip[3], packetPort(port), protocol);
}

function modelOf(keys: readonly ServiceKey[], vip: readonly number[], port: number, protocol: number): number {
  const ofVip = [...keys.entries()].filter(([, key]) => key.vip.join() === vip.join());
  if (ofVip.length === 0) return NO_SERVICE;
  const found = ofVip
    .filter(([, key]) => key.protocol === protocol && key.firstPort <= port && port <= key.lastPort)
    .sort(([, a], [, b]) => a.lastPort - a.firstPort - (b.lastPort - b.firstPort));
  return found[0]?.[0] ?? VIP_ONLY;
}

const V4 = [[0x0a12c6c6 | 0], [0x0112c6c6 | 0], [0x00000120]];
// The third looks like the third of the others, but for its family.
const V6 = [
  [0xb80d0120 | 0, 0, 0, 0x01000000],
  [0xb80d0120 | 0, 0, 0, 0x02000000],
  [0x00000120, 0, 0, 0],
];

describe('findService', () => {
  test('a single port comes before a range, a narrow range before a wide one', () => {
    const at = (firstPort: number, lastPort: number, protocol = TCP): ServiceKey => ({
      vip: V4[0],
      firstPort,
      lastPort,
      protocol,
    });
    const index = buildServiceIndex([at(0, 65_535), at(8000, 8999), at(80, 80), at(53, 53, UDP)]);
    assert.deepEqual(
      [80, 8000, 8999, 9000, 0, 65_535].map((port) => look(index, V4[0], port, TCP)),
      [2, 1, 1, 0, 0, 0],
    );
    assert.deepEqual([look(index, V4[0], 53, UDP), look(index, V4[0], 54, UDP)], [3, VIP_ONLY]);
    assert.equal(look(index, V4[1], 80, TCP), NO_SERVICE);
  });

  test('like the model, for any services of both families', () => {
    const vip = fc.constantFrom(...V4, ...V6);
    const port = fc.constantFrom(0, 1, 79, 80, 81, 443, 7999, 8000, 8500, 9000, 65_535);
    const protocol = fc.constantFrom(TCP, UDP);
    const service = fc.record({ vip, a: port, b: port, protocol }).map(({ a, b, ...rest }) => ({
      ...rest,
      firstPort: Math.min(a, b),
      lastPort: Math.max(a, b),
    }));
    const width = ({ firstPort, lastPort }: ServiceKey): number => lastPort - firstPort;
    // Two of the same width that overlap are the configuration's to refuse.
    const distinct = fc.uniqueArray(service, { selector: (key) => `${key.vip} ${key.protocol} ${width(key)}` });
    fc.assert(
      fc.property(distinct, vip, port, protocol, (keys, wantedVip, wantedPort, wantedProtocol) => {
        const index = buildServiceIndex(keys);
        const expected = modelOf(keys, wantedVip, wantedPort, wantedProtocol);
        assert.equal(look(index, wantedVip, wantedPort, wantedProtocol), expected);
        const ofVip = [...keys.entries()].filter(([, key]) => key.vip.join() === wantedVip.join());
        const [a, b = 0, c = 0, d = 0] = wantedVip;
        const row = wantedVip.length === 1 ? vipRow(index, a) : vipRow6(index, a, b, c, d);
        assert.equal(row !== NO_SERVICE, ofVip.length > 0);
        if (ofVip.length === 0) return;
        assert.equal(firstService(index, row), ofVip[0]?.[0]);
        const those = ofVip.filter(([, key]) => key.protocol === wantedProtocol);
        assert.equal(soleService(index, row, wantedProtocol), those.length === 1 ? those[0]?.[0] : NO_SERVICE);
      }),
      { numRuns: 2000 },
    );
  });
});
