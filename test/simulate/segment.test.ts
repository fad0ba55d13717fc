/**
 * The frames of the simulation, byte for byte against a builder that knows nothing of wire/.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decapsulate, frameDestination, readFrame, type Segment, writeFrame } from '../../simulate/segment.ts';
import { parseIpv4 } from '../../wire/address.ts';
import { addressWord } from '../../wire/ipv4.ts';
import { ACK, PSH, RST, SYN } from '../../wire/tcp.ts';
import { bytesOfMac, CLIENT_MAC, ethernetFrame, ipv4Packet, OWN_MAC, tcpFrame, tcpPacket } from '../packets.ts';

const CLIENT = '192.0.2.7';
const VIP = '198.18.10.1';
const wordOf = (address: string): number => addressWord(parseIpv4(address)!);

const SEGMENT: Segment = {
  source: wordOf(CLIENT),
  destination: wordOf(VIP),
  sourcePort: 40_000,
  destinationPort: 80,
  sequence: 0xfffffffe,
  acknowledgement: 0x01020304,
  flags: PSH | ACK,
  payload: 'GET / HTTP/1.1\r\n\r\n',
};

const write = (segment: Segment): Uint8Array =>
  writeFrame(segment, Uint8Array.from(bytesOfMac(CLIENT_MAC)), Uint8Array.from(bytesOfMac(OWN_MAC)));

test('a segment becomes the frame that the RFCs describe, and comes back', () => {
  for (const change of [{}, { payload: 'odd' }, { payload: '' }, { flags: SYN, acknowledgement: 0, payload: '' }]) {
    const segment = { ...SEGMENT, ...change };
    const frame = write(segment);
    const flags = segment.flags === SYN ? 'S' : 'PA';
    const { sequence, acknowledgement, payload } = segment;
    assert.deepEqual(frame, tcpFrame({ sequence, acknowledgement, payload, flags, ip: { ttl: 64, id: 0 } }));
    assert.deepEqual(readFrame(frame), segment);
    assert.equal(frameDestination(frame), wordOf(VIP));
  }
});

test('an RST announces no window, as kernels write it', () => {
  const frame = write({ ...SEGMENT, flags: RST, acknowledgement: 0, payload: '' });
  assert.deepEqual(frame, tcpFrame({ sequence: SEGMENT.sequence, flags: 'R', window: 0, ip: { ttl: 64, id: 0 } }));
});

test('a tunnelled frame leads to the outer address and holds the inner packet', () => {
  const inner = tcpPacket({ payload: 'x' });
  const outer = ipv4Packet('198.18.1.1', '198.18.2.1', inner, { protocol: 4 });
  const frame = ethernetFrame(OWN_MAC, CLIENT_MAC, 0x0800, outer);
  assert.equal(frameDestination(frame), wordOf('198.18.2.1'));
  assert.deepEqual(decapsulate(frame), ethernetFrame(OWN_MAC, CLIENT_MAC, 0x0800, inner));
});

test('one wrong bit anywhere behind the Ethernet header, and the receiver drops it', () => {
  const frame = write(SEGMENT);
  for (let bit = 14 * 8; bit < frame.length * 8; bit++) {
    const damaged = frame.slice();
    damaged[bit >> 3] ^= 1 << (bit & 7);
    assert.equal(readFrame(damaged), undefined, `bit ${bit}`);
  }
});
