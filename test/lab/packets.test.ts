/**
 * From frames to packets: frames laid out byte by byte from RFC 791, RFC 9293 and RFC 2003, and frames of any bytes.
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
      .tuple(fc.uint8Array({ maxLength: 90 }), fc.constantFrom('06', '04'), fc.nat(0xff))
      .map(([rest, protocol, first]) =>
        Uint8Array.of(...bytes(ETHERNET, ip(protocol, 80, 'c6120002c6120a01')), first, ...rest),
      );
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
