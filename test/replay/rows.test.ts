/**
 * `hushlb replay` has a device of its own (replay/frame-device.ts), one packet at a time: each packet row comes out of it as it
 * does of the device in memory. Beside test/lb/device-conformance.test.ts, which has the devices that want a network.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createReplay } from '../../replay/replay.ts';
import { ROWS } from '../lb/packet-rows.ts';
import { BALANCER_ADDRESS, BALANCER_ADDRESS_IPV6, parsedConfig } from '../lb/rig.ts';
import { configOf, type PacketRow, rigOf } from '../lb/rows/row.ts';
import { bytesOfMac, OWN_MAC } from '../packets.ts';
import { bytesOfAddress } from '../packets6.ts';
import { packetAt } from './replays.ts';

/** A replay makes up the next hops' MACs, and so does test/lb/rig.ts; all behind them must be the same. */
const MAC_LENGTH = 6;
const behindMac = (frame: Uint8Array): Buffer => Buffer.copyBytesFrom(frame).subarray(MAC_LENGTH);

const hops = {
  ownMac: Uint8Array.from(bytesOfMac(OWN_MAC)),
  nextHop: null,
  source: Uint8Array.from(bytesOfAddress(BALANCER_ADDRESS)),
  sourceIpv6: Uint8Array.from(bytesOfAddress(BALANCER_ADDRESS_IPV6)),
  mtu: 1500,
};

function replayed(row: PacketRow, frames: readonly Uint8Array[]): { sent: Buffer[]; verdict: string } {
  const sent: Buffer[] = [];
  let verdict = '';
  const { take, finish } = createReplay({
    config: parsedConfig(configOf(row)),
    hops,
    outbound: false,
    onPacket(packet) {
      verdict = packet.verdict;
      if (packet.isSent) sent.push(behindMac(packet.bytes));
    },
  });
  for (const frame of frames) take(packetAt(0, frame));
  finish();
  return { sent, verdict };
}

test('every packet row comes out of a replay as out of the device in memory', () => {
  let leaving = 0;
  for (const row of ROWS) {
    const frames = [...(row.before ?? []), row.in];
    const rig = rigOf(row);
    const expected = frames.flatMap((frame) => rig.walkAll([frame]).map(behindMac));
    const { sent, verdict } = replayed(row, frames);
    assert.deepEqual(sent, expected, row.name);
    // A packet that waits is told of when it has waited long enough, which the end of a capture is.
    if (!row.exit.startsWith('hold')) assert.equal(verdict, row.exit.split(':')[0], row.name);
    leaving += sent.length;
  }
  assert.ok(leaving > 200, `${leaving} frames left`);
});
