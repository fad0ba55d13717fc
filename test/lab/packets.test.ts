/**
 * From frames to packets: frames laid out byte by byte from RFC 791, RFC 8200, RFC 9293, RFC 2003, RFC 2784, RFC 2890 and
 * the draft of GUE, and frames of any bytes.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { flagNames, packetIdentity, parsePacket } from '../../lab/packets.ts';
import { ACK, FIN, PSH, RST, SYN } from '../../wire/tcp.ts';

const ETHERNET = '02000000000a 02000000000b 0800';
// 198.18.0.2:40001 to 198.18.10.1:80, sequence number 0x01020304, acknowledgement 0x0a0b0c0d, PSH and ACK.
const TCP = '9c41 0050 01020304 0a0b0c0d 50 18 0200 0000 0000';

function ip(protocol: string, payloadLength: number, addresses: string): string {
  return `45 00 ${(20 + payloadLength).toString(16).padStart(4, '0')} 0000 4000 40 ${protocol} 0000 ${addresses}`;
}

const ETHERNET6 = '02000000000a 02000000000b 86dd';

/** From 2001:db8::2 to 2001:db8:10::1. */
function ip6(next: string, payloadLength: number): string {
  const addresses = '20010db8000000000000000000000002 20010db8001000000000000000000001';
  return `60000000 ${payloadLength.toString(16).padStart(4, '0')} ${next} 40 ${addresses}`;
}

function bytes(...hex: string[]): Uint8Array {
  return Uint8Array.from(Buffer.from(hex.join('').replaceAll(' ', ''), 'hex'));
}

const seen = { host: 'lb', direction: 'out', timeMs: 12.5 } as const;
const request = Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n').toString('hex');
const requestLength = request.length / 2;
const inner = [ip('06', 20 + requestLength, 'c6120002 c6120a01'), TCP, request];

describe('parsePacket', () => {
  const expected = {
    ...seen,
    source: '198.18.0.2',
    sourcePort: 40001,
    destination: '198.18.10.1',
    destinationPort: 80,
    flags: PSH | ACK,
    sequence: 0x01020304,
    acknowledgement: 0x0a0b0c0d,
    payloadLength: requestLength,
    httpLine: 'GET / HTTP/1.1',
  };

  it('reads a TCP packet', () => {
    assert.deepEqual(parsePacket({ ...seen, bytes: bytes(ETHERNET, ...inner) }), expected);
  });

  it('reads the inner packet of a tunnel and keeps the outer addresses', () => {
    const outer = ip('04', 20 + 20 + requestLength, 'c612020a c6120202');
    assert.deepEqual(parsePacket({ ...seen, bytes: bytes(ETHERNET, outer, ...inner) }), {
      ...expected,
      tunnel: { kind: 'IPIP', source: '198.18.2.10', destination: '198.18.2.2' },
    });
  });

  it('reads IPv6, also behind extension headers', () => {
    const six = { ...expected, source: '2001:db8::2', destination: '2001:db8:10::1' };
    const tcpLength = 20 + requestLength;
    assert.deepEqual(parsePacket({ ...seen, bytes: bytes(ETHERNET6, ip6('06', tcpLength), TCP, request) }), six);
    // Hop-by-hop options of 8 bytes, a routing header of 24, a first fragment's header, destination options of 16.
    const options = '2b 00 0104 00000000';
    const routing = `2c 02 00 00 ${'00'.repeat(20)}`;
    const fragment = '3c 00 0001 00000007';
    const destination = `06 01 ${'00'.repeat(14)}`;
    const headers = [options, routing, fragment, destination];
    assert.deepEqual(
      parsePacket({ ...seen, bytes: bytes(ETHERNET6, ip6('00', 56 + tcpLength), ...headers, TCP, request) }),
      six,
    );
    const later = headers.with(2, '3c 00 00f9 00000007');
    assert.equal(
      parsePacket({ ...seen, bytes: bytes(ETHERNET6, ip6('00', 56 + tcpLength), ...later, TCP) }),
      undefined,
    );
  });

  it('reads what every tunnel carries, of either family in either', () => {
    const six = [ip6('06', 20 + requestLength), TCP, request];
    const addresses6 = { source: '2001:db8::2', destination: '2001:db8:10::1' };
    const outer4 = { source: '198.18.2.10', destination: '198.18.2.2' };
    const between4 = (protocol: string, length: number) => ip(protocol, length, 'c612020a c6120202');
    const length4 = 40 + requestLength;
    const length6 = 60 + requestLength;
    const udp = 'c123 17c0 0000 0000';
    const rows: [kind: string, frame: string[], inner: object, outer: object][] = [
      ['IPIP', [ETHERNET6, ip6('29', length6), ...six], addresses6, addresses6],
      ['IPIP', [ETHERNET6, ip6('04', length4), ...inner], {}, addresses6],
      ['IPIP', [ETHERNET, between4('29', length6), ...six], addresses6, outer4],
      ['GRE', [ETHERNET, between4('2f', 4 + length4), '0000 0800', ...inner], {}, outer4],
      ['GRE', [ETHERNET6, ip6('2f', 4 + length6), '0000 86dd', ...six], addresses6, addresses6],
      ['GRE', [ETHERNET, between4('2f', 16 + length4), 'b000 0800', '00'.repeat(12), ...inner], {}, outer4],
      ['GUE', [ETHERNET, between4('11', 12 + length4), udp, '00 04 0000', ...inner], {}, outer4],
      ['GUE', [ETHERNET, between4('11', 16 + length6), udp, '01 29 0000 00000000', ...six], addresses6, outer4],
      ['GUE', [ETHERNET6, ip6('11', 8 + length4), udp, ...inner], {}, addresses6],
      ['GUE', [ETHERNET6, ip6('11', 8 + length6), udp, ...six], addresses6, addresses6],
    ];
    for (const [kind, frame, innerAddresses, outer] of rows) {
      const packet = parsePacket({ ...seen, bytes: bytes(...frame) });
      assert.deepEqual(packet, { ...expected, ...innerAddresses, tunnel: { kind, ...outer } }, frame.join(' '));
    }
    // UDP to another port, GUE's control messages, GRE of another version (PPTP).
    const no = [
      [ETHERNET, between4('11', 12 + length4), udp.replace('17c0', '17c1'), '00 04 0000', ...inner],
      [ETHERNET, between4('11', 12 + length4), udp, '20 04 0000', ...inner],
      [ETHERNET, between4('2f', 4 + length4), '0001 0800', ...inner],
    ];
    for (const frame of no) assert.equal(parsePacket({ ...seen, bytes: bytes(...frame) }), undefined, frame.join(' '));
  });

  it('reads DNS over UDP, also in a tunnel, and numbers it by its id', () => {
    const dns = {
      ...seen,
      source: '198.18.0.2',
      sourcePort: 40001,
      destination: '198.18.10.1',
      destinationPort: 53,
      flags: 0,
      sequence: 4711,
      acknowledgement: 0,
      payloadLength: 12,
      dnsLine: 'query 4711',
    };
    const message = '1267 0100 0001 0000 0000 0000';
    const query = [ip('11', 20, 'c6120002 c6120a01'), '9c41 0035 0014 0000', message];
    assert.deepEqual(parsePacket({ ...seen, bytes: bytes(ETHERNET, ...query) }), dns);
    assert.deepEqual(parsePacket({ ...seen, bytes: bytes(ETHERNET, ip('04', 40, 'c612020a c6120202'), ...query) }), {
      ...dns,
      tunnel: { kind: 'IPIP', source: '198.18.2.10', destination: '198.18.2.2' },
    });
    const answer = [ip6('11', 20), '0035 9c41 0014 0000', message.replace('0100', '8580')];
    assert.equal(parsePacket({ ...seen, bytes: bytes(ETHERNET6, ...answer) })?.dnsLine, 'answer 4711');
    const other = [ip('11', 20, 'c6120002 c6120a01'), '9c41 0036 0014 0000', message];
    assert.equal(parsePacket({ ...seen, bytes: bytes(ETHERNET, ...other) }), undefined);
  });

  it('takes the payload’s length from the packet, not from what was captured or padded', () => {
    const cut = bytes(ETHERNET, ...inner).subarray(0, 14 + 40 + 3);
    assert.equal(parsePacket({ ...seen, bytes: cut })?.payloadLength, requestLength);
    const padded = bytes(ETHERNET, ip('06', 20, 'c6120002 c6120a01'), TCP, '000000000000');
    assert.equal(parsePacket({ ...seen, bytes: padded })?.payloadLength, 0);
  });

  it('finds a response’s first line behind TCP options', () => {
    const response = Buffer.from('HTTP/1.1 200 OK\r\n').toString('hex');
    const tcp = TCP.replace('50 18', '80 18');
    const options = '0101080a 00000001 00000002';
    const frame = bytes(ETHERNET, ip('06', 32 + 17, 'c6120a01 c6120002'), tcp, options, response);
    const packet = parsePacket({ ...seen, bytes: frame });
    assert.equal(packet?.httpLine, 'HTTP/1.1 200 OK');
    assert.equal(packet?.payloadLength, 17);
  });

  it('passes over ARP, UDP and pieces of packets', () => {
    const others = [
      bytes(ETHERNET.replace('0800', '0806'), '0001 0800 0604 0001'),
      bytes(ETHERNET, ip('11', 8, 'c6120002 c6120a01'), '0035 0035 0008 0000'),
      bytes(ETHERNET, ...inner).subarray(0, 14 + 30),
      bytes(ETHERNET, ip('04', 20, 'c612020a c6120202')),
    ];
    for (const frame of others) assert.equal(parsePacket({ ...seen, bytes: frame }), undefined);
  });

  it('never throws', () => {
    const frame = fc.uint8Array({ maxLength: 120 });
    const likely = fc
      .tuple(
        fc.uint8Array({ maxLength: 90 }),
        fc.constantFrom('06', '04', '29', '2f', '11', '00', '2c'),
        fc.nat(0xff),
        fc.boolean(),
      )
      .map(([rest, protocol, first, isIpv6]) => {
        const headers = isIpv6
          ? bytes(ETHERNET6, ip6(protocol, 80))
          : bytes(ETHERNET, ip(protocol, 80, 'c6120002c6120a01'));
        return Uint8Array.of(...headers, first, ...rest);
      });
    fc.assert(fc.property(fc.oneof(frame, likely), (each) => void parsePacket({ ...seen, bytes: each })));
  });
});

describe('packetIdentity', () => {
  it('is the same inside and outside the tunnel, and another for another sequence number', () => {
    const packet = parsePacket({ ...seen, bytes: bytes(ETHERNET, ...inner) });
    const outer = ip('04', 20 + 20 + requestLength, 'c612020a c6120202');
    const tunnelled = parsePacket({ ...seen, host: 'b2', direction: 'in', bytes: bytes(ETHERNET, outer, ...inner) });
    assert.ok(packet !== undefined && tunnelled !== undefined);
    assert.equal(packetIdentity(packet), packetIdentity(tunnelled));
    assert.notEqual(packetIdentity(packet), packetIdentity({ ...packet, sequence: packet.sequence + 1 }));
  });
});

describe('flagNames', () => {
  it('speaks as people do', () => {
    const names = [SYN, SYN | ACK, ACK, FIN | ACK, RST, RST | ACK].map(flagNames);
    assert.deepEqual(names, ['SYN', 'SYN-ACK', 'ACK', 'FIN-ACK', 'RST', 'RST']);
  });
});
