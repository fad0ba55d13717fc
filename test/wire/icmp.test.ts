/** ICMP headers of both families against messages that were built byte by byte. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import * as icmp from '../../wire/icmp.ts';
import { CLIENT_6, icmpMessage, icmpV6Message, u16, u32, VIP_6, viewAtEnd } from '../icmp-packets.ts';
import { ipv6Packet } from '../packets6.ts';

const DATA = [1, 2, 3, 4, 5];

describe('ICMP', () => {
  test('reads type, code, checksum and MTU', () => {
    const view = viewAtEnd(icmpMessage(3, 4, [0, 0, ...u16(1480)], DATA));
    assert.deepEqual([icmp.type(view, 0), icmp.code(view, 0), icmp.nextHopMtu(view, 0)], [3, 4, 1480]);
    assert.equal(icmp.checksumField(view, 0), view.getUint16(2));
    assert.equal(icmp.isIntact(view, 0, 13, 0), true);
    view.setUint8(12, 99);
    assert.equal(icmp.isIntact(view, 0, 13, 0), false);
  });

  test('writes a header over what was there', () => {
    const view = viewAtEnd([...new Array(8).fill(0xa5), ...DATA]);
    icmp.writeHeader(view, 0, 13, 3, 4, 1480, 0);
    assert.deepEqual([...new Uint8Array(view.buffer)], icmpMessage(3, 4, [0, 0, ...u16(1480)], DATA));
  });

  test('a request of nothing but zeros becomes a reply whose checksum is right', () => {
    const view = viewAtEnd(icmpMessage(8, 0, [0, 0, 0, 0], [0, 0]));
    icmp.changeType(view, 0, icmp.ECHO_REQUEST, icmp.ECHO_REPLY);
    assert.deepEqual([...new Uint8Array(view.buffer)], [0, 0, 0xff, 0xff, 0, 0, 0, 0, 0, 0]);
  });

  test('errors are the five types that quote a packet', () => {
    const errors = Array.from({ length: 256 }, (_, type) => type).filter(icmp.isError);
    assert.deepEqual(errors, [3, 4, 5, 11, 12]);
  });
});

describe('ICMPv6', () => {
  const message = icmpV6Message(CLIENT_6, VIP_6, 2, 0, u32(0x0001_0001), DATA);
  const packet = ipv6Packet(CLIENT_6, VIP_6, message, { protocol: 58 });

  test('reads the MTU as a number of 32 bits, and sums the pseudo-header', () => {
    const view = viewAtEnd(packet);
    assert.equal(icmp.v6Mtu(view, 40), 0x0001_0001);
    assert.equal(icmp.isIntact(view, 40, 13, icmp.v6PseudoSum(view, 0, 13)), true);
    view.setUint8(23, 99);
    assert.equal(icmp.isIntact(view, 40, 13, icmp.v6PseudoSum(view, 0, 13)), false);
  });

  test('writes a header over what was there', () => {
    const view = viewAtEnd([...packet.slice(0, 40), ...new Array(8).fill(0xa5), ...DATA]);
    icmp.writeHeader(view, 40, 13, 2, 0, 0x0001_0001, icmp.v6PseudoSum(view, 0, 13));
    assert.deepEqual([...new Uint8Array(view.buffer)], packet);
  });

  test('errors are the types below 128', () => {
    assert.deepEqual([0, 1, 4, 127, 128, 255].filter(icmp.isV6Error), [0, 1, 4, 127]);
  });
});
