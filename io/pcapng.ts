/**
 * Writes capture files of several interfaces with comments on packets: pcapng (draft-ietf-opsawg-pcapng), little-endian,
 * nanoseconds. For the captures that a report of the lab links to; Wireshark, tshark and tcpdump open them.
 *
 *   file:   section header ‖ interface description, one each ‖ enhanced packet …
 *   block:  type u32 │ length u32 ‖ body, padded to 32 bits ‖ length u32
 *   option: code u16 │ length u16 ‖ value, padded to 32 bits       the last one has code 0 and length 0
 */
import { createBufferedFile } from './buffered-file.ts';

const SECTION_HEADER = 0x0a0d0d0a;
const INTERFACE_DESCRIPTION = 1;
const ENHANCED_PACKET = 6;
const BYTE_ORDER_MAGIC = 0x1a2b3c4d;
/** "Not specified": readers find the section's end at the end of the file. */
const UNKNOWN_LENGTH = 0xffff_ffff_ffff_ffffn;
const LINKTYPE_ETHERNET = 1;

const OPT_COMMENT = 1;
const SHB_USERAPPL = 4;
const IF_NAME = 2;
const IF_DESCRIPTION = 3;
const IF_TSRESOL = 9;
const EPB_FLAGS = 2;
/** 10 to the power of -9 seconds. */
const NANOSECONDS = 9;
const INBOUND = 1;
const OUTBOUND = 2;
/** An option's length has 16 bits. */
const LONGEST_OPTION = 0xffff;

export interface PcapngInterface {
  readonly name: string;
  readonly description?: string;
}

export interface PcapngFile {
  /** The program that captured. */
  readonly application: string;
  /** On the capture as a whole; '' for none. */
  readonly comment: string;
  /** Packets name them by their place. */
  readonly interfaces: readonly PcapngInterface[];
  /** Packets were cut to this many bytes; 0 where they were not. */
  readonly snapLength: number;
}

export interface PcapngPacket {
  /** Place in the file's interfaces. */
  readonly interface: number;
  readonly direction: 'in' | 'out';
  /** From the Ethernet header on. */
  readonly bytes: Uint8Array;
  /** Since 1970. */
  readonly timestampNs: bigint;
  /** Length on the wire; `bytes` has fewer when the capture cut it. */
  readonly originalLength: number;
  readonly comment?: string | undefined;
}

export interface PcapngWriter {
  /** Throws RangeError for an interface that the file does not have, and a comment longer than 65,535 bytes. */
  write(packet: PcapngPacket): void;
  /** Writes out what is buffered. Nothing may be written afterwards. */
  close(): void;
}

/** Starts a capture as io/buffered-file.ts starts a file. Throws the errors of node:fs; so do `write` and `close`. */
export function createPcapngWriter(to: string | number, description: PcapngFile): PcapngWriter {
  const { application, comment: fileComment, interfaces, snapLength } = description;
  // Made first: what cannot be written leaves no file.
  const head = [
    sectionHeader(application, fileComment),
    ...interfaces.map((each) => interfaceDescription(each, snapLength)),
  ];
  const file = createBufferedFile(to);
  for (const block of head) file.append(block);
  return {
    write(packet) {
      if (!(packet.interface in interfaces)) throw new RangeError(`no interface ${packet.interface} in this capture`);
      file.append(enhancedPacket(packet));
    },
    close: () => file.close(),
  };
}

function sectionHeader(application: string, comment: string): Buffer {
  const body = Buffer.alloc(16);
  body.writeUInt32LE(BYTE_ORDER_MAGIC, 0);
  body.writeUInt16LE(1, 4); // version 1.0
  body.writeUInt16LE(0, 6);
  body.writeBigUInt64LE(UNKNOWN_LENGTH, 8);
  return block(SECTION_HEADER, body, options([OPT_COMMENT, comment], [SHB_USERAPPL, application]));
}

function interfaceDescription({ name, description = '' }: PcapngInterface, snapLength: number): Buffer {
  const body = Buffer.alloc(8);
  body.writeUInt16LE(LINKTYPE_ETHERNET, 0);
  body.writeUInt32LE(snapLength, 4);
  const resolution = Buffer.of(NANOSECONDS);
  return block(
    INTERFACE_DESCRIPTION,
    body,
    options([IF_NAME, name], [IF_DESCRIPTION, description], [IF_TSRESOL, resolution]),
  );
}

function enhancedPacket(packet: PcapngPacket): Buffer {
  const { bytes, timestampNs } = packet;
  const head = Buffer.alloc(20);
  head.writeUInt32LE(packet.interface, 0);
  head.writeUInt32LE(Number(timestampNs >> 32n), 4);
  head.writeUInt32LE(Number(timestampNs & 0xffff_ffffn), 8);
  head.writeUInt32LE(bytes.length, 12);
  head.writeUInt32LE(packet.originalLength, 16);
  const flags = Buffer.alloc(4);
  flags.writeUInt32LE(packet.direction === 'in' ? INBOUND : OUTBOUND);
  return block(ENHANCED_PACKET, head, padded(bytes), options([OPT_COMMENT, packet.comment ?? ''], [EPB_FLAGS, flags]));
}

function block(type: number, ...parts: readonly Uint8Array[]): Buffer {
  const length = parts.reduce((sum, part) => sum + part.length, 12);
  const start = Buffer.alloc(8);
  start.writeUInt32LE(type, 0);
  start.writeUInt32LE(length, 4);
  return Buffer.concat([start, ...parts, start.subarray(4)]);
}

/** Those with a value, and the end of options. */
function options(...given: readonly (readonly [code: number, value: string | Uint8Array])[]): Buffer {
  const parts = given.flatMap(([code, value]) => {
    const bytes = typeof value === 'string' ? Buffer.from(value) : value;
    if (bytes.length === 0) return [];
    if (bytes.length > LONGEST_OPTION) throw new RangeError(`too long for a capture file: ${bytes.length} bytes`);
    const head = Buffer.alloc(4);
    head.writeUInt16LE(code, 0);
    head.writeUInt16LE(bytes.length, 2);
    return [head, padded(bytes)];
  });
  return Buffer.concat([...parts, Buffer.alloc(4)]);
}

function padded(bytes: Uint8Array): Uint8Array {
  const missing = -bytes.length & 3;
  return missing === 0 ? bytes : Buffer.concat([bytes, Buffer.alloc(missing)]);
}
