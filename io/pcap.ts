/**
 * Classic capture files (libpcap's own format, draft-ietf-opsawg-pcap): read in either byte order with micro- or
 * nanoseconds, written with nanoseconds. For the pcap device and for captures that the lab leaves behind;
 * io/capture-reader.ts reads pcapng beside it.
 *
 *   file:   magic u32 │ version u16.u16 │ 0 u32 │ 0 u32 │ snapLength u32 │ link type u32 ‖ packets
 *   packet: seconds u32 │ micro- or nanoseconds u32 │ captured length u32 │ original length u32 ‖ bytes
 */
import { createBufferedFile } from './buffered-file.ts';
import type { ByteSource } from './byte-source.ts';

const MICROSECONDS = 0xa1b2c3d4;
const NANOSECONDS = 0xa1b23c4d;
export const LINKTYPE_ETHERNET = 1;
/** The upper bits of the link type say whether frames carry an FCS. */
const LINKTYPE_MASK = 0x03ff_ffff;
const FILE_HEADER = 24;
const PACKET_HEADER = 16;
/** What libpcap takes for the longest packet that can be. */
export const MAX_LENGTH = 262144;
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
 * The packets of a pcap file, one at a time; `bytes` of each are good until the next, or for ever where the source is in
 * memory. Throws PcapError, and the errors of the source: for the header before the first packet, for a cut or damaged
 * packet after those in front of it.
 */
export function* readPcap(source: ByteSource): Generator<PcapPacket, void, undefined> {
  const { littleEndian, nsPerUnit } = takeFileHeader(source);
  for (;;) {
    const offset = source.position;
    const there = source.want(PACKET_HEADER);
    if (there === 0) return;
    if (there < PACKET_HEADER) throw new PcapError(source.name, offset, 'the file ends inside a packet header');
    const { view, at } = source;
    const seconds = view.getUint32(at, littleEndian);
    const fractionNs = BigInt(view.getUint32(at + 4, littleEndian)) * nsPerUnit;
    const length = view.getUint32(at + 8, littleEndian);
    const originalLength = view.getUint32(at + 12, littleEndian);
    if (fractionNs >= NS_PER_SECOND || length > MAX_LENGTH) {
      const problem = `damaged packet header: ${length} bytes, ${fractionNs} ns past the second`;
      throw new PcapError(source.name, offset, problem);
    }
    source.take(PACKET_HEADER);
    const left = source.want(length);
    if (left < length) {
      const problem = `the file ends inside a packet: ${length} bytes expected, ${left} left`;
      throw new PcapError(source.name, offset, problem);
    }
    yield { bytes: source.take(length), timestampNs: BigInt(seconds) * NS_PER_SECOND + fractionNs, originalLength };
  }
}

function takeFileHeader(source: ByteSource): { littleEndian: boolean; nsPerUnit: bigint } {
  const there = source.want(FILE_HEADER);
  const { view, at } = source;
  const fail = (problem: string, within = 0) => new PcapError(source.name, within, problem);
  // First what it is, then whether it is whole: a short text is no short capture.
  if (there < 4) throw fail(`too short for a capture: ${there} bytes`);
  const first = view.getUint32(at, true);
  const littleEndian = first === MICROSECONDS || first === NANOSECONDS;
  const magic = view.getUint32(at, littleEndian);
  if (magic !== MICROSECONDS && magic !== NANOSECONDS) throw fail(notACapture(magic));
  if (there < FILE_HEADER) throw fail(`too short for a capture: ${there} bytes`);
  const version = view.getUint16(at + 4, littleEndian);
  if (version !== 2) throw fail(`pcap version ${version} is not read, only 2`, 4);
  const linkType = view.getUint32(at + 20, littleEndian) & LINKTYPE_MASK;
  if (linkType !== LINKTYPE_ETHERNET) throw fail(notEthernet(linkType), 20);
  source.take(FILE_HEADER);
  return { littleEndian, nsPerUnit: magic === NANOSECONDS ? 1n : 1000n };
}

/** By the first two bytes of what people compress captures with. */
const COMPRESSED: ReadonlyMap<number, string> = new Map([
  [0x1f8b, 'gzip'],
  [0x28b5, 'zstd'],
  [0xfd37, 'xz'],
  [0x425a, 'bzip2'],
]);

function notACapture(magic: number): string {
  const program = COMPRESSED.get(magic >>> 16);
  if (program !== undefined) return `compressed with ${program}: decompress it first`;
  return `neither a pcap nor a pcapng file: it starts with 0x${magic.toString(16).padStart(8, '0')}`;
}

/** Those that a tcpdump on Linux writes, on devices that are none of Ethernet. */
const LINK_TYPES: ReadonlyMap<number, string> = new Map([
  [0, 'BSD loopback'],
  [12, 'raw IP'],
  [101, 'raw IP'],
  [105, 'Wi-Fi'],
  [113, 'Linux cooked, of the device "any"'],
  [127, 'Wi-Fi with radiotap'],
  [276, 'Linux cooked, of the device "any"'],
]);

/** Why packets of another link type are refused. */
export function notEthernet(linkType: number): string {
  const name = LINK_TYPES.get(linkType);
  const which = name === undefined ? `link type ${linkType}` : `link type ${linkType} (${name})`;
  return `${which} is not read, only Ethernet (1): capture on one Ethernet interface`;
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
