/** Nothing is allocated for a packet in the forwarder's rarer parts either: an attacker chooses how rare they are. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createMemoryDevice } from '../../io/memory-device.ts';
import { answerEcho } from '../../lb/echo.ts';
import { cut } from '../../lb/fragmenting.ts';
import * as fragments from '../../lb/fragments.ts';
import { createQuote, findQuote } from '../../lb/icmp-errors.ts';
import { clampMss } from '../../lb/mss-clamp.ts';
import { createQuicRoutes, findServer } from '../../lb/quic-lb.ts';
import { createTokenBucket, takeToken } from '../../lb/rate-limit.ts';
import { writeTooBig } from '../../lb/too-big.ts';
import { createFragmentFacts, readFragment } from '../../wire/fragment.ts';
import {
  CLIENT_4,
  CLIENT_6,
  error4,
  error6,
  frameOf,
  icmpMessage,
  icmpV6Message,
  VIP_4,
  VIP_6,
  viewAtEnd,
} from '../icmp-packets.ts';
import { ipv4Packet, tcpPacket, tcpSegment } from '../packets.ts';
import { ipv6Packet, tcp6Packet, udpDatagram } from '../packets6.ts';

const HEADROOM = 64;
const IP = HEADROOM + 14;
const SYN = { flags: 'S', options: [2, 4, 5, 180] };

interface Placed {
  readonly view: DataView;
  readonly ipLength: number;
}

function place(packet: readonly number[]): Placed {
  return { view: viewAtEnd(frameOf(packet), HEADROOM), ipLength: packet.length };
}

const FRAGMENT = [44, [0, 0, 1, 0, 0, 0, 1]] as const;
const error = place(error4(3, 4, ipv4Packet(VIP_4, CLIENT_4, tcpSegment(VIP_4, CLIENT_4, {}), {})));
const v6Error = place(error6(2, 0, ipv6Packet(VIP_6, CLIENT_6, udpDatagram(VIP_6, CLIENT_6), { protocol: 17 })));
const echo = ipv4Packet(CLIENT_4, VIP_4, icmpMessage(8, 0, [0, 1, 0, 2], [1, 2, 3]), { protocol: 1 });
const v6Echo = ipv6Packet(CLIENT_6, VIP_6, icmpV6Message(CLIENT_6, VIP_6, 128, 0, [0, 1, 0, 2], [1]), { protocol: 58 });
const syn = place(tcpPacket(SYN));
const v6Syn = place(tcp6Packet(SYN));
const piece = place(ipv4Packet(CLIENT_4, VIP_4, Array(64).fill(1), { fragment: 0x2000, protocol: 17 }));
const datagram = udpDatagram(CLIENT_6, VIP_6, { payload: 'x'.repeat(56) });
const v6Piece = place(ipv6Packet(CLIENT_6, VIP_6, datagram, { protocol: 17, extensions: [FRAGMENT] }));

/** Each a function of the packet's number; what it takes is made outside. */
const WAYS: Readonly<Record<string, () => (i: number) => void>> = {
  findQuote: () => {
    const quote = createQuote();
    return () => {
      findQuote(error.view, HEADROOM, error.ipLength, IP + 20, quote);
      findQuote(v6Error.view, HEADROOM, v6Error.ipLength, IP + 40, quote);
    };
  },
  answerEcho: () => {
    const requests = [place(echo), place(v6Echo)];
    const frames = [frameOf(echo), frameOf(v6Echo)];
    const memories = requests.map(({ view }) => new Uint8Array(view.buffer));
    return (i) => {
      const family = i & 1;
      memories[family].set(frames[family], HEADROOM);
      answerEcho(requests[family].view, HEADROOM, requests[family].ipLength);
    };
  },
  'takeToken and writeTooBig': () => {
    const bucket = createTokenBucket(1000, 50, 0);
    return (i) => {
      if (!takeToken(bucket, i << 8)) return;
      writeTooBig(syn.view, HEADROOM, syn.ipLength, 1480, 0x02, 0x0200);
      writeTooBig(v6Syn.view, HEADROOM, v6Syn.ipLength, 1460, 0x02, 0x0200);
    };
  },
  clampMss: () => (i) => {
    const { view } = syn;
    view.setUint16(IP + 42, 1460 + (i & 7));
    clampMss(view, IP + 20, 24, 1400);
  },
  'fragments, early and in order': () => {
    const facts = createFragmentFacts();
    const store = fragments.createFragmentStore(0x9e3779b1 | 0);
    return (i) => {
      const { view, ipLength } = (i & 1) === 0 ? piece : v6Piece;
      readFragment(view, HEADROOM, ipLength, facts);
      const id = Math.imul(i, 0x9e3779b1);
      fragments.hold(store, view, HEADROOM, 14 + ipLength, -7, -9, id, 17, i);
      if ((i & 3) === 0) return;
      fragments.noteFirst(store, -7, -9, id, 17, i & 0xff, i);
      fragments.findTarget(store, -7, -9, id, 17, i);
      const held = fragments.nextHeld(store, -7, -9, id, 17, i);
      if (held !== fragments.NOTHING_HELD) fragments.release(store, held, view, HEADROOM);
    };
  },
  findServer: () => {
    const servers = [{ serverId: Uint8Array.of(1, 2, 3), backend: 5 }];
    const routes = createQuicRoutes([{ rotation: 1, serverIdLength: 3, nonceLength: 4, servers }], 7);
    const view = viewAtEnd([0x41, 0x27, 1, 2, 3, 4, 5, 6, 7, 8]);
    return () => {
      findServer(routes, view, 0, 10);
    };
  },
};

/** The median growth of the heap in several short rounds: a collection in one of them would hide what packets left. */
function growthOf(round: () => void): number {
  for (let i = 0; i < 10; i++) round();
  const growths = Array.from({ length: 9 }, () => {
    const before = process.memoryUsage().heapUsed;
    round();
    return process.memoryUsage().heapUsed - before;
  });
  return growths.sort((a, b) => a - b)[4];
}

describe('heap growth', () => {
  for (const [name, create] of Object.entries(WAYS)) {
    test(name, () => {
      const step = create();
      let i = 0;
      const growth = growthOf(() => {
        for (let k = 0; k < 32_000; k++) step(i++);
      });
      // An object costs 16 bytes at the least: half a million in a round.
      assert.ok(growth < 100_000, `${growth} bytes in 32,000 packets`);
    });
  }

  test('cut', () => {
    const packet = tcpPacket({ payload: 'x'.repeat(1400), ip: { fragment: 0 } });
    const device = createMemoryDevice({ frameCount: 4 });
    // The memory device's own arrays would count: rows are handed out again without sending them.
    device.inject(frameOf(packet));
    device.receive(0);
    const { batch, view } = device;
    const rows = { view, batch, append: (length: number) => rowOf(length) };
    const second = device.append(700);
    const rowOf = (length: number): number => {
      batch.length[second] = length;
      return second;
    };
    const growth = growthOf(() => {
      for (let k = 0; k < 32_000; k++) cut(rows, 0, packet.length, 1000);
    });
    assert.ok(growth < 100_000, `${growth} bytes in 32,000 packets`);
  });
});
