/**
 * A million spoofed SYNs through the real forwarder, in virtual time: of a thousand established connections none is lost, also
 * when a backend is added in the middle, by which a quarter of what is hashed goes elsewhere. Nor of those that are opened when
 * the flood has filled the table.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SERVICE_EVICTED, SERVICE_HITS } from '../../metrics/counters.ts';
import { tcpFrame } from '../packets.ts';
import { backendYaml, createRig, type Rig } from './rig.ts';

const ESTABLISHED = 1000;
const SYNS = 1_000_000;
const VIP = '198.18.10.1';
const SERVICE = 'conntrack: { capacity: 20000, idleTimeout: 60s }';
const of = (...names: string[]) => ({ service: SERVICE, backends: names.map((name) => backendYaml(name)) });

const clientFrame = (i: number, flags: string): Uint8Array =>
  tcpFrame({ source: `198.18.7.${i % 250}`, sourcePort: 10_000 + i, destination: VIP, flags });

const syn = tcpFrame({ source: '0.0.255.255', sourcePort: 1, destination: VIP, flags: 'S' });
const bytes = new DataView(syn.buffer, syn.byteOffset, syn.byteLength);

/** The same frame each time. */
function spoofedSyn(i: number): Uint8Array {
  // Both halves of the source together are 0 in one's complement: the header's checksum stays.
  const half = Math.imul(i, 40_503) & 0xffff;
  bytes.setUint16(26, half);
  bytes.setUint16(28, 0xffff - half);
  bytes.setUint16(34, 1024 + (i % 60_000));
  return syn;
}

function whereTo(rig: Rig, now: number): (string | undefined)[] {
  return Array.from({ length: ESTABLISHED }, (_, i) => rig.backendOf(rig.walk(clientFrame(i, 'A'), now)));
}

test('of 1,000 connections none is lost under 1,000,000 spoofed SYNs and a new backend', () => {
  const rig = createRig(of('b1', 'b2', 'b3'));
  for (let i = 0; i < ESTABLISHED; i++) rig.walk(clientFrame(i, 'S'), 0);
  const before = whereTo(rig, 1);
  assert.equal(new Set(before).size, 3);

  // 20,000 SYNs a virtual second; clients say something every ten.
  for (let i = 0; i < SYNS; i++) {
    const now = 2 + Math.floor(i / 20);
    rig.walk(spoofedSyn(i), now);
    if (i === SYNS / 2) rig.takeOver(of('b1', 'b2', 'b3', 'b4'), now);
    if (i % 20_000 === 19_999) rig.sweep(now, 1000);
    if (i % 200_000 === 199_999) assert.deepEqual(whereTo(rig, now), before, `after ${i + 1} SYNs`);
  }
  assert.ok(rig.count(SERVICE_EVICTED) > SYNS / 2, 'the flood was larger than the table');
  assert.ok(rig.count(SERVICE_HITS) >= 5 * ESTABLISHED);
});

test('nor of those that are opened when the flood has filled the table', () => {
  const rig = createRig(of('b1', 'b2', 'b3'));
  let sent = 0;
  const flood = (count: number, now: number): void => {
    for (const end = sent + count; sent < end; sent++) rig.walk(spoofedSyn(sent), now);
  };
  flood(80_000, 0);
  for (let i = 0; i < ESTABLISHED; i++) {
    for (const flags of ['S', 'A', 'A']) rig.walk(clientFrame(i, flags), 1);
    flood(5, 1);
  }
  const before = whereTo(rig, 2);
  rig.takeOver(of('b1', 'b2', 'b3', 'b4'), 2);
  flood(80_000, 3);
  assert.deepEqual(whereTo(rig, 4), before);
});
