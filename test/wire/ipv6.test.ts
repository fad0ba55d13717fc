/** IPv6 headers and the walk over extension headers, against the naive builder of test/packets6.ts and RFC 8200's rules. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import * as ipv6 from '../../wire/ipv6.ts';
import { internetChecksum, tcpSegment } from '../packets.ts';
import { bytesOfIp6, type Ipv6Fields, ipv6Packet, pseudoHeader, tcp6Packet } from '../packets6.ts';

const SOURCE = '2001:db8:1:2:3:4:5:6';
const DESTINATION = '2001:db8:ffff::8a2e:370:7334';
const PAYLOAD = [1, 2, 3, 4, 5, 6, 7, 8];

/** The packet some bytes into a buffer filled with other ones, as every packet lies. */
function viewAt(offset: number, packet: readonly number[]): DataView {
  const bytes = new Uint8Array(offset + packet.length + 100).fill(0xa5);
  bytes.set(packet, offset);
  return new DataView(bytes.buffer);
}

const word = (bytes: readonly number[], k: number): number => Buffer.from(bytes).readInt32LE(4 * k);

test('fields of a header', () => {
  const fields = { trafficClass: 0xb9, flowLabel: 0xfedcb, hopLimit: 57, protocol: 17 };
  const view = viewAt(6, ipv6Packet(SOURCE, DESTINATION, PAYLOAD, fields));
  assert.equal(ipv6.version(view, 6), 6);
  assert.equal(ipv6.trafficClass(view, 6), 0xb9);
  assert.equal(ipv6.flowLabel(view, 6), 0xfedcb);
  assert.equal(ipv6.payloadLength(view, 6), 8);
  assert.equal(ipv6.nextHeader(view, 6), 17);
  assert.equal(ipv6.hopLimit(view, 6), 57);
  for (let k = 0; k < 4; k++) {
    assert.equal(ipv6.sourceWord(view, 6, k), word(bytesOfIp6(SOURCE), k));
    assert.equal(ipv6.destinationWord(view, 6, k), word(bytesOfIp6(DESTINATION), k));
  }
});

test('a written header is the builder’s, and nothing beside it is touched', () => {
  const octet = fc.integer({ min: 0, max: 255 });
  const label = fc.integer({ min: 0, max: 0xf_ffff });
  const length = fc.integer({ min: 0, max: 0xffff });
  fc.assert(
    fc.property(octet, label, length, octet, octet, (trafficClass, flowLabel, payloadLength, protocol, hopLimit) => {
      const fields = { trafficClass, flowLabel, payloadLength, protocol, hopLimit };
      const expected = viewAt(9, ipv6Packet(SOURCE, DESTINATION, [], fields));
      const addresses = [...bytesOfIp6(SOURCE), ...bytesOfIp6(DESTINATION)];
      const words = Int32Array.from({ length: 10 }, (_, i) => (i < 2 ? -1 : word(addresses, i - 2)));
      const written = viewAt(9, Array(40).fill(0xa5));
      // Bits above the label's 20 are cut off.
      const longLabel = flowLabel | (trafficClass << 20);
      ipv6.writeHeader(written, 9, trafficClass, longLabel, payloadLength, protocol, hopLimit, words, 2);
      assert.deepEqual(written, expected);
    }),
  );
});

test('addresses set word by word', () => {
  const packet = ipv6Packet(SOURCE, DESTINATION, PAYLOAD);
  const view = viewAt(2, packet);
  for (let k = 0; k < 4; k++) {
    const source = ipv6.sourceWord(view, 2, k);
    ipv6.setSourceWord(view, 2, k, ipv6.destinationWord(view, 2, k));
    ipv6.setDestinationWord(view, 2, k, source);
  }
  assert.deepEqual(view, viewAt(2, ipv6Packet(DESTINATION, SOURCE, PAYLOAD)));
});

test('the sum of the pseudo-header', () => {
  const packet = tcp6Packet({ source: SOURCE, destination: DESTINATION, payload: 'odd' });
  const pseudo = pseudoHeader(SOURCE, DESTINATION, 6, packet.length - 40);
  const sum = ipv6.pseudoHeaderSum(viewAt(4, packet), 4, 6, packet.length - 40);
  assert.equal(0xffff - (sum % 0xffff), internetChecksum(pseudo));
  assert.equal(internetChecksum([...pseudo, ...packet.slice(40)]), 0, 'the builder itself is right');
});

/** An extension header without its first byte. */
const options = (length: number): number[] => [(length - 8) / 8, ...Array(length - 2).fill(0)];
const authentication = (words: number): number[] => [words - 2, ...Array(4 * words - 2).fill(7)];
const fragment = (place: number, more: 0 | 1): number[] => [
  0,
  (place * 8) >> 8,
  ((place * 8) & 255) | more,
  0,
  0,
  0,
  42,
];

suite('extension headers', () => {
  interface Walked {
    l4: number;
    protocol: number;
    fragment: boolean;
    later: boolean;
  }

  function walk(packet: readonly number[], cut = 0): Walked | 'damaged' {
    const answer = ipv6.walkExtensions(viewAt(14, packet), 14, 14 + packet.length - cut);
    if (answer === ipv6.DAMAGED_EXTENSIONS) return 'damaged';
    assert.ok(answer >= 0 && answer < 2 ** 30, 'a small integer');
    return {
      l4: ipv6.walkedL4(answer),
      protocol: ipv6.walkedProtocol(answer),
      fragment: (answer & ipv6.WALKED_FRAGMENT) !== 0,
      later: (answer & ipv6.WALKED_LATER_FRAGMENT) !== 0,
    };
  }

  const segment = tcpSegment('0.0.0.0', '0.0.0.0', {});
  const packet = (extensions: Ipv6Fields['extensions'] = [], protocol = 6, payload: readonly number[] = segment) =>
    ipv6Packet(SOURCE, DESTINATION, payload, { protocol, extensions });
  const whole = { fragment: false, later: false };
  const MANY = Array.from({ length: 8 }, (): [number, number[]] => [60, options(8)]);

  const rows: [string, number[], Walked | 'damaged'][] = [
    ['none', packet(), { l4: 40, protocol: 6, ...whole }],
    ['none, UDP', packet([], 17), { l4: 40, protocol: 17, ...whole }],
    ['hop-by-hop', packet([[0, options(8)]]), { l4: 48, protocol: 6, ...whole }],
    ['hop-by-hop of 2048 bytes', packet([[0, options(2048)]]), { l4: 2088, protocol: 6, ...whole }],
    ['routing', packet([[43, options(24)]]), { l4: 64, protocol: 6, ...whole }],
    ['destination options', packet([[60, options(16)]]), { l4: 56, protocol: 6, ...whole }],
    [
      'authentication, which counts in other units',
      packet([[51, authentication(6)]]),
      { l4: 64, protocol: 6, ...whole },
    ],
    [
      'the order that RFC 8200 recommends',
      packet(
        [
          [0, options(8)],
          [60, options(8)],
          [43, options(24)],
          [51, authentication(6)],
          [60, options(8)],
        ],
        58,
      ),
      { l4: 40 + 8 + 8 + 24 + 24 + 8, protocol: 58, ...whole },
    ],
    ['eight of them', packet(MANY), { l4: 104, protocol: 6, ...whole }],
    ['nine of them', packet([...MANY, [60, options(8)]]), 'damaged'],
    ['ESP, and nobody knows what follows', packet([[0, options(8)]], 50), { l4: 48, protocol: 50, ...whole }],
    ['no next header', packet([], 59, []), { l4: 40, protocol: 59, ...whole }],
    ['options and no next header', packet([[60, options(8)]], 59, []), { l4: 48, protocol: 59, ...whole }],
    ['mobility, which is nobody’s here', packet([], 135), { l4: 40, protocol: 135, ...whole }],
    [
      'hop-by-hop behind another',
      packet([
        [60, options(8)],
        [0, options(8)],
      ]),
      'damaged',
    ],
    [
      'the first fragment',
      packet([[44, fragment(0, 1)]], 6, PAYLOAD),
      { l4: 48, protocol: 6, fragment: true, later: false },
    ],
    [
      'a fragment in the middle',
      packet([[44, fragment(1, 1)]], 6, PAYLOAD),
      { l4: 48, protocol: 6, fragment: true, later: true },
    ],
    [
      'the last fragment',
      packet([[44, fragment(185, 0)]], 6, [1]),
      { l4: 48, protocol: 6, fragment: true, later: true },
    ],
    [
      'a later fragment whose bytes must not be walked',
      packet(
        [
          [0, options(8)],
          [44, fragment(2, 0)],
        ],
        60,
        [6, 255, 0],
      ),
      { l4: 56, protocol: 60, fragment: true, later: true },
    ],
    [
      'a first fragment with options behind',
      packet(
        [
          [44, fragment(0, 1)],
          [60, options(8)],
        ],
        17,
        PAYLOAD,
      ),
      { l4: 56, protocol: 17, fragment: true, later: false },
    ],
    ['an atomic fragment (RFC 6946)', packet([[44, fragment(0, 0)]]), { l4: 48, protocol: 6, ...whole }],
    [
      'a fragment of a fragment',
      packet(
        [
          [44, fragment(0, 0)],
          [44, fragment(0, 1)],
        ],
        6,
        PAYLOAD,
      ),
      'damaged',
    ],
    ['a fragment with more to come, not of whole 8 bytes', packet([[44, fragment(0, 1)]], 6, [1, 2, 3]), 'damaged'],
    [
      'a fragment that ends at 65535',
      packet([[44, fragment(8191, 0)]], 6, PAYLOAD.slice(1)),
      { l4: 48, protocol: 6, fragment: true, later: true },
    ],
    ['a fragment that ends at 65536', packet([[44, fragment(8191, 0)]], 6, PAYLOAD), 'damaged'],
    [
      'the same behind options',
      packet(
        [
          [0, options(8)],
          [44, fragment(8191, 0)],
        ],
        6,
        [1],
      ),
      'damaged',
    ],
    ['a length beyond the end', packet([[60, [255, 0, 0, 0, 0, 0, 0]]]), 'damaged'],
  ];
  for (const [name, bytes, expected] of rows) {
    test(name, () => assert.deepEqual(walk(bytes), expected));
  }

  test('headers that end with the packet, and one byte behind it', () => {
    for (const extension of [
      [60, options(16)],
      [51, authentication(4)],
      [44, fragment(0, 0)],
    ] as [number, number[]][]) {
      const bytes = packet([extension], 59, []);
      assert.deepEqual(walk(bytes), { l4: bytes.length, protocol: 59, ...whole });
      for (let cut = 1; cut < extension[1].length + 1; cut++)
        assert.equal(walk(bytes, cut), 'damaged', `${cut} bytes short`);
    }
    assert.deepEqual(walk(packet([], 59, [])), { l4: 40, protocol: 59, ...whole });
    assert.equal(walk(packet([], 59, []), 1), 'damaged', 'a cut fixed header');
  });

  test('no bytes make it read behind the end, or answer something impossible', () => {
    const kind = fc.constantFrom(0, 43, 44, 50, 51, 59, 60, 6, 17);
    const bytes = fc.array(fc.oneof(kind, fc.integer({ min: 0, max: 255 }), fc.constantFrom(0, 1)), { maxLength: 120 });
    fc.assert(
      fc.property(kind, bytes, (first, behind) => {
        const header = ipv6Packet(SOURCE, DESTINATION, behind, { protocol: first });
        // A view that ends with the packet throws at any read behind it.
        const answer = ipv6.walkExtensions(new DataView(Uint8Array.from(header).buffer), 0, header.length);
        if (answer === ipv6.DAMAGED_EXTENSIONS) return;
        assert.ok(ipv6.walkedL4(answer) >= 40 && ipv6.walkedL4(answer) <= header.length);
        const later = (answer & ipv6.WALKED_LATER_FRAGMENT) !== 0;
        if (!later) assert.ok(![0, 43, 44, 51, 60].includes(ipv6.walkedProtocol(answer)));
        assert.ok(!later || (answer & ipv6.WALKED_FRAGMENT) !== 0);
      }),
      { numRuns: 2000 },
    );
  });
});
