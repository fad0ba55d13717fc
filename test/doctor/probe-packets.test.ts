/** The probe's packets, and what is read from answers as Linux and RFCs have them. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type Answer, readAnswer } from '../../doctor/probe-answer.ts';
import { echoRequest, frameOf, MARK_SEQUENCE, packetOf, TTL_OF_LAST_HOP } from '../../doctor/sample.ts';
import { ENCAP_GRE, ENCAP_GUE, ENCAP_IPIP } from '../../dsr/tunnel.ts';
import { SYN } from '../../wire/tcp.ts';
import { addressBytes } from '../io/two-hosts.ts';

/** The Internet checksum (RFC 1071), the naive way: 0 over what carries a right one. */
function sum(bytes: Uint8Array, start = 0): number {
  let total = start;
  for (let i = 0; i < bytes.length; i += 2) total += (bytes[i] << 8) | (bytes[i + 1] ?? 0);
  while (total > 0xffff) total = (total & 0xffff) + (total >>> 16);
  return ~total & 0xffff;
}

function pseudo(source: Uint8Array, destination: Uint8Array, protocol: number, length: number): number {
  return ~sum(Buffer.concat([source, destination, Buffer.of(0, protocol, length >> 8, length & 255)])) & 0xffff;
}

describe('packets', () => {
  const [client, vip] = [addressBytes('198.18.2.10'), addressBytes('198.18.10.1')];
  const [client6, vip6] = [addressBytes('2001:db8:2::10'), addressBytes('2001:db8:10::1')];
  const common = { sourcePort: 61_001, destinationPort: 80, flags: SYN, sequence: MARK_SEQUENCE };

  test('a SYN says "hush", has DF and right checksums', () => {
    const packet = Buffer.from(
      packetOf({ ...common, source: client, destination: vip, protocol: 'tcp', payloadLength: 1460 }),
    );
    assert.equal(packet.length, 1500);
    assert.equal(sum(packet.subarray(0, 20)), 0);
    assert.equal(sum(packet.subarray(20), pseudo(client, vip, 6, 1480)), 0);
    assert.equal(packet.toString('latin1', 24, 28), 'hush');
    assert.equal(packet.readUInt16BE(6), 0x4000);
    assert.equal(packet[33], 0x02);
  });

  test('a datagram has the mark as its text', () => {
    const packet = Buffer.from(
      packetOf({ ...common, source: client6, destination: vip6, protocol: 'udp', payloadLength: 13 }),
    );
    assert.equal(sum(packet.subarray(40), pseudo(client6, vip6, 17, 21)), 0);
    assert.equal(packet.toString('latin1', 48), 'hushlb doctor');
  });

  test('echo requests of both families have right checksums', () => {
    assert.equal(sum(echoRequest(client, vip, 7).subarray(20)), 0);
    assert.equal(sum(echoRequest(client6, vip6, 7).subarray(40), pseudo(client6, vip6, 58, 21)), 0);
  });

  const outer = {
    mac: new Uint8Array(6),
    ownMac: new Uint8Array(6),
    source: client,
    destination: addressBytes('198.18.2.1'),
  };
  /** A frame from a backend, its ICMP message quoting what came. */
  const icmpAbout = (type: number, code: number, quote: Uint8Array, word = 0) => {
    const ip = Buffer.from('4500000000000000400100000000000000000000', 'hex');
    ip.set(outer.destination, 12);
    ip.set(client, 16);
    const head = Buffer.of(type, code, 0, 0, 0, 0, word >> 8, word & 255);
    return Buffer.concat([Buffer.from('0000000000000000000000000800', 'hex'), ip, head, quote]);
  };
  const inside = packetOf({ ...common, source: client, destination: vip, protocol: 'tcp', payloadLength: 0 });
  const tunnels: [name: string, encap: number, variant: 0 | 1][] = [
    ['ipip', ENCAP_IPIP, 0],
    ['gre', ENCAP_GRE, 0],
    ['gue', ENCAP_GUE, 0],
    ['gue, variant 1', ENCAP_GUE, 1],
  ];
  for (const [name, encap, variant] of tunnels) {
    test(`an ICMP error finds the client's port inside ${name}, and does without where the quote is short`, () => {
      const encapsulation = { encap, family: 4 as const, ttl: 64, varySource: false, gue: { port: 6080, variant } };
      const quote = frameOf(inside, encapsulation, outer).subarray(14);
      const error = { kind: 'error', from: '198.18.2.1', refusal: 'protocol', mtu: null, towards: '198.18.2.1' };
      assert.deepEqual(readAnswer(icmpAbout(3, 2, quote)), { ...error, port: 61_001, identifier: null });
      const short = readAnswer(icmpAbout(3, 4, quote.subarray(0, 28), 1480));
      assert.deepEqual(
        [short?.kind === 'error' && short.refusal, short?.kind === 'error' && short.mtu],
        ['too-big', 1480],
      );
    });
  }

  test('a SYN-ACK is an answer, another segment none, an echo reply by its sender', () => {
    const answer = (flags: number) => {
      const bytes = packetOf({
        ...common,
        source: vip,
        destination: client,
        protocol: 'tcp',
        payloadLength: 0,
        sourcePort: 80,
        destinationPort: 61_001,
        flags,
      });
      return readAnswer(Buffer.concat([Buffer.from('0000000000000000000000000800', 'hex'), bytes]));
    };
    assert.deepEqual(answer(0x12), { kind: 'accepted', from: '198.18.10.1', port: 61_001, acknowledges: 0 });
    assert.equal(answer(0x14)?.kind, 'reset');
    assert.equal(answer(0x10), undefined);
    assert.deepEqual(readAnswer(icmpAbout(0, 0, Buffer.alloc(0))), { kind: 'echo', from: '198.18.2.1', identifier: 0 });
  });

  for (const [name, encap, variant] of tunnels) {
    test(`an ICMP error finds the identifier of a ping inside ${name}, and says that it went no further`, () => {
      const ping = echoRequest(client, vip, 0x1234, TTL_OF_LAST_HOP);
      assert.equal(ping[8], 1);
      const encapsulation = { encap, family: 4 as const, ttl: 64, varySource: false, gue: { port: 6080, variant } };
      const quote = frameOf(ping, encapsulation, outer).subarray(14);
      const { identifier, port } = readAnswer(icmpAbout(3, 2, quote)) as Answer & { kind: 'error' };
      assert.deepEqual([identifier, port], [0x1234, null]);
      assert.deepEqual(readAnswer(icmpAbout(11, 0, ping)), {
        kind: 'error',
        from: '198.18.2.1',
        refusal: 'ttl',
        mtu: null,
        towards: '198.18.10.1',
        port: null,
        identifier: 0x1234,
      });
    });
  }

  test("garbage of any length is nobody's answer", () => {
    const whole = icmpAbout(
      3,
      2,
      frameOf(
        inside,
        { encap: ENCAP_GUE, family: 4, ttl: 64, varySource: false, gue: { port: 6080, variant: 0 } },
        outer,
      ).subarray(14),
    );
    for (let length = 0; length < whole.length; length++)
      assert.doesNotThrow(() => readAnswer(whole.subarray(0, length)));
    assert.equal(readAnswer(whole.subarray(0, 33)), undefined);
  });
});
