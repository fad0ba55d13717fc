/** The program that lowers a backend's MSS, row by row in BPF_PROG_TEST_RUN: what it changes, and what it leaves alone. */
import assert from 'node:assert/strict';
import { after, suite, test } from 'node:test';
import { fittingMss, loadSynAckClamp } from '../../dsr/syn-ack-clamp.ts';
import { TCX_NEXT, testRun } from '../../io/bpf.ts';
import { addressBytes, needsRoot, openDescriptors } from '../io/two-hosts.ts';
import { CLIENT_MAC, ethernetFrame, OWN_MAC, tcpPacket } from '../packets.ts';
import { tcp6Packet, udpDatagram } from '../packets6.ts';
import { typeOf } from '../tunnels.ts';

const VIP = { 4: '198.18.10.1', 6: '2001:db8:10::1' } as const;
const CLIENT = { 4: '192.0.2.7', 6: '2001:db8::7' } as const;
const OWN = { 4: ['198.18.2.1', '198.18.2.3'], 6: ['2001:db8:2::1', 'fe80::1'] } as const;
/** Differ from each other, so that none is taken for the other. */
const LARGEST = { 4: 1440, 6: 1401 } as const;
const FAMILIES = [4, 6] as const;

const mss = (value: number) => [2, 4, value >> 8, value & 255];
const NOP = 1;
const SACK = [4, 2];
const SCALE = [3, 3, 7];
const TIMES = [8, 10, 1, 2, 3, 4, 5, 6, 7, 8];

suite('SYN-ACK clamp program', { skip: needsRoot }, () => {
  const descriptorsBefore = openDescriptors();
  const program = loadSynAckClamp({ largest: LARGEST, ownAddresses: [...OWN[4], ...OWN[6]].map(addressBytes) });
  after(() => {
    program.close();
    assert.equal(openDescriptors(), descriptorsBefore, 'descriptors leaked');
  });

  const frameOf = (packet: readonly number[]) => ethernetFrame(OWN_MAC, CLIENT_MAC, typeOf(packet), packet);

  interface Fields {
    source?: string;
    flags?: string;
    sequence?: number;
    payload?: string;
  }
  function packetOf(family: 4 | 6, options: number[], fields: Fields = {}): number[] {
    const all = {
      source: VIP[family],
      destination: CLIENT[family],
      sourcePort: 80,
      destinationPort: 40_000,
      flags: 'SA',
      ...fields,
      options,
    };
    return family === 4 ? tcpPacket(all) : tcp6Packet(all);
  }

  function assertRun(frame: Uint8Array, expected: Uint8Array, clamped: number, what?: string): void {
    const before = program.counters().clamped;
    const { verdict, packet } = testRun(program.programFd, frame);
    assert.equal(verdict | 0, TCX_NEXT, what);
    assert.deepEqual(packet, Buffer.from(expected), what);
    assert.equal(program.counters().clamped - before, clamped, what);
  }
  const assertUntouched = (frame: Uint8Array, what?: string) => assertRun(frame, frame, 0, what);

  /** Where the MSS stands, by the bytes around it; all in whole words. */
  const places: [string, (option: number[]) => number[]][] = [
    ['alone', (option) => option],
    ['as Linux has it', (option) => [...option, ...SACK, ...TIMES, NOP, ...SCALE]],
    ['at an odd place', (option) => [NOP, ...option, ...SCALE]],
    ['last', (option) => [NOP, NOP, ...TIMES, ...SACK, ...SCALE, NOP, NOP, NOP, ...option]],
    ['last of forty bytes', (option) => [...Array(36).fill(NOP), ...option]],
    ['before the end', (option) => [...option, 0, 2, 0, 0]],
    ['after an option of one kind that nobody knows', (option) => [254, 36, ...Array(34).fill(2), ...option]],
  ];
  for (const family of FAMILIES) {
    const largest = LARGEST[family];
    for (const [name, around] of places) {
      test(`IPv${family}, the MSS ${name}: lowered, and the checksum after it`, () => {
        for (const announced of [largest + 1, 1460, 8960, 65_535]) {
          // Sums that carry and wrap in different ways.
          for (const sequence of [0, 1, 0xffff, 0x12345678, 0xffffffff]) {
            const before = frameOf(packetOf(family, around(mss(announced)), { sequence }));
            const after = frameOf(packetOf(family, around(mss(largest)), { sequence }));
            assertRun(before, after, 1, `${announced}, sequence ${sequence}`);
          }
        }
        for (const announced of [0, 255, 536, largest - 1, largest]) {
          assertUntouched(frameOf(packetOf(family, around(mss(announced)))), `${announced}`);
        }
      });
    }

    test(`IPv${family}: SYN-ACKs with data, and with other flags`, () => {
      for (const fields of [{ payload: 'odd' }, { flags: 'SAP', payload: 'early' }]) {
        const [before, after] = [1460, largest].map((value) => frameOf(packetOf(family, mss(value), fields)));
        assertRun(before, after, 1);
      }
    });

    test(`IPv${family}: other segments stay`, () => {
      for (const flags of ['S', 'A', 'R', 'RA', 'FA', '']) {
        assertUntouched(frameOf(packetOf(family, mss(1460), { flags })), flags);
      }
      assertUntouched(frameOf(packetOf(family, [])), 'no options');
    });

    test(`IPv${family}: what leaves from the interface's own addresses stays`, () => {
      for (const source of OWN[family]) assertUntouched(frameOf(packetOf(family, mss(1460), { source })), source);
      const others = {
        4: ['198.18.2.2', '1.2.18.198'],
        // One of the four words differs, and words of two own addresses mixed.
        6: ['2001:db9:2::1', '2001:db8:3::1', '2001:db8:2:0:1::1', '2001:db8:2::2', '2001:db8::1', 'fe80:0:2::1'],
      };
      for (const source of others[family]) {
        const [before, after] = [1460, largest].map((value) => frameOf(packetOf(family, mss(value), { source })));
        assertRun(before, after, 1, source);
      }
    });

    const damaged: [string, number[]][] = [
      ['an MSS of three bytes', [2, 3, 6, ...mss(1460), NOP]],
      ['an MSS of six bytes', [2, 6, 5, 180, 5, 180, NOP, NOP]],
      ['an MSS that the header ends in', [NOP, NOP, 2, 4]],
      ['an MSS without its length', [NOP, NOP, NOP, 2]],
      ['an option behind it of length 0', [...mss(1460), 254, 0, 0, 0]],
      ['an option behind it of length 1', [...mss(1460), 254, 1, 0, 0]],
      ['an option before it of length 0', [254, 0, NOP, NOP, ...mss(1460)]],
      ['an option behind it that the header ends in', [...mss(1460), 254, 5, 0, 0]],
      ['an option behind it beyond the frame', [...mss(1460), 254, 255, 0, 0]],
      ['an option behind it without its length', [...mss(1460), NOP, NOP, NOP, 254]],
      ['two of them', [...mss(1460), ...mss(1460)]],
      ['two of them, the second in bounds', [...mss(1460), ...mss(1000)]],
      ['one behind the end', [0, NOP, NOP, NOP, ...mss(1460)]],
      ['one inside another option', [254, 8, 0, 0, ...mss(1460)]],
      ['TCP-AO before it', [29, 16, ...Array(14).fill(7), ...mss(1460)]],
      ['TCP-AO behind it', [...mss(1460), 29, 16, ...Array(14).fill(7)]],
    ];
    for (const [name, options] of damaged) {
      test(`IPv${family}, ${name}: untouched`, () => {
        for (const payload of ['', '\x04\x04\x05\xb4']) {
          assertUntouched(frameOf(packetOf(family, options, { payload })));
        }
      });
    }

    test(`IPv${family}: a data offset that lies, and packets that are cut`, () => {
      const packet = packetOf(family, mss(1460));
      const at = (family === 4 ? 20 : 40) + 12;
      for (let words = 0; words < 16; words++) {
        if (words !== 6) assertUntouched(frameOf(packet.with(at, words << 4)), `${words} words`);
      }
      const frame = frameOf(packet);
      // Cut before the end of the IP header, the kernel refuses to run it.
      for (let length = family === 4 ? 34 : 54; length < frame.length; length++)
        assertUntouched(frame.subarray(0, length), `${length}`);
    });
  }

  test('IPv4 with options', () => {
    const around = (value: number, length: number) => {
      const [source, destination] = [VIP[4], CLIENT[4]];
      const ip = { options: Array(length).fill(NOP) };
      return frameOf(tcpPacket({ source, destination, flags: 'SA', options: mss(value), ip }));
    };
    for (const length of [4, 8, 40]) assertRun(around(1460, length), around(LARGEST[4], length), 1, `${length} bytes`);
  });

  const six = packetOf(6, mss(1460));
  const four = packetOf(4, mss(1460));
  const rows: [string, Uint8Array][] = [
    ['the first fragment', frameOf(tcpPacket({ flags: 'SA', options: mss(1460), ip: { fragment: 0x2000 } }))],
    ['a later fragment', frameOf(tcpPacket({ flags: 'SA', options: mss(1460), ip: { fragment: 0x0001 } }))],
    ['an IPv4 header of 16 bytes', frameOf(tcpPacket({ flags: 'SA', options: mss(1460), ip: { ihl: 4 } }))],
    ['an IPv4 header beyond the frame', frameOf(tcpPacket({ flags: 'SA', options: mss(1460), ip: { ihl: 15 } }))],
    ['IPv4 in a frame of IPv6', ethernetFrame(OWN_MAC, CLIENT_MAC, 0x86dd, four)],
    ['IPv6 in a frame of IPv4', ethernetFrame(OWN_MAC, CLIENT_MAC, 0x0800, six)],
    ['another protocol over IPv4', frameOf(tcpPacket({ flags: 'SA', options: mss(1460), ip: { protocol: 17 } }))],
    ['IPv6 of version 5', frameOf(six).map((byte, at) => (at === 14 ? 0x50 : byte))],
    ['another protocol over IPv6', frameOf(six.with(6, 17))],
    [
      'an IPv6 fragment',
      frameOf(tcp6Packet({ flags: 'SA', options: mss(1460), ip: { extensions: [[44, [0, 0, 0, 0, 0, 0, 1]]] } })),
    ],
    [
      'UDP',
      frameOf([
        ...four.slice(0, 9),
        17,
        ...four.slice(10, 20),
        ...udpDatagram(VIP[4], CLIENT[4], { payload: 'x'.repeat(30) }),
      ]),
    ],
    ['a VLAN tag', ethernetFrame(OWN_MAC, CLIENT_MAC, 0x8100, [0, 1, 8, 0, ...four])],
    ['ARP', ethernetFrame(OWN_MAC, CLIENT_MAC, 0x0806, four)],
  ];
  for (const [name, frame] of rows) test(`${name}: untouched`, () => assertUntouched(frame));
});

suite('the MSS that fits', () => {
  const link = addressBytes('fe80::1');
  // 1500 less the outer header, what is between, the inner IP header, and TCP's 20.
  const rows = [
    ['ipip', [addressBytes('198.18.2.1')], { 4: 1440, 6: 1420 }],
    ['ipip', [addressBytes('198.18.2.1'), link], { 4: 1440, 6: 1420 }],
    ['ipip', [addressBytes('198.18.2.1'), link, addressBytes('2001:db8::1')], { 4: 1420, 6: 1400 }],
    ['gre', [], { 4: 1436, 6: 1416 }],
    ['gre', [addressBytes('2001:db8::1')], { 4: 1416, 6: 1396 }],
    ['gue', [], { 4: 1428, 6: 1408 }],
    ['gue', [addressBytes('fd00::1')], { 4: 1408, 6: 1388 }],
    ['gue', [addressBytes('febf::1'), addressBytes('254.129.0.1')], { 4: 1428, 6: 1408 }],
  ] as const;
  for (const [encap, addresses, expected] of rows) {
    test(`${encap}, ${addresses.length} addresses: ${expected[4]}`, () => {
      assert.deepEqual(fittingMss(1500, encap, addresses), expected);
    });
  }
});
