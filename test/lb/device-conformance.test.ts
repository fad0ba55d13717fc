/**
 * Every packet device does the same: each packet row goes through the real forwarder on each of them, and the same frames
 * come out, byte by byte and in the same order. What comes out of the device in memory is held against independently built
 * packets by forwarder.test.ts.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, suite, test } from 'node:test';
import { createAfPacketDevice } from '../../io/af-packet-device.ts';
import { createAfXdpDevice } from '../../io/af-xdp-device.ts';
import { memorySource } from '../../io/byte-source.ts';
import { readCapture } from '../../io/capture-reader.ts';
import type { PacketDevice } from '../../io/device.ts';
import { createMemoryDevice } from '../../io/memory-device.ts';
import { inNamespace } from '../../io/namespace.ts';
import { createPcapWriter } from '../../io/pcap.ts';
import { createPcapDevice } from '../../io/pcap-device.ts';
import { createPortableDevice } from '../../io/portable-device.ts';
import { createTapSteering } from '../../io/tap-steering.ts';
import { attachXdp, requireLink } from '../../io/xdp.ts';
import { createSteering } from '../../io/xdp-steering.ts';
import { createWalk } from '../../lb/forwarder.ts';
import { steer } from '../../lb/running.ts';
import { openFrameReceiver } from '../io/frame-receiver.ts';
import { openPacketSocket } from '../io/packet-socket.ts';
import { needsPortable } from '../io/portable-packages.ts';
import { ip, makeTwoHosts, needsRoot } from '../io/two-hosts.ts';
import { CLIENT_MAC, OWN_MAC, tcpFrame } from '../packets.ts';
import { ROWS } from './packet-rows.ts';
import { BACKENDS, backendYaml, balancerOn, parsedConfig, type RigConfig } from './rig.ts';
import { NOT_FORWARDED_ROWS } from './rows/not-forwarded.ts';
import { configOf, type PacketRow, SMALL_TABLES } from './rows/row.ts';
import { STATEFUL_ROWS } from './rows/stateful.ts';
import { TCP_ROWS } from './rows/tcp.ts';

/** Behind each row's packets, for a service of its own: where it comes out, all that was to come has come. */
const LAST = Buffer.from(
  tcpFrame({ destination: '198.18.10.99', destinationPort: 9, flags: 'S', sequence: 0xcafe_cafe }),
);
const FOR_LAST = `{ name: last, vip: 198.18.10.99, port: 9, encap: l2, ${SMALL_TABLES.join(', ')}, backends: [${backendYaml('b1')}] }`;

/** What no wire carries is left out: frames shorter than their own header. */
const isOnWires = ({ before = [], in: frame }: PacketRow): boolean =>
  [...before, frame].every(({ length }) => length >= 14);
const rows = ROWS.filter(isOnWires);
/** The kernel sends for the portable device: it finds its way by the routes that are made below. */
const portableRows = [...TCP_ROWS, ...STATEFUL_ROWS, ...NOT_FORWARDED_ROWS].filter(isOnWires);

const framesOf = ({ before = [], in: frame }: PacketRow): Uint8Array[] => [...before, frame, LAST];

function settingsOf(row: PacketRow): RigConfig {
  const { others = [], ...rest } = configOf(row);
  return { ...rest, others: [...others, FOR_LAST] };
}

/** Walks and sends a batch at each call; true once it had `LAST`. */
function createTurn(device: PacketDevice, row: PacketRow): () => boolean {
  const { forwarder } = balancerOn(device, settingsOf(row));
  const walk = createWalk(forwarder);
  return () => {
    const count = device.receive(10_000);
    assert.notEqual(count, 0, 'the last packet came');
    const { view, batch } = device;
    const end = batch.offset[count - 1]! + batch.length[count - 1]!;
    const isLast = LAST.equals(new Uint8Array(view.buffer, view.byteOffset + end - LAST.length, LAST.length));
    walk(0);
    device.send();
    return isLast;
  };
}

function walkUntilLast(device: PacketDevice, row: PacketRow): void {
  const turn = createTurn(device, row);
  while (!turn());
}

/** By row: what comes out of the device in memory. */
const expectations = new Map<PacketRow, Buffer[]>();

function throughMemory(row: PacketRow): Buffer[] {
  const known = expectations.get(row);
  if (known !== undefined) return known;
  const device = createMemoryDevice({ frameCount: 64 });
  for (const frame of framesOf(row)) assert.ok(device.inject(frame));
  walkUntilLast(device, row);
  const sent = device.sent.map((frame) => Buffer.from(frame));
  expectations.set(row, sent);
  return sent;
}

/** Of these the steering leaves the kernel more than the walk would (docs/architecture.md): `LAST` alone comes out. */
const BEYOND_STEERING = new Set(['IPv6: behind an authentication header', 'IPv6: behind eight headers']);

function throughSteering(row: PacketRow): Buffer[] {
  return BEYOND_STEERING.has(row.name) ? throughMemory(row).slice(-1) : throughMemory(row);
}

suite('one conformance for every device', { skip: needsRoot }, () => {
  const directory = mkdtempSync(join(tmpdir(), 'hushlb-test-'));
  const hosts = makeTwoHosts();
  // Longer than 1500 bytes: some rows are too big once encapsulated.
  ip('-n', hosts.left, 'link', 'set', 'left', 'address', OWN_MAC, 'mtu', '1700');
  ip('-n', hosts.right, 'link', 'set', 'right', 'mtu', '1700');
  const interfaceIndex = inNamespace(hosts.left, () => requireLink('left').index);
  const sender = openPacketSocket(hosts.right, 'right');
  const receiver = openFrameReceiver(hosts.right, 'right');
  after(() => {
    sender.close();
    receiver.close();
    hosts.remove();
    rmSync(directory, { recursive: true, force: true });
  });

  /** Sends the row's frames to the device's host and collects as many as must come back, and what comes beside them. */
  function overTheWire(device: PacketDevice, row: PacketRow, count: number): Buffer[] {
    for (const frame of framesOf(row)) sender.send(frame);
    walkUntilLast(device, row);
    return comeBack(count);
  }

  function comeBack(count: number): Buffer[] {
    const frames: Buffer[] = [];
    while (frames.length < count) {
      const more = receiver.receive(10_000);
      if (more.length === 0) break;
      frames.push(...more);
    }
    frames.push(...receiver.receive(0));
    return frames;
  }

  test('pcap', () => {
    for (const row of rows) {
      const [input, output] = [join(directory, 'in.pcap'), join(directory, 'out.pcap')];
      const writer = createPcapWriter(input);
      for (const bytes of framesOf(row)) writer.write({ bytes, timestampNs: 0n, originalLength: bytes.length });
      writer.close();
      const device = createPcapDevice({ input, output });
      walkUntilLast(device, row);
      device.close();
      const out = [...readCapture(memorySource(output, readFileSync(output)))].map(({ bytes }) => Buffer.from(bytes));
      assert.deepEqual(out, throughMemory(row), row.name);
    }
  });

  test('af-xdp', () => {
    const steering = createSteering({ queueCount: 1 });
    const { programFd, socketMapFd } = steering;
    const [device, attachment] = inNamespace(hosts.left, () => [
      createAfXdpDevice({ interfaceIndex, queues: [0], socketMapFd }),
      attachXdp({ programFd, interfaceIndex, mode: 'native' }),
    ]);
    try {
      for (const row of rows) {
        const expected = throughSteering(row);
        steer(steering, parsedConfig(settingsOf(row)));
        assert.deepEqual(overTheWire(device, row, expected.length), expected, row.name);
      }
    } finally {
      attachment.detach();
      device.close();
      steering.close();
    }
  });

  test('af-packet', () => {
    const steering = createTapSteering();
    const { filterFd } = steering;
    const device = inNamespace(hosts.left, () => createAfPacketDevice({ interfaceIndex, filterFd }));
    try {
      for (const row of rows) {
        const expected = throughSteering(row);
        steer(steering, parsedConfig(settingsOf(row)));
        assert.deepEqual(overTheWire(device, row, expected.length), expected, row.name);
      }
    } finally {
      device.close();
      steering.close();
    }
  });

  test('portable', { skip: needsPortable }, async () => {
    // Where frames of the rows go by their MACs, the kernel's routes lead too.
    for (const network of ['198.18.2.0/24', '192.0.2.0/24'])
      ip('-n', hosts.left, 'route', 'add', network, 'dev', 'left');
    const neighbours = [...Object.values(BACKENDS), { address: '192.0.2.7', mac: CLIENT_MAC }];
    for (const { address, mac } of neighbours) {
      ip('-n', hosts.left, 'neigh', 'replace', address, 'lladdr', mac, 'dev', 'left', 'nud', 'permanent');
    }
    let onFrames = () => {};
    const device = inNamespace(hosts.left, () => {
      const opened = createPortableDevice({ interfaceIndex, onFrames: () => onFrames() });
      return opened;
    });
    try {
      for (const row of portableRows) {
        const expected = throughMemory(row);
        inNamespace(hosts.left, () => steer(device, parsedConfig(settingsOf(row))));
        const turn = createTurn(device, row);
        const walked = new Promise<void>((resolve) => {
          onFrames = () => {
            if (turn()) resolve();
          };
        });
        for (const frame of framesOf(row)) sender.send(frame);
        await walked;
        assert.deepEqual(comeBack(expected.length), expected, row.name);
      }
    } finally {
      device.close();
    }
  });

  test('the rows are no few, and most of them leave something', () => {
    const leaving = rows.filter((row) => throughMemory(row).length > 1);
    assert.ok(rows.length > 40 && leaving.length > 20, `${rows.length} rows, ${leaving.length} leave something`);
  });
});
