/**
 * Classic capture files (libpcap's own format, draft-ietf-opsawg-pcap): read in either byte order with micro- or
 * nanoseconds, written with nanoseconds. For the pcap device and for captures that the lab leaves behind.
 *
 *   file:   magic u32 │ version u16.u16 │ 0 u32 │ 0 u32 │ snapLength u32 │ link type u32 ‖ packets
 *   packet: seconds u32 │ micro- or nanoseconds u32 │ captured length u32 │ original length u32 ‖ bytes
 */
import { createBufferedFile } from './buffered-file.ts';

const MICROSECONDS = 0xa1b2c3d4;
const NANOSECONDS = 0xa1b23c4d;
const PCAPNG = 0x0a0d0d0a;
const LINKTYPE_ETHERNET = 1;
/** The upper bits of the link type say whether frames carry an FCS. */
const LINKTYPE_MASK = 0x03ff_ffff;
const FILE_HEADER = 24;
const PACKET_HEADER = 16;
/** What libpcap takes for the longest packet that can be. */
const MAX_LENGTH = 262144;
const NS_PER_SECOND = 1_000_000_000n;

export interface PcapPacket {
  /** From the Ethernet header on; a view of the file's bytes when read. */
  readonly bytes: Uint8Array;
  /** Since 1970. */
  readonly timestampNs: bigint;
  /** Length on the wire; `bytes` has fewer when the capture cut it. */
  readonly originalLength: number;
}

/** A file that is no capture of Ethernet frames, or a damaged one; the message is one line and names the offset. */
export class PcapError extends Error {
  override readonly name = 'PcapError';
  readonly code = 'PCAP_INVALID';
  readonly offset: number;

  constructor(file: string, offset: number, problem: string) {
    super(`${file}: ${problem} (at byte ${offset})`);
    this.offset = offset;
  }
}

/**
 * The packets of a capture file's bytes, one at a time; `file` names it in errors. Throws PcapError and nothing else:
 * for the header before the first packet, for a cut or damaged packet after those in front of it.
 */
export function* readPcap(file: string, bytes: Uint8Array): Generator<PcapPacket, void, undefined> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const { littleEndian, nsPerUnit } = readFileHeader(file, view);

  for (let offset = FILE_HEADER; offset < bytes.length; ) {
    if (offset + PACKET_HEADER > bytes.length)
      throw new PcapError(file, offset, 'the file ends inside a packet header');
    const fractionNs = BigInt(view.getUint32(offset + 4, littleEndian)) * nsPerUnit;
    const length = view.getUint32(offset + 8, littleEndian);
    if (fractionNs >= NS_PER_SECOND || length > MAX_LENGTH) {
      throw new PcapError(file, offset, `damaged packet header: ${length} bytes, ${fractionNs} ns past the second`);
    }
    const start = offset + PACKET_HEADER;
    if (start + length > bytes.length) {
      const left = bytes.length - start;
      throw new PcapError(file, offset, `the file ends inside a packet: ${length} bytes expected, ${left} left`);
    }
    yield {
      bytes: bytes.subarray(start, start + length),
      timestampNs: BigInt(view.getUint32(offset, littleEndian)) * NS_PER_SECOND + fractionNs,
      originalLength: view.getUint32(offset + 12, littleEndian),
    };
    offset = start + length;
  }
}

function readFileHeader(file: string, view: DataView): { littleEndian: boolean; nsPerUnit: bigint } {
  if (view.byteLength < FILE_HEADER) throw new PcapError(file, 0, `too short for a capture: ${view.byteLength} bytes`);
  const first = view.getUint32(0, true);
  if (first === PCAPNG) throw new PcapError(file, 0, 'pcapng is not read: convert it with `tcpdump -r IN -w OUT`');
  const littleEndian = first === MICROSECONDS || first === NANOSECONDS;
  const magic = view.getUint32(0, littleEndian);
  if (magic !== MICROSECONDS && magic !== NANOSECONDS) {
    throw new PcapError(file, 0, `not a pcap file: it starts with 0x${magic.toString(16).padStart(8, '0')}`);
  }
  const version = view.getUint16(4, littleEndian);
  if (version !== 2) throw new PcapError(file, 4, `pcap version ${version} is not read, only 2`);
  const linkType = view.getUint32(20, littleEndian) & LINKTYPE_MASK;
  if (linkType !== LINKTYPE_ETHERNET) {
    throw new PcapError(file, 20, `link type ${linkType} is not read, only Ethernet (1): capture on one interface`);
  }
  return { littleEndian, nsPerUnit: magic === NANOSECONDS ? 1n : 1000n };
}

export interface PcapWriter {
  write(packet: PcapPacket): void;
  /** Writes out what is buffered. Nothing may be written afterwards. */
  close(): void;
}

/** Starts a capture file, replacing what is there. Throws the errors of node:fs; so do `write` and `close`. */
export function createPcapWriter(path: string): PcapWriter {
  const file = createBufferedFile(path);
  const header = Buffer.alloc(FILE_HEADER);
  header.writeUInt32LE(NANOSECONDS, 0);
  header.writeUInt16LE(2, 4);
  header.writeUInt16LE(4, 6);
  header.writeUInt32LE(MAX_LENGTH, 16);
  header.writeUInt32LE(LINKTYPE_ETHERNET, 20);
  file.append(header);

  const packetHeader = Buffer.alloc(PACKET_HEADER);
  return {
    write({ bytes, timestampNs, originalLength }) {
      packetHeader.writeUInt32LE(Number(timestampNs / NS_PER_SECOND), 0);
      packetHeader.writeUInt32LE(Number(timestampNs % NS_PER_SECOND), 4);
      packetHeader.writeUInt32LE(bytes.length, 8);
      packetHeader.writeUInt32LE(originalLength, 12);
      file.append(packetHeader);
      file.append(bytes);
    },
    close: () => file.close(),
  };
}
