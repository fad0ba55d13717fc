/**
 * What a sender leaves to its card, on a veth pair: segments that were never cut and checksums that are not finished come out
 * of the packet socket's device as if the sender had done it all. Expected are packets of a naive builder, and what the
 * kernel makes of the same long ones when the sender's card can't cut.
 */
import assert from 'node:assert/strict';
import { after, suite, test } from 'node:test';
import { type AfPacketDevice, createAfPacketDevice } from '../../io/af-packet-device.ts';
import { TRANSMIT } from '../../io/device.ts';
import { setOffloads } from '../../io/ethtool.ts';
import {
  bindSocket,
  closeDescriptor,
  lastErrno,
  openSocket,
  SystemCallError,
  sendto,
  setSocketOption,
} from '../../io/ffi.ts';
import { inNamespace } from '../../io/namespace.ts';
import { createTapSteering } from '../../io/tap-steering.ts';
import { requireLink } from '../../io/xdp.ts';
import { bytesOfIp, CLIENT_MAC, ethernetFrame, internetChecksum } from '../packets.ts';
import { openPacketSocket } from './packet-socket.ts';
import { SERVICES, withTags } from './steering-rows.ts';
import { addressBytes, ip, ipJson, makeTwoHosts, needsRoot, openDescriptors } from './two-hosts.ts';

const [FIN, PSH, ACK, CWR] = [1, 8, 16, 128];

interface Fields {
  readonly version?: 4 | 6;
  readonly protocol?: 6 | 17;
  readonly payload: Buffer;
  readonly id?: number;
  readonly sequence?: number;
  readonly flags?: number;
  readonly ipOptions?: number;
  readonly tcpOptions?: number;
  /** The checksum is left to the card: its field has the sum over the pseudo header. */
  readonly unfinished?: boolean;
}

const u16 = (value: number) => [(value >> 8) & 255, value & 255];
const u32 = (value: number) => [...u16(value >>> 16), ...u16(value)];

function build(fields: Fields, mac: string): Buffer {
  const { version = 4, protocol = 6, payload, id = 7, sequence = 0xffff_f000, flags = ACK } = fields;
  const { ipOptions = 0, tcpOptions = 0, unfinished = false } = fields;
  const [source, destination] =
    version === 4
      ? [bytesOfIp('192.0.2.7'), bytesOfIp(protocol === 6 ? '198.18.10.1' : '198.18.10.2')]
      : [addressBytes('2001:db8::7'), addressBytes(protocol === 6 ? '2001:db8:10::1' : '2001:db8:10::2')];
  const header =
    protocol === 6
      ? [...u16(40000), 0, 80, ...u32(sequence), ...u32(9), (5 + tcpOptions) << 4, flags, 1, 0, 0, 0, 0, 0]
      : [...u16(40000), 0, 53, ...u16(8 + payload.length), 0, 0];
  const segment = [...header, ...Array(4 * tcpOptions).fill(1), ...payload];
  const pseudo = [...source, ...destination, ...u32(segment.length), 0, 0, 0, protocol];
  const sum = unfinished ? ~internetChecksum(pseudo) : internetChecksum([...pseudo, ...segment]);
  segment.splice(protocol === 6 ? 16 : 6, 2, ...u16(protocol === 17 && sum === 0 ? 0xffff : sum));
  if (version === 6) {
    const packet = [0x60, 0, 0, 0, ...u16(segment.length), protocol, 63, ...source, ...destination, ...segment];
    return Buffer.from(ethernetFrame(mac, CLIENT_MAC, 0x86dd, packet));
  }
  const length = 20 + 4 * ipOptions + segment.length;
  const front = [
    0x45 + ipOptions,
    0,
    ...u16(length),
    ...u16(id),
    0x40,
    0,
    63,
    protocol,
    0,
    0,
    ...source,
    ...destination,
  ];
  front.push(...Array(4 * ipOptions).fill(1));
  front.splice(10, 2, ...u16(internetChecksum(front)));
  return Buffer.from(ethernetFrame(mac, CLIENT_MAC, 0x0800, [...front, ...segment]));
}

/** As a sender would cut it itself: pieces of `size` bytes. */
function cut(fields: Fields, size: number): Fields[] {
  const { payload, id = 7, sequence = 0xffff_f000, flags = ACK } = fields;
  const count = Math.ceil(payload.length / size);
  return Array.from({ length: count }, (_, i) => ({
    ...fields,
    unfinished: false,
    payload: payload.subarray(i * size, (i + 1) * size),
    id: (id + i) & 0xffff,
    sequence: (sequence + i * size) >>> 0,
    flags: flags & ~(i === 0 ? 0 : CWR) & ~(i === count - 1 ? 0 : FIN | PSH),
  }));
}

/** struct virtio_net_hdr for a frame whose card is to finish it, and cut it into pieces of `size` bytes, 0 for none. */
function cardHeader(
  { version = 4, protocol = 6, ipOptions = 0, tcpOptions = 0 }: Fields,
  size: number,
  tags = 0,
): Buffer {
  const start = 14 + 4 * tags + (version === 4 ? 20 + 4 * ipOptions : 40);
  const gso = protocol === 17 ? 5 : version === 4 ? 1 : 4;
  const header = Buffer.alloc(10);
  header[0] = 1;
  header[1] = size === 0 ? 0 : gso;
  header.writeUInt16LE(start + (protocol === 6 ? 20 + 4 * tcpOptions : 8), 2);
  header.writeUInt16LE(size, 4);
  header.writeUInt16LE(start, 6);
  header.writeUInt16LE(protocol === 6 ? 16 : 6, 8);
  return header;
}

const payloadOf = (length: number) => Buffer.from(Uint8Array.from({ length }, (_, i) => (i * 31 + (i >> 8)) & 255));

const ROWS: readonly (readonly [name: string, fields: Fields, size: number])[] = [
  ['TCP', { payload: payloadOf(10_000), flags: ACK | PSH | FIN | CWR }, 1000],
  ['TCP, the last piece is odd', { payload: payloadOf(4321) }, 1448],
  ['TCP, pieces of odd length', { payload: payloadOf(5000) }, 777],
  ['TCP with options, and of IP', { payload: payloadOf(9000), tcpOptions: 3, ipOptions: 2 }, 1400],
  ['TCP, more pieces than a batch has', { payload: payloadOf(60_000), id: 0xfff0 }, 536],
  ['TCP, as long as they get', { payload: payloadOf(65_535 - 40) }, 1400],
  ['TCP, shorter than a slot', { payload: payloadOf(900), flags: ACK | PSH }, 500],
  ['TCP over IPv6', { version: 6, payload: payloadOf(12_345), flags: ACK | PSH }, 1220],
  ['TCP over IPv6, more pieces than a batch has', { version: 6, payload: payloadOf(64_000), tcpOptions: 3 }, 400],
  ['UDP', { protocol: 17, payload: payloadOf(7001) }, 1200],
  ['UDP over IPv6', { version: 6, protocol: 17, payload: payloadOf(7000) }, 1200],
];

suite('offloads', { skip: needsRoot }, () => {
  const descriptorsBefore = openDescriptors();
  const hosts = makeTwoHosts();
  const peer = openPacketSocket(hosts.right, 'right');
  const ownMac = ipJson(hosts.left, 'link', 'show', 'left')[0].address as string;
  const steering = createTapSteering();
  steering.setServices(SERVICES);
  const device: AfPacketDevice = inNamespace(hosts.left, () =>
    createAfPacketDevice({ interfaceIndex: requireLink('left').index, filterFd: steering.filterFd, ringSize: 256 }),
  );
  const sender = inNamespace(hosts.right, () => {
    const [AF_PACKET, SOCK_RAW, SOL_PACKET, PACKET_VNET_HDR] = [17, 3, 263, 15];
    const fd = openSocket(AF_PACKET, SOCK_RAW, 0);
    setSocketOption(fd, SOL_PACKET, PACKET_VNET_HDR, Buffer.from([1, 0, 0, 0]));
    const address = Buffer.alloc(20);
    address.writeUInt16LE(AF_PACKET, 0);
    address.writeInt32LE(requireLink('right').index, 4);
    bindSocket(fd, address);
    return fd;
  });
  after(() => {
    device.close();
    steering.close();
    peer.close();
    closeDescriptor(sender);
    hosts.remove();
    assert.equal(openDescriptors(), descriptorsBefore, 'descriptors leaked');
  });

  const frameOf = (fields: Fields) => build(fields, ownMac);
  const marker = frameOf({ payload: Buffer.from('the last') });

  function send(header: Buffer, frame: Uint8Array): void {
    const bytes = Buffer.concat([header, frame]);
    if (sendto(sender, bytes, bytes.length, 0, null, 0) < 0) throw new SystemCallError('sendto', lastErrno());
  }

  /** What the device has of what was sent, up to the marker, which is sent now. */
  function received(work: () => void = () => {}): Buffer[] {
    send(Buffer.alloc(10), marker);
    const frames: Buffer[] = [];
    for (;;) {
      assert.notEqual(device.receive(10_000), 0, 'the marker comes');
      device.checkFrames();
      const { view, batch } = device;
      for (let i = 0; i < batch.count; i++) {
        frames.push(Buffer.copyBytesFrom(new Uint8Array(view.buffer, batch.offset[i], batch.length[i])));
      }
      work();
      device.send();
      if (frames.at(-1)?.equals(marker)) return frames.slice(0, -1);
    }
  }

  const offload = (on: { txChecksum: boolean; tso: boolean; gso: boolean }) =>
    inNamespace(hosts.right, () => setOffloads('right', on));

  for (const [name, fields, size] of ROWS) {
    const expected = () => cut(fields, size).map(frameOf);
    const long = () => frameOf({ ...fields, unfinished: true });

    test(`${name}: cut as its sender would`, () => {
      send(cardHeader(fields, size), long());
      assert.deepEqual(received(), expected());
    });

    test(`${name}: with a tag, which all pieces have`, () => {
      send(cardHeader(fields, size, 1), withTags(long(), 0x8100e005));
      assert.deepEqual(
        received(),
        expected().map((frame) => withTags(frame, 0x8100e005)),
      );
      send(cardHeader(fields, size, 2), withTags(long(), 0x88a80ffe, 0x8100e005));
      assert.deepEqual(
        received(),
        expected().map((frame) => withTags(frame, 0x88a80ffe, 0x8100e005)),
      );
    });

    test(`${name}: as the kernel cuts it, checksums finished by either`, () => {
      const isTcp = (fields.protocol ?? 6) === 6;
      for (const txChecksum of [true, false]) {
        offload({ txChecksum, tso: false, gso: false });
        try {
          send(cardHeader(fields, size), long());
        } finally {
          offload({ txChecksum: true, tso: true, gso: true });
        }
        const frames = received();
        if (isTcp || !txChecksum) assert.deepEqual(frames, expected());
      }
    });
  }

  test('unfinished checksums are finished', () => {
    const rows = [4, 6].flatMap((version) =>
      [6, 17].flatMap((protocol) =>
        [0, 1, 100, 1399].map((length) => ({ version, protocol, payload: payloadOf(length) }) as Fields),
      ),
    );
    // A payload that is the checksum of the packet without it makes that 0, which stands for none: RFC 768 has it sent as -0.
    for (const version of [4, 6] as const) {
      const empty = frameOf({ version, protocol: 17, payload: Buffer.alloc(2) });
      const at = version === 4 ? 14 + 20 + 6 : 14 + 40 + 6;
      const fields: Fields = { version, protocol: 17, payload: empty.subarray(at, at + 2) };
      assert.equal(frameOf(fields).readUInt16BE(at), 0xffff);
      rows.push(fields);
    }
    for (const fields of rows) send(cardHeader(fields, 0), frameOf({ ...fields, unfinished: true }));
    assert.deepEqual(received(), rows.map(frameOf));
    assert.notDeepEqual(frameOf({ ...rows[1]!, unfinished: true }), frameOf(rows[1]!));
  });

  test('long ones among others keep their order, and go out again', () => {
    const single = [1, 2, 3].map((sequence) => ({ payload: payloadOf(100), sequence }));
    const [, long, size] = ROWS[0]!;
    const [, short, shortSize] = ROWS[6]!;
    const all = [[single[0]!], cut(long, size), [single[1]!], cut(short, shortSize), cut(long, size), [single[2]!]];
    const frames = all.flat().map(frameOf);
    for (let round = 0; round < 100; round++) {
      send(Buffer.alloc(10), frameOf(single[0]!));
      send(cardHeader(long, size), frameOf({ ...long, unfinished: true }));
      send(Buffer.alloc(10), frameOf(single[1]!));
      send(cardHeader(short, shortSize), frameOf({ ...short, unfinished: true }));
      send(cardHeader(long, size), frameOf({ ...long, unfinished: true }));
      send(Buffer.alloc(10), frameOf(single[2]!));
      const got = received(() => device.batch.action.fill(TRANSMIT, 0, device.batch.count));
      assert.deepEqual(got, frames);
      for (const frame of [...frames, marker]) assert.deepEqual(peer.receive(), frame);
    }
    assert.deepEqual(device.checkFrames(), { kernel: 256, inBatch: 0, waiting: 0 });
    assert.deepEqual(device.statistics(), { rxRingFull: 0, rxTooLong: 0, txDropped: 0, passUnsupported: 0 });
  });

  test('what can’t be cut is counted: pieces longer than a slot, a long frame that nobody merged', () => {
    for (const [host, side] of [
      [hosts.left, 'left'],
      [hosts.right, 'right'],
    ]) {
      ip('-n', host, 'link', 'set', side, 'mtu', '9000');
    }
    const fields = { payload: payloadOf(6000) };
    send(cardHeader(fields, 3000), frameOf({ ...fields, unfinished: true }));
    send(cardHeader(fields, 0), frameOf({ ...fields, unfinished: true }));
    send(Buffer.alloc(10), frameOf(fields));
    assert.deepEqual(received(), []);
    assert.equal(device.statistics().rxTooLong, 3);
    assert.deepEqual(device.checkFrames(), { kernel: 256, inBatch: 0, waiting: 0 });
  });
});
