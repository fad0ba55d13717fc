/** UDP headers against the naive builder of test/packets6.ts. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import * as ipv4 from '../../wire/ipv4.ts';
import * as ipv6 from '../../wire/ipv6.ts';
import * as udp from '../../wire/udp.ts';
import { ipv4Packet } from '../packets.ts';
import { ipv6Packet, udpDatagram } from '../packets6.ts';

const V4 = ['192.0.2.7', '198.18.10.1'] as const;
const V6 = ['2001:db8::7', '2001:db8:10::1'] as const;

const viewOf = (bytes: readonly number[]): DataView => new DataView(Uint8Array.from(bytes).buffer);

test('fields of a header', () => {
  const datagram = udpDatagram(...V4, { sourcePort: 0xc001, destinationPort: 443, payload: 'query', checksum: 0x8fab });
  const view = viewOf([0xa5, 0xa5, ...datagram]);
  assert.equal(udp.sourcePort(view, 2), 0xc001);
  assert.equal(udp.destinationPort(view, 2), 443);
  assert.equal(udp.ports(view, 2), Buffer.from(datagram).readInt32LE(0));
  assert.equal(udp.lengthField(view, 2), 13);
  assert.equal(udp.checksumField(view, 2), 0x8fab);
});

test('a written header, without a checksum and with it', () => {
  const port = fc.integer({ min: 0, max: 0xffff });
  const payloads = fc.string({ maxLength: 40 });
  fc.assert(
    fc.property(port, port, payloads, fc.boolean(), (sourcePort, destinationPort, payload, six) => {
      const fields = { sourcePort, destinationPort, payload };
      const [source, destination] = six ? V6 : V4;
      const expected = udpDatagram(source, destination, fields);
      const build = six ? ipv6Packet : ipv4Packet;
      const headerLength = six ? 40 : 20;
      const view = viewOf(build(source, destination, [...Array(8).fill(0xa5), ...expected.slice(8)], { protocol: 17 }));
      udp.writeHeader(view, headerLength, sourcePort, destinationPort, expected.length);
      assert.equal(udp.checksumField(view, headerLength), udp.NO_CHECKSUM);

      const sum = six
        ? ipv6.pseudoHeaderSum(view, 0, 17, expected.length)
        : ipv4.pseudoHeaderSum(view, 0, expected.length);
      view.setUint16(headerLength + 6, 0x1234);
      udp.setChecksum(view, headerLength, expected.length, sum);
      assert.deepEqual([...new Uint8Array(view.buffer, headerLength)], expected);
    }),
  );
});

test('a checksum of 0 is sent as 0xffff', () => {
  // Source port, length and the pseudo-header’s 24 make up 0xffff.
  const datagram = [0xff, 0xdf, 0, 0, 0, 8, 0, 0];
  const view = viewOf(datagram);
  udp.setChecksum(view, 0, 8, 24);
  assert.equal(udp.checksumField(view, 0), 0xffff);
});
