/**
 * What every device on an interface has to do the same way, for the tests of each: frames go in at its host from `peer` at the
 * far end of the veth pair, out of the device, and back. Not a test.
 */
import assert from 'node:assert/strict';
import { type PacketDevice, TRANSMIT } from '../../io/device.ts';
import { echoBatch } from './echo.ts';
import type { PacketSocket } from './packet-socket.ts';
import { receiveAll } from './receive-all.ts';

/** What the echo makes of a frame. */
export const echoOf = (frame: Uint8Array): Buffer =>
  Buffer.concat([frame.subarray(6, 12), frame.subarray(0, 6), frame.subarray(12)]);

export interface DeviceCases {
  /** Sends `total` frames and has them back, in batches of a size that changes; `check` is called for each. */
  exchange(total: number, check: () => void): void;
  /** Fills all of `headroom` in front of a frame, and cuts the frame. */
  prependAndCut(headroom: number): void;
  /** Appends frame number `n`; returns its row, or -1. */
  append(n: number): number;
  /** Sends a frame and has it in a batch of eight, with seven behind it that are appended. */
  appendSeven(work: () => void): void;
  /**
   * `rounds` times eight frames, to each of which another of `sabotage` is done before they are sent, twice. Every other time the
   * batch is left lying, as when a forwarder fails; `after` is told the number of each first frame that was sent.
   */
  misuse(rounds: number, sabotage: readonly ((row: number) => void)[], after?: (first: number) => void): void;
  /** Two wake-ups end one wait, and the next lasts as long as it was told. */
  wakeUp(wake: () => void): void;
}

/** `frameNumber` tells frames apart by `n`; 54 bytes are its headers. */
export function deviceCases(
  device: PacketDevice,
  peer: PacketSocket,
  frameNumber: (n: number) => Uint8Array,
): DeviceCases {
  const { batch, view } = device;

  function append(n: number): number {
    const bytes = frameNumber(n);
    const row = device.append(bytes.length);
    for (let i = 0; row >= 0 && i < bytes.length; i++) view.setUint8(batch.offset[row]! + i, bytes[i]!);
    return row;
  }

  return {
    exchange(total, check) {
      for (let sent = 0; sent < total; ) {
        const count = Math.min(50 + (sent % 14), total - sent);
        const frames = Array.from({ length: count }, (_, i) => frameNumber(sent + i));
        for (const frame of frames) peer.send(frame);
        receiveAll(device, count, () => {
          check();
          echoBatch(device);
        });
        for (const frame of frames) assert.deepEqual(peer.receive(), echoOf(frame));
        sent += count;
      }
    },
    prependAndCut(headroom) {
      const frame = frameNumber(1000);
      peer.send(frame);
      receiveAll(device, 1, () => {
        assert.equal(device.headroom, headroom);
        assert.equal(batch.length[0], frame.length);
        batch.offset[0] -= headroom;
        batch.length[0] = headroom + 54;
        for (let i = 0; i < headroom; i++) view.setUint8(batch.offset[0]! + i, i);
        view.setUint16(batch.offset[0]! + 12, 0x0800);
        batch.action[0] = TRANSMIT;
        device.send();
      });
      const prefix = Buffer.from(Uint8Array.from({ length: headroom }, (_, i) => i));
      prefix.writeUInt16BE(0x0800, 12);
      assert.deepEqual(peer.receive(), Buffer.concat([prefix, frame.subarray(0, 54)]));
    },
    append,
    appendSeven(work) {
      peer.send(frameNumber(1));
      receiveAll(device, 1, () => {
        batch.action[0] = TRANSMIT;
        for (let n = 2; n <= 8; n++) assert.equal(append(n), n - 1);
        assert.equal(append(9), -1);
        assert.equal(batch.count, 8);
        work();
        device.send();
      });
      for (let n = 1; n <= 8; n++) assert.deepEqual(peer.receive(), Buffer.from(frameNumber(n)));
    },
    misuse(rounds, sabotage, after = () => {}) {
      for (let round = 0; round < rounds; round++) {
        const isSent = round % 2 === 0;
        for (let i = 0; i < 8; i++) peer.send(frameNumber(round * 8 + i));
        let seen = 0;
        receiveAll(device, 8, () => {
          if (!isSent) return;
          for (let i = 0; i < batch.count; i++) {
            batch.action[i] = TRANSMIT;
            sabotage[seen++ % 8]!(i);
          }
          device.send();
          device.send();
        });
        if (isSent) after(round * 8);
      }
    },
    wakeUp(wake) {
      wake();
      wake();
      assert.equal(device.receive(60_000), 0);
      const before = performance.now();
      assert.equal(device.receive(50), 0);
      assert.ok(performance.now() - before >= 49, 'it slept: the wake-up was used up');
      wake();
      peer.send(frameNumber(2));
      receiveAll(device, 1, () => echoBatch(device));
    },
  };
}
