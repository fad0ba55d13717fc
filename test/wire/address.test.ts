/** IPv6 addresses as text and bytes: the examples of RFC 4291 and RFC 5952, and Node's own reading as a second opinion. */
import assert from 'node:assert/strict';
import { isIPv6 } from 'node:net';
import { test } from 'node:test';
import fc from 'fast-check';
import { formatAddress, formatIpv6, isIpv4Mapped, parseAddress, parseIpv6 } from '../../wire/address.ts';

const hex = (bytes: Uint8Array | undefined) => bytes && Buffer.from(bytes).toString('hex');

test('the examples of RFC 4291, 2.2', () => {
  const rows: [text: string, bytes: string][] = [
    ['ABCD:EF01:2345:6789:ABCD:EF01:2345:6789', 'abcdef0123456789abcdef0123456789'],
    ['2001:DB8:0:0:8:800:200C:417A', '20010db80000000000080800200c417a'],
    ['2001:DB8::8:800:200C:417A', '20010db80000000000080800200c417a'],
    ['FF01::101', 'ff010000000000000000000000000101'],
    ['::1', '00000000000000000000000000000001'],
    ['::', '00000000000000000000000000000000'],
    ['0:0:0:0:0:0:13.1.68.3', '0000000000000000000000000d014403'],
    ['::FFFF:129.144.52.38', '00000000000000000000ffff81903426'],
  ];
  for (const [text, bytes] of rows) assert.equal(hex(parseIpv6(text)), bytes, text);
});

test('the recommended text of RFC 5952, 4 and 5', () => {
  const rows: [text: string, canonical: string][] = [
    ['2001:0db8::0001', '2001:db8::1'],
    ['2001:db8:0:0:0:0:2:1', '2001:db8::2:1'],
    ['2001:db8::1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['2001:0:0:1:0:0:0:1', '2001:0:0:1::1'],
    ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['2001:DB8:aaaa:BBBB:cccc:DDDD:eeee:AAAA', '2001:db8:aaaa:bbbb:cccc:dddd:eeee:aaaa'],
    ['1:0:0:0:0:0:0:0', '1::'],
    ['0:0:0:0:0:0:0:0', '::'],
    ['0:0:0:0:0:ffff:c000:201', '::ffff:192.0.2.1'],
  ];
  for (const [text, canonical] of rows) assert.equal(formatAddress(parseAddress(text) ?? new Uint8Array(4)), canonical);
});

test('what is no address', () => {
  const rows = ['', ':', ':::', '1:2:3:4:5:6:7', '1:2:3:4:5:6:7:8:9', '1:2:3:4::5:6:7:8', '1::2::3', '12345::', 'g::'];
  rows.push(
    '1.2.3.4::',
    '::1.2.3',
    '::1.2.3.256',
    '::1.2.3.4:5',
    'fe80::1%eth0',
    '[::1]',
    ' ::1',
    '::1/64',
    ':1',
    '1:',
  );
  for (const text of rows) assert.equal(parseAddress(text), undefined, text);
});

test('only ::ffff:0:0/96 is IPv4-mapped', () => {
  const isMapped = (text: string) => isIpv4Mapped(parseAddress(text) as Uint8Array);
  assert.ok(isMapped('::ffff:1.2.3.4') && isMapped('::ffff:0:0'));
  for (const text of ['1.2.3.4', '::1.2.3.4', '::fffe:1.2.3.4', '1::ffff:1.2.3.4']) assert.ok(!isMapped(text), text);
});

test('any sixteen bytes come back from their text, which is the one that a URL has', () => {
  const group = fc.oneof(fc.constant([0, 0]), fc.tuple(fc.nat(255), fc.nat(255)));
  const addresses = fc.array(group, { minLength: 8, maxLength: 8 }).map((groups) => Uint8Array.from(groups.flat()));
  fc.assert(
    fc.property(addresses, (bytes) => {
      const text = formatIpv6(bytes);
      assert.deepEqual(parseIpv6(text), bytes);
      // The WHATWG writes the same text, mapped addresses aside.
      if (!isIpv4Mapped(bytes)) assert.equal(new URL(`http://[${text}]`).hostname, `[${text}]`);
    }),
  );
});

test('whatever Node takes for an IPv6 address is one, and nothing else', () => {
  const pieces = fc.constantFrom('::', ':', '0', '1', 'ab', 'FFFF', '00001', 'g', '1.2.3.4', '.', '255.255.255.255');
  fc.assert(
    fc.property(
      fc.array(pieces, { maxLength: 16 }).map((parts) => parts.join('')),
      (text) => {
        assert.equal(parseIpv6(text) !== undefined, isIPv6(text), text);
      },
    ),
    { numRuns: 5000 },
  );
});
