/**
 * A traffic generator inside the kernel: millions of packets a second from one core into a veth (Linux 5.18).
 *
 * Benchmarks and tests call it. An XDP program runs over frames that the kernel makes (BPF_PROG_TEST_RUN on live
 * frames), writes the next flow's source into each and redirects it out of an interface. Into a veth that works only
 * while the other end has an XDP program, or GRO; its receive queue is chosen by the CPU that runs the generator.
 *
 * Frame n belongs to flow n modulo `flows`, across calls of `run`; `flowSource` tells the flow's source. The IPv4
 * header's checksum is right for each flow: what the address adds, the identification takes away. The TCP or UDP
 * checksum stays as it was in `frame`, wrong for most flows: no balancer looks at it, and a receiver that does would
 * measure its own stack. With `tcpChecksum` it is right too: what address and port add, the sequence number takes away.
 */
import { createMap, loadProgram, REDIRECT, runOnLiveFrames, XDP_MD_DATA, XDP_MD_DATA_END, XDP_PASS } from './bpf.ts';
import {
  alu,
  assemble,
  type Code,
  call,
  exit,
  jumpIf,
  label,
  load,
  loadMapValue,
  store,
  toBigEndian,
} from './bpf-assembler.ts';
import { closeDescriptor } from './ffi.ts';

export interface GeneratorOptions {
  /** Where the frames go out: the near end of a veth pair for frames that arrive at the far end. */
  readonly interfaceIndex: number;
  /** Ethernet, IPv4 without options, TCP or UDP; 40 bytes at least. Source port and last byte of the source vary. */
  readonly frame: Uint8Array;
  /** How many flows, 1 to 2^24. */
  readonly flows: number;
  /** TCP only: its checksum is right for each flow, so that receivers take the segments for what they are. */
  readonly tcpChecksum?: boolean;
}

export interface Generator {
  /** Sends `count` frames and blocks the thread until the last one went out. A slow receiver loses some of them. */
  run(count: number): void;
  close(): void;
}

const IDENTIFICATION_AT = 18;
const CHECKSUM_AT = 24;
const SOURCE_LAST_BYTE_AT = 29;
const SOURCE_PORT_AT = 34;
const SEQUENCE_AT = 38;
const TCP_CHECKSUM_AT = 50;
/** Ethernet, IPv4 and ports, rounded up to words; and with all of TCP. */
const HEADERS_LENGTH = 40;
const TCP_HEADERS_LENGTH = 54;
const FIRST_PORT = 1024;
const LAST_BYTE_MASK = 0xff;

function headersLength(tcpChecksum: boolean): number {
  return tcpChecksum ? TCP_HEADERS_LENGTH : HEADERS_LENGTH;
}

/** Last byte of the source address, and source port, of flow `index`. */
export function flowSource(index: number): { lastByte: number; port: number } {
  return { lastByte: index & LAST_BYTE_MASK, port: (FIRST_PORT + (index >>> 8)) & 0xffff };
}

/** The frame as flow 0 has it: last byte of the source 0, and 255 - 0 as identification, to which the checksum fits. */
function normalise(frame: Uint8Array): Buffer {
  const bytes = Buffer.from(frame);
  bytes.writeUInt16BE(LAST_BYTE_MASK, IDENTIFICATION_AT);
  bytes.writeUInt8(0, SOURCE_LAST_BYTE_AT);
  bytes.writeUInt16BE(0, CHECKSUM_AT);
  bytes.writeUInt16BE(onesComplement(bytes, 14, SOURCE_PORT_AT, 0), CHECKSUM_AT);
  return bytes;
}

/** The normalised frame with port and sequence number as flow 0 has them, to which its TCP checksum fits. */
function finishTcp(bytes: Buffer): Buffer {
  bytes.writeUInt16BE(FIRST_PORT, SOURCE_PORT_AT);
  bytes.writeUInt16BE(0xffff - FIRST_PORT, SEQUENCE_AT);
  bytes.writeUInt16BE(0xffff, SEQUENCE_AT + 2);
  bytes.writeUInt16BE(0, TCP_CHECKSUM_AT);
  const end = 14 + bytes.readUInt16BE(16);
  let sum = bytes[23] + end - SOURCE_PORT_AT;
  for (let at = SOURCE_PORT_AT - 8; at < SOURCE_PORT_AT; at += 2) sum += bytes.readUInt16BE(at);
  bytes.writeUInt16BE(onesComplement(bytes, SOURCE_PORT_AT, end, sum), TCP_CHECKSUM_AT);
  return bytes;
}

/** RFC 1071 over the bytes from `start` to `end`, on top of `sum`. */
function onesComplement(bytes: Buffer, start: number, end: number, sum: number): number {
  let total = sum;
  for (let at = start; at < end; at += 2) total += at + 1 < end ? bytes.readUInt16BE(at) : bytes[at] << 8;
  while (total > 0xffff) total = (total & 0xffff) + (total >>> 16);
  return ~total & 0xffff;
}

/** r2 is 255 less the address's last byte, r7 the port in network order: both halves of the sequence number. */
const TAKE_AWAY: Code = [
  store('u8', 'r6', SEQUENCE_AT + 3, 'r2'),
  alu('r2', '=', 0xffff),
  alu('r2', '-=', 'r7'),
  store('u16', 'r6', SEQUENCE_AT, 'r2'),
];

interface Target {
  readonly flows: number;
  readonly interfaceIndex: number;
  readonly tcpChecksum: boolean;
}

/** r6 packet, r7 flow. The headers are written in full each time: a page holds what its last receiver made of it. */
function generatorProgram(frame: Buffer, sequenceMapFd: number, { flows, interfaceIndex, tcpChecksum }: Target): Code {
  const length = headersLength(tcpChecksum);
  const headerWords: Code[] = [];
  for (let at = 0; at + 4 <= length; at += 4) headerWords.push([store('u32', 'r6', at, frame.readInt32LE(at))]);
  if (length % 4 !== 0) headerWords.push([store('u16', 'r6', length - 2, frame.readUInt16LE(length - 2))]);
  return [
    load('u32', 'r6', 'r1', XDP_MD_DATA),
    load('u32', 'r2', 'r1', XDP_MD_DATA_END),
    alu('r3', '=', 'r6'),
    alu('r3', '+=', length),
    jumpIf('r3', '>', 'r2', 'too-short'),
    headerWords,

    // One run at a time, so the number needs no atomic.
    loadMapValue('r1', sequenceMapFd, 0),
    load('u64', 'r7', 'r1', 0),
    alu('r2', '=', 'r7'),
    alu('r2', '+=', 1),
    store('u64', 'r1', 0, 'r2'),
    alu('r7', '%=', flows),

    alu('r1', '=', 'r7'),
    alu('r1', '&=', LAST_BYTE_MASK),
    store('u8', 'r6', SOURCE_LAST_BYTE_AT, 'r1'),
    alu('r2', '=', LAST_BYTE_MASK),
    alu('r2', '-=', 'r1'),
    store('u8', 'r6', IDENTIFICATION_AT + 1, 'r2'),
    alu('r7', '>>=', 8),
    alu('r7', '+=', FIRST_PORT),
    toBigEndian('r7', 16),
    store('u16', 'r6', SOURCE_PORT_AT, 'r7'),
    tcpChecksum ? TAKE_AWAY : [],

    alu('r1', '=', interfaceIndex),
    alu('r2', '=', 0),
    call(REDIRECT),
    exit(),

    label('too-short'),
    alu('r0', '=', XDP_PASS),
    exit(),
  ];
}

/** Throws RangeError for a frame or a number of flows that does not fit, SystemCallError without the privilege. */
export function createGenerator({ interfaceIndex, frame, flows, tcpChecksum = false }: GeneratorOptions): Generator {
  const needed = headersLength(tcpChecksum);
  if (frame.byteLength < needed)
    throw new RangeError(`generator: the frame has ${frame.byteLength} bytes of ${needed}`);
  if (!(flows >= 1 && flows <= 1 << 24)) throw new RangeError(`generator: 1 to ${1 << 24} flows, got ${flows}`);
  const normalised = tcpChecksum ? finishTcp(normalise(frame)) : normalise(frame);
  const mapFd = createMap({ name: 'hushlb_sequence', type: 'array', keySize: 4, valueSize: 8, entries: 1 });
  const code = generatorProgram(normalised, mapFd, { flows, interfaceIndex, tcpChecksum });
  const programFd = loadProgram('hushlb_generate', assemble(code));
  return {
    run: (count) => runOnLiveFrames(programFd, normalised, count),
    close() {
      closeDescriptor(programFd);
      closeDescriptor(mapFd);
    },
  };
}
