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
 * measure its own stack.
 *
 * `createPacedGenerator` makes one for those who look at each frame: at a rate below what the receiver takes, with the
 * frame's number in it, and with flows that begin and end.
 */
import {
  createMap,
  KTIME_GET_NS,
  loadProgram,
  lookupMapInto,
  REDIRECT,
  runOnLiveFrames,
  updateMap,
  XDP_DROP,
  XDP_MD_DATA,
  XDP_MD_DATA_END,
  XDP_PASS,
} from './bpf.ts';
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
}

export interface Generator {
  /** Sends `count` frames and blocks the thread until the last one went out. A slow receiver loses some of them. */
  run(count: number): void;
  close(): void;
}

/** Frames carry their number, modulo 2^32, as the TCP sequence number. */
export interface PacedGeneratorOptions extends GeneratorOptions {
  /** After so many frames, a power of two, a new flow takes the place of the oldest; flows are numbered modulo 2^16. */
  readonly newFlowEvery: number;
}

export interface PacedGenerator {
  /**
   * Has the program run `count` times, and blocks the thread. It sends when a frame is due and drops the others on the spot.
   * Of what could not be sent in time, `CATCH_UP` frames are made up for.
   */
  run(count: number): void;
  /** From now on at most so many frames a second; Infinity for as many as it can. */
  setRate(perSecond: number): void;
  /** Frames sent since it was made. */
  sent(): number;
  close(): void;
}

const IDENTIFICATION_AT = 18;
const CHECKSUM_AT = 24;
const SOURCE_LAST_BYTE_AT = 29;
const SOURCE_PORT_AT = 34;
/** Ethernet, IPv4 and ports, rounded up to words. */
const HEADERS_LENGTH = 40;
const FIRST_PORT = 1024;
const LAST_BYTE_MASK = 0xff;
const SEQUENCE_NUMBER_AT = 38;
const NUMBERED_LENGTH = 42;
/** Of flows that come and go; the frame's number is kept below 2^63. */
const FLOW_MASK = 0xffff;
const NS_A_SECOND = 1e9;
/** Frames that a paced generator sends at once at most, after it had to wait for a core. */
const CATCH_UP = 256;
const ONLY_KEY = new Uint8Array(4);

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
  let sum = 0;
  for (let at = 14; at < SOURCE_PORT_AT; at += 2) sum += bytes.readUInt16BE(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  bytes.writeUInt16BE(~sum & 0xffff, CHECKSUM_AT);
  return bytes;
}

/** What a paced program does besides. */
interface Pace {
  /** 64-bit numbers: nanoseconds between two frames, those by which the next may be late, and the time at which it is due. */
  readonly mapFd: number;
  readonly newFlowEvery: number;
}

/** r6 packet, r7 flow. The headers are written in full each time: a page holds what its last receiver made of it. */
function generatorProgram(
  frame: Buffer,
  flows: number,
  sequenceMapFd: number,
  interfaceIndex: number,
  pace?: Pace,
): Code {
  const headerWords: Code[] = [];
  for (let at = 0; at < HEADERS_LENGTH; at += 4) headerWords.push([store('u32', 'r6', at, frame.readInt32LE(at))]);
  return [
    load('u32', 'r6', 'r1', XDP_MD_DATA),
    load('u32', 'r2', 'r1', XDP_MD_DATA_END),
    alu('r3', '=', 'r6'),
    alu('r3', '+=', pace === undefined ? HEADERS_LENGTH : NUMBERED_LENGTH),
    jumpIf('r3', '>', 'r2', 'too-short'),
    pace === undefined ? [] : waitForTurn(pace),
    headerWords,

    // One run at a time, so the number needs no atomic.
    loadMapValue('r1', sequenceMapFd, 0),
    load('u64', 'r7', 'r1', 0),
    alu('r2', '=', 'r7'),
    alu('r2', '+=', 1),
    store('u64', 'r1', 0, 'r2'),
    pace === undefined ? [alu('r7', '%=', flows)] : [writeNumber(), chooseSlidingFlow(flows, pace)],

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

    alu('r1', '=', interfaceIndex),
    alu('r2', '=', 0),
    call(REDIRECT),
    exit(),

    label('too-short'),
    alu('r0', '=', XDP_PASS),
    exit(),
  ];
}

function waitForTurn({ mapFd }: Pace): Code {
  return [
    call(KTIME_GET_NS),
    loadMapValue('r1', mapFd, 0),
    load('u64', 'r2', 'r1', 16),
    jumpIf('r0', '>=', 'r2', 'its-turn'),
    alu('r0', '=', XDP_DROP),
    exit(),
    label('its-turn'),
    alu('r0', '-=', 'r2'),
    load('u64', 'r3', 'r1', 8),
    jumpIf('r3', '>=', 'r0', 'in-time'),
    alu('r0', '-=', 'r3'),
    alu('r2', '+=', 'r0'),
    label('in-time'),
    load('u64', 'r3', 'r1', 0),
    alu('r2', '+=', 'r3'),
    store('u64', 'r1', 16, 'r2'),
  ];
}

function writeNumber(): Code {
  return [alu('r1', '=', 'r7'), toBigEndian('r1', 32), store('u32', 'r6', SEQUENCE_NUMBER_AT, 'r1')];
}

function chooseSlidingFlow(flows: number, { newFlowEvery }: Pace): Code {
  return [
    alu('r1', '=', 'r7'),
    alu('r1', '>>=', Math.log2(newFlowEvery)),
    alu('r7', '%=', flows),
    alu('r7', '+=', 'r1'),
    alu('r7', '&=', FLOW_MASK),
  ];
}

/** Throws RangeError for a frame or a number of flows that does not fit, SystemCallError without the privilege. */
export function createGenerator(options: GeneratorOptions): Generator {
  check(options, HEADERS_LENGTH, 1 << 24);
  const { frame, sequenceMapFd, programFd } = loadGenerator(options);
  return {
    run: (count) => runOnLiveFrames(programFd, frame, count),
    close() {
      closeDescriptor(programFd);
      closeDescriptor(sequenceMapFd);
    },
  };
}

/** Throws as `createGenerator` does. Its rate is unlimited until `setRate`. */
export function createPacedGenerator(options: PacedGeneratorOptions): PacedGenerator {
  const { newFlowEvery } = options;
  check(options, NUMBERED_LENGTH, FLOW_MASK + 1);
  if (!Number.isInteger(Math.log2(newFlowEvery))) {
    throw new RangeError(`generator: newFlowEvery is a power of two, got ${newFlowEvery}`);
  }
  const mapFd = createMap({ name: 'hushlb_pace', type: 'array', keySize: 4, valueSize: 24, entries: 1 });
  const pace = { mapFd, newFlowEvery };
  const { frame, sequenceMapFd, programFd } = loadGenerator(options, pace);
  return {
    run: (count) => runOnLiveFrames(programFd, frame, count),
    setRate(perSecond) {
      // Node's clock and the program's are the same, CLOCK_MONOTONIC.
      const intervalNs = BigInt(Math.round(NS_A_SECOND / perSecond));
      updateMap(
        mapFd,
        ONLY_KEY,
        new Uint8Array(BigUint64Array.of(intervalNs, intervalNs * BigInt(CATCH_UP), process.hrtime.bigint()).buffer),
      );
    },
    sent() {
      const number = new BigUint64Array(1);
      lookupMapInto(sequenceMapFd, ONLY_KEY, new Uint8Array(number.buffer));
      return Number(number[0]);
    },
    close() {
      for (const fd of [programFd, sequenceMapFd, mapFd]) closeDescriptor(fd);
    },
  };
}

function check({ frame, flows }: GeneratorOptions, shortest: number, mostFlows: number): void {
  if (frame.byteLength < shortest)
    throw new RangeError(`generator: the frame has ${frame.byteLength} bytes of ${shortest}`);
  if (!(flows >= 1 && flows <= mostFlows)) throw new RangeError(`generator: 1 to ${mostFlows} flows, got ${flows}`);
}

function loadGenerator(
  { interfaceIndex, frame, flows }: GeneratorOptions,
  pace?: Pace,
): { readonly frame: Buffer; readonly sequenceMapFd: number; readonly programFd: number } {
  const normalised = normalise(frame);
  const sequenceMapFd = createMap({ name: 'hushlb_sequence', type: 'array', keySize: 4, valueSize: 8, entries: 1 });
  const code = generatorProgram(normalised, flows, sequenceMapFd, interfaceIndex, pace);
  return { frame: normalised, sequenceMapFd, programFd: loadProgram('hushlb_generate', assemble(code)) };
}
