/** Nothing is allocated for a packet, on none of the ways that traffic takes through the forwarder. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createFrameBatch } from '../../io/device.ts';
import { parseConfig } from '../../lb/config-file.ts';
import { createWalk } from '../../lb/forwarder.ts';
import { createOfflineBalancer } from '../../lb/offline.ts';
import { bytesOfIp, bytesOfMac, CLIENT_MAC, OWN_MAC, type TcpFields, tcpFrame } from '../packets.ts';

const BATCH = 64;
const CHUNK = 512;
const HEADROOM = 256;
const SOURCE_ADDRESS_AT = 26;

const WAYS: { name: string; top?: string; service?: string; fields: TcpFields; flows: number; backend?: string }[] = [
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

describe('heap growth', () => {
  for (const way of WAYS) {
    test(way.name, () => {
      const memory = new Uint8Array(BATCH * CHUNK);
      const view = new DataView(memory.buffer);
      const batch = createFrameBatch(BATCH);
      const frame = tcpFrame(way.fields);
      const mac = Uint8Array.from(bytesOfMac(CLIENT_MAC));
      const { config } = parseConfig(
        `{ interface: eth0, ${way.top === undefined ? '' : `${way.top},`} services: [{ name: web, vip: 198.18.10.1, port: 80,
           ${way.service ?? 'conntrack: { capacity: 4096 },'} backends: [{ name: b1, address: 198.18.2.1${way.backend ?? ''} }] }] }`,
        'test',
      );
      const { forwarder } = createOfflineBalancer({
        config,
        device: { view, batch, append: () => -1 },
        ownMac: Uint8Array.from(bytesOfMac(OWN_MAC)),
        hopOf: () => ({ mac, source: Uint8Array.from(bytesOfIp('198.18.2.10')), mtu: 1500 }),
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
    });
  }
});
