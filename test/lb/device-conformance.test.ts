/**
 * Every packet device does the same: each packet row goes through the real forwarder on each of them, and the same frames
 * come out, byte by byte and in the same order. What comes out of the device in memory is held against independently built
 * packets by forwarder.test.ts. What a device does otherwise stands here with its reason: `ON_NO_WIRE`, `BEYOND_STEERING`.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, suite, test } from 'node:test';
import { createAfPacketDevice } from '../../io/af-packet-device.ts';
import { createAfXdpDevice } from '../../io/af-xdp-device.ts';
import { createTcxLink } from '../../io/bpf-links.ts';
import { memorySource } from '../../io/byte-source.ts';
import { readCapture } from '../../io/capture-reader.ts';
import type { PacketDevice } from '../../io/device.ts';
import { closeDescriptor } from '../../io/ffi.ts';
import { createMemoryDevice } from '../../io/memory-device.ts';
import { inNamespace } from '../../io/namespace.ts';
import { createPcapWriter } from '../../io/pcap.ts';
import { createPcapDevice } from '../../io/pcap-device.ts';
import { createPortableDevice } from '../../io/portable-device.ts';
import type { ServiceSteering } from '../../io/service-map.ts';
import { createTapSteering, type TapSteering } from '../../io/tap-steering.ts';
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
import { BACKENDS, BACKENDS_IPV6, backendYaml, balancerOn, parsedConfig, type RigConfig } from './rig.ts';
import { CLIENT, CLIENT_IPV6, configOf, type PacketRow, SMALL_TABLES } from './rows/row.ts';

/** Behind each row's packets, for a service of its own: where it comes out, all that was to come has come. */
const LAST = Buffer.from(
  tcpFrame({ destination: '198.18.10.99', destinationPort: 9, flags: 'S', sequence: 0xcafe_cafe }),
);
const FOR_LAST = `{ name: last, vip: 198.18.10.99, port: 9, encap: l2, ${SMALL_TABLES.join(', ')}, backends: [${backendYaml('b1')}] }`;

/** Frames shorter than an Ethernet header: a capture may hold them, a wire does not. All other rows are every device's. */
const ON_NO_WIRE = ['no byte at all', 'half an Ethernet header'];
const wireRows = ROWS.filter(({ name }) => !ON_NO_WIRE.includes(name));

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

/**
 * Of these the steering leaves the kernel more than the walk would (docs/architecture.md): `LAST` alone comes out of `af-xdp`
 * and `af-packet`. `portable` has a filter for the VIP instead and forwards them.
 */
const BEYOND_STEERING = ['IPv6: behind an authentication header', 'IPv6: behind eight headers'];

function throughSteering(row: PacketRow): Buffer[] {
  return BEYOND_STEERING.includes(row.name) ? throughMemory(row).slice(-1) : throughMemory(row);
}

suite('one conformance for every device', { skip: needsRoot }, () => {
  const directory = mkdtempSync(join(tmpdir(), 'hushlb-test-'));
  const hosts = makeTwoHosts();
  // Longer than 1500 bytes: some rows are too big once encapsulated.
  ip('-n', hosts.left, 'link', 'set', 'left', 'address', OWN_MAC, 'mtu', '1700');
  ip('-n', hosts.right, 'link', 'set', 'right', 'mtu', '1700');
  // Of IPv6 the kernel tells senders that it has no route; what the rows leave to it is not asked for here.
  ip('-n', hosts.left, '-6', 'route', 'add', 'blackhole', 'default');
  // Where frames of the rows go by their MACs, the kernel's routes and neighbours lead too.
  for (const network of ['198.18.2.0/24', '192.0.2.0/24', '2001:db8:2::/64'])
    ip('-n', hosts.left, 'route', 'add', network, 'dev', 'left');
  const clients = [CLIENT, CLIENT_IPV6].map((address) => ({ address, mac: CLIENT_MAC }));
  for (const { address, mac } of [...Object.values(BACKENDS), ...Object.values(BACKENDS_IPV6), ...clients]) {
    ip('-n', hosts.left, 'neigh', 'replace', address, 'lladdr', mac, 'dev', 'left', 'nud', 'permanent');
  }
  const interfaceIndex = inNamespace(hosts.left, () => requireLink('left').index);
  const sender = openPacketSocket(hosts.right, 'right');
  const receiver = openFrameReceiver(hosts.right, 'right');
  after(() => {
    sender.close();
    receiver.close();
    hosts.remove();
    rmSync(directory, { recursive: true, force: true });
  });

  /** What keeps the kernel from answering the originals, where a device gets copies; returns how to take it off. */
  function guardedBy({ guardFd }: TapSteering): () => void {
    const linkFd = inNamespace(hosts.left, () => createTcxLink(guardFd, interfaceIndex, 'ingress'));
    return () => closeDescriptor(linkFd);
  }

  /** Sends the row's frames to the device's host and collects as many as must come back, and what comes beside them. */
  function overTheWire(device: PacketDevice, row: PacketRow, count: number): Buffer[] {
    for (const frame of framesOf(row)) sender.send(frame);
    walkUntilLast(device, row);
    return comeBack(count);
  }

  /** Every row that has a way through the steering program. */
  function everyRow(device: PacketDevice, steering: ServiceSteering): void {
    for (const row of wireRows) {
      const expected = throughSteering(row);
      steer(steering, parsedConfig(settingsOf(row)));
      assert.deepEqual(overTheWire(device, row, expected.length), expected, row.name);
    }
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
    for (const row of ROWS) {
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

  for (const mode of ['native', 'generic'] as const) {
    test(`af-xdp, ${mode}`, () => {
      const steering = createSteering({ queueCount: 1 });
      const { programFd, socketMapFd } = steering;
      const [device, attachment] = inNamespace(hosts.left, () => [
        createAfXdpDevice({ interfaceIndex, queues: [0], socketMapFd }),
        attachXdp({ programFd, interfaceIndex, mode }),
      ]);
      try {
        everyRow(device, steering);
      } finally {
        attachment.detach();
        device.close();
        steering.close();
      }
    });
  }

  test('af-packet', () => {
    const steering = createTapSteering();
    const unguard = guardedBy(steering);
    const { filterFd } = steering;
    const device = inNamespace(hosts.left, () => createAfPacketDevice({ interfaceIndex, filterFd }));
    try {
      everyRow(device, steering);
    } finally {
      device.close();
      unguard();
      steering.close();
    }
  });

  test('portable', { skip: needsPortable }, async () => {
    const tap = createTapSteering();
    const unguard = guardedBy(tap);
    let onFrames = () => {};
    const device = inNamespace(hosts.left, () => {
      return createPortableDevice({ interfaceIndex, onFrames: () => onFrames() });
    });
    try {
      for (const row of wireRows) {
        const expected = throughMemory(row);
        steer(tap, parsedConfig(settingsOf(row)));
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
      unguard();
      tap.close();
    }
  });

  test('what is left out is what is said, and most rows leave something', () => {
    const tooShort = ROWS.filter(({ before = [], in: frame }) => [...before, frame].some(({ length }) => length < 14));
    assert.deepEqual(
      tooShort.map(({ name }) => name),
      ON_NO_WIRE,
    );
    const beyond = ROWS.filter(({ name }) => BEYOND_STEERING.includes(name));
    assert.equal(beyond.length, BEYOND_STEERING.length);
    for (const row of beyond) assert.equal(throughMemory(row).length, 2, row.name);
    const leaving = ROWS.filter((row) => throughMemory(row).length > 1);
    assert.ok(leaving.length > 200, `${ROWS.length} rows, ${leaving.length} leave something`);
  });
});
