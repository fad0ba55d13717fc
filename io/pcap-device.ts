/**
 * A packet device that replays one capture file and writes what goes out to another: hushlb offline, on traffic from
 * anywhere, with the capture's own time, so that hours of idling pass in a moment.
 *
 * The whole input is read into memory at once; fs.readFileSync takes files of up to 2 GiB. Frames that the capture cut
 * are replayed as short as they are.
 */
import { readFileSync } from 'node:fs';
import { memorySource } from './byte-source.ts';
import { readCapture } from './capture-reader.ts';
import { createFrameBatch, PASS, type PacketDevice, TRANSMIT } from './device.ts';
import { createPcapWriter, type PcapPacket } from './pcap.ts';

/** Bytes in front of each frame, as XDP leaves them. */
const HEADROOM = 256;
/** Least room for a frame that the forwarder makes itself, in captures of nothing but short ones. */
const OWN_FRAME_LENGTH = 128;
/** A batch has one `nowMs`, so it ends where the capture's time has gone on by this much. */
const BATCH_SPAN_NS = 1_000_000n;

/** What a frame that no packet came from was cut by. */
const NO_BYTES = new Uint8Array(0);

export interface PcapDeviceOptions {
  /** Path of the capture to read, pcap or pcapng, and of the one to write, pcap. */
  readonly input: string;
  readonly output: string;
  readonly batchSize?: number;
}

export interface PcapDevice extends PacketDevice {
  /** Every frame of the input was received and sent. */
  readonly finished: boolean;
  /** Milliseconds since 1970 of the last packet received; never goes back, even where the capture does. */
  readonly nowMs: number;
  /** Frames that went nowhere, and frames for the kernel, of which there is none here. */
  readonly released: number;
  readonly passed: number;
}

/**
 * `receive` never waits. Frames with the action TRANSMIT get the time of the packet that they came from, appended ones that
 * of the last packet received. Throws
 * PcapError for a file that is damaged anywhere, before anything is written, and the errors of node:fs.
 */
export function createPcapDevice(options: PcapDeviceOptions): PcapDevice {
  const { input, output, batchSize = 64 } = options;
  const file = readFileSync(input);
  let longest = OWN_FRAME_LENGTH;
  for (const { bytes } of readCapture(memorySource(input, file))) longest = Math.max(longest, bytes.length);
  const frameSize = HEADROOM + longest;
  const memory = new Uint8Array(batchSize * frameSize);
  const batch = createFrameBatch(batchSize);
  const writer = createPcapWriter(output);

  const packets = readCapture(memorySource(input, file));
  let next = packets.next();
  const received: PcapPacket[] = []; // behind the frames of the batch
  let nowMs = 0;
  let lastTimestampNs = 0n;
  let released = 0;
  let passed = 0;

  return {
    name: 'pcap',
    view: new DataView(memory.buffer),
    batch,
    headroom: HEADROOM,
    get finished() {
      return next.done === true && batch.count === 0;
    },
    get nowMs() {
      return nowMs;
    },
    get released() {
      return released;
    },
    get passed() {
      return passed;
    },

    receive() {
      received.length = 0;
      while (!next.done && received.length < batchSize) {
        const packet = next.value;
        if (packet.timestampNs - (received[0] ?? packet).timestampNs >= BATCH_SPAN_NS) break;
        const offset = received.length * frameSize + HEADROOM;
        memory.set(packet.bytes, offset);
        batch.offset[received.length] = offset;
        batch.length[received.length] = packet.bytes.length;
        nowMs = Math.max(nowMs, Number(packet.timestampNs / 1_000_000n));
        lastTimestampNs = packet.timestampNs;
        received.push(packet);
        next = packets.next();
      }
      batch.count = received.length;
      return batch.count;
    },

    send() {
      for (let i = 0; i < batch.count; i++) {
        const action = batch.action[i];
        if (action === PASS) passed++;
        else if (action !== TRANSMIT) released++;
        else {
          const { bytes, timestampNs, originalLength } = received[i];
          const frame = memory.subarray(batch.offset[i], batch.offset[i] + batch.length[i]);
          const cut = Math.max(0, originalLength - bytes.length);
          writer.write({ bytes: frame, timestampNs, originalLength: frame.length + cut });
        }
      }
      batch.count = 0;
    },

    append(frameLength) {
      const row = batch.count;
      if (row === batchSize || frameLength > longest) return -1;
      received[row] = { bytes: NO_BYTES, timestampNs: lastTimestampNs, originalLength: 0 };
      batch.offset[row] = row * frameSize + HEADROOM;
      batch.length[row] = frameLength;
      batch.action[row] = TRANSMIT;
      batch.count++;
      return row;
    },

    close: writer.close,
  };
}
