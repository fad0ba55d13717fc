/** Nothing is allocated for a packet, on none of the ways that traffic takes through the forwarder. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createFrameBatch } from '../../io/device.ts';
import { sweepTables } from '../../lb/adopt.ts';
import { parseConfig } from '../../lb/config-file.ts';
import { sendResets } from '../../lb/expiry-reset.ts';
import { createWalk } from '../../lb/forwarder.ts';
import { createOfflineBalancer } from '../../lb/offline.ts';
import { SERVICE_EXPIRY_RESETS_SENT } from '../../metrics/counters.ts';
import { bytesOfIp, bytesOfMac, CLIENT_MAC, OWN_MAC, type TcpFields, tcpFrame } from '../packets.ts';
import { bytesOfIp6, type Tcp6Fields, tcp6Frame } from '../packets6.ts';

const BATCH = 64;
const CHUNK = 512;
const HEADROOM = 256;
/** Four bytes of the source address: all of IPv4's, some of IPv6's. */
const SOURCE_ADDRESS_AT = 26;
const VIPS = { 4: '198.18.10.1', 6: '2001:db8:10::1' };
const BACKENDS = { 4: '198.18.2.1', 6: '2001:db8:2::1' };
const OWN_ADDRESSES = { 4: bytesOfIp('198.18.2.10'), 6: bytesOfIp6('2001:db8:2::10') };

interface Way {
  name: string;
  top?: string;
  service?: string;
  fields: TcpFields;
  flows: number;
  /** YAML of the backend. */
  backend?: string;
  /** RSTs are sent after each batch, of which a millisecond goes by for each packet. */
  resets?: true;
}

const RESETS = {
  name: 'onExpiry: reset, and the RSTs of it',
  service: 'onExpiry: reset, conntrack: { capacity: 4096, idleTimeout: 1s },',
  // Each comes back when it has idled out, after the sweep or before.
  flows: 1024,
  resets: true,
} as const;

const WAYS: Way[] = [
  { name: 'hits', fields: { flags: 'A' }, flows: 1000 },
  { name: 'misses, entries that come and go', fields: { flags: 'A' }, flows: 100_000 },
  { name: 'SYNs', fields: { flags: 'S' }, flows: 100_000 },
  { name: 'RSTs of mode stateful', top: 'mode: stateful', fields: { flags: 'A' }, flows: 100_000 },
  {
    name: 'onExpiry: reset, hits',
    service: 'onExpiry: reset, conntrack: { capacity: 65536 },',
    fields: { flags: 'A' },
    flows: 60_000,
  },
  { ...RESETS, fields: { flags: 'A' } },
  { name: 'round-robin by L2', service: 'scheduler: round-robin, encap: l2,', fields: { flags: 'A' }, flows: 100_000 },
  { name: 'hash alone', service: 'conntrack: { enabled: false },', fields: { flags: 'A' }, flows: 100_000 },
  {
    name: 'QUIC by server id',
    service: 'protocol: udp, quic: { serverIdLength: 2, nonceLength: 4 }, conntrack: { capacity: 4096 },',
    // As UDP, the sequence number's place is length and checksum, and a short header with the id stands behind it.
    fields: { sequence: 0x001a0000, acknowledgement: 0x4107c460, ip: { protocol: 17 }, payload: 'abcdef' },
    flows: 100_000,
    backend: ', serverId: "c460"',
  },
  { name: 'drops', fields: { ip: { ttl: 0 } }, flows: 1 },
  { name: 'passes', fields: { destination: '198.18.2.10' }, flows: 1 },
];

interface WayOfIpv6 extends Omit<Way, 'fields'> {
  fields: Tcp6Fields;
  /** Of the backend. */
  outer?: 4 | 6;
}

const options = [0, 1, 4, 0, 0, 0, 0];

const WAYS_OF_IPV6: WayOfIpv6[] = [
  { name: 'hits', fields: { flags: 'A' }, flows: 1000 },
  { name: 'misses, entries that come and go', fields: { flags: 'A' }, flows: 100_000 },
  { name: 'SYNs', fields: { flags: 'S' }, flows: 100_000 },
  { name: 'to IPv4 backends', fields: { flags: 'A' }, flows: 1000, outer: 4 },
  { name: 'extension headers', fields: { flags: 'A', ip: { extensions: [[60, options]] } }, flows: 1000 },
  { name: 'RSTs of mode stateful', top: 'mode: stateful', fields: { flags: 'A' }, flows: 100_000 },
  {
    name: 'onExpiry: reset, hits',
    service: 'onExpiry: reset, conntrack: { capacity: 65536 },',
    fields: { flags: 'A' },
    flows: 60_000,
  },
  { ...RESETS, fields: { flags: 'A' } },
  {
    name: 'hash alone by L2',
    service: 'encap: l2, conntrack: { enabled: false },',
    fields: { flags: 'A' },
    flows: 100_000,
  },
];

describe('heap growth', () => {
  for (const way of WAYS) {
    test(way.name, () => checkGrowth(way, tcpFrame(way.fields), 4, 4));
  }

  for (const way of WAYS_OF_IPV6) {
    test(`IPv6: ${way.name}`, () => checkGrowth(way, tcp6Frame(way.fields), 6, way.outer ?? 6));
  }
});

function checkGrowth(way: Way | WayOfIpv6, frame: Uint8Array, family: 4 | 6, outer: 4 | 6): void {
  const memory = new Uint8Array(BATCH * CHUNK);
  const view = new DataView(memory.buffer);
  const batch = createFrameBatch(BATCH);
  const mac = Uint8Array.from(bytesOfMac(CLIENT_MAC));
  const { config } = parseConfig(
    `{ interface: eth0, ${way.top === undefined ? '' : `${way.top},`} services: [{ name: web, vip: "${VIPS[family]}", port: 80,
           ${way.service ?? 'conntrack: { capacity: 4096 },'} backends: [{ name: b1, address: "${BACKENDS[outer]}"${way.backend ?? ''} }] }] }`,
    'test',
  );
  const device = {
    view,
    batch,
    append(length: number): number {
      const row = batch.count++;
      batch.offset[row] = row * CHUNK + HEADROOM;
      batch.length[row] = length;
      return row;
    },
    send() {
      batch.count = 0;
    },
  };
  const { forwarder, layout } = createOfflineBalancer({
    config,
    device,
    ownMac: Uint8Array.from(bytesOfMac(OWN_MAC)),
    hopOf: () => ({ mac, source: Uint8Array.from(OWN_ADDRESSES[outer]), mtu: 1500 }),
  });
  const walk = createWalk(forwarder);
  let flow = 0;
  const pass = (packets: number): void => {
    for (let done = 0; done < packets; done += BATCH) {
      for (let i = 0; i < BATCH; i++) {
        const offset = i * CHUNK + HEADROOM;
        memory.set(frame, offset);
        flow = flow + 1 < way.flows ? flow + 1 : 0;
        view.setInt32(offset + SOURCE_ADDRESS_AT, Math.imul(flow, 0x9e3779b1), true);
        batch.offset[i] = offset;
        batch.length[i] = frame.length;
      }
      batch.count = BATCH;
      walk(done);
      if (way.resets === undefined) continue;
      batch.count = 0;
      sweepTables(forwarder, done, BATCH);
      sendResets(forwarder, device);
    }
  };
  for (let i = 0; i < 10; i++) pass(64_000);
  // The median of several short rounds: a collection in one of them would hide what the packets left.
  const growths = Array.from({ length: 9 }, () => {
    const before = process.memoryUsage().heapUsed;
    pass(32_000);
    return process.memoryUsage().heapUsed - before;
  }).sort((a, b) => a - b);
  // An object costs 16 bytes at the least: half a million in a round.
  assert.ok(growths[4] < 100_000, `${growths[4]} bytes in 32,000 packets`);
  const sent = forwarder.counters[layout().serviceBase[0] + SERVICE_EXPIRY_RESETS_SENT];
  if (way.resets !== undefined) assert.ok(sent > 100_000, `${sent} RSTs`);
}
