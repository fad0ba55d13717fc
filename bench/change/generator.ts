/**
 * What case `change-under-load` sends: the kernel's generator as in io/packet-generator.ts, but at a rate below what its receiver
 * takes, with the frame's number in each, and with connections that begin and end.
 *
 * ```
 * frame n   source port: the flow, (n modulo `flows` + n / `newFlowEvery`) modulo 2^16 │ TCP sequence number: n modulo 2^32
 * ```
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
} from '../../io/bpf.ts';
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
} from '../../io/bpf-assembler.ts';
import { closeDescriptor } from '../../io/ffi.ts';

export interface PacedGeneratorOptions {
  /** Where the frames go out. */
  readonly interfaceIndex: number;
  /** Ethernet, IPv4 without options, TCP. */
  readonly frame: Uint8Array;
  /** At a time, up to 2^16. */
  readonly flows: number;
  /** After so many frames, a power of two, a new flow takes the place of the oldest. */
  readonly newFlowEvery: number;
}

export interface PacedGenerator {
  readonly programFd: number;
  /**
   * Has the program run `count` times, and blocks the thread. It sends when a frame is due and drops the others on the spot.
   * Of what could not be sent in time, `CATCH_UP` frames are made up for.
   */
  run(count: number): void;
  /** From now on at most so many frames a second; Infinity, as at first, for as many as it can. */
  setRate(perSecond: number): void;
  /** Frames sent since it was made. */
  sent(): number;
  close(): void;
}

/** Frames sent at once at most, after the generator had to wait for a core: a small part of a receive ring. */
const CATCH_UP = 256;
const NS_A_SECOND = 1e9;

const SOURCE_PORT_AT = 34;
const NUMBER_AT = 38;
/** Ethernet, IPv4, and of TCP all that is looked at: rewritten each time, because a page holds what its last receiver made of it. */
const HEADERS_LENGTH = 48;

/** 64-bit numbers of the map: frames sent, nanoseconds between two, by how much the next may be late, when it is due. */
const SENT = 0;
const INTERVAL = 8;
const LATE = 16;
const DUE = 24;
const VALUE_SIZE = 32;
const ONLY_KEY = new Uint8Array(4);

/** Throws SystemCallError without the privilege. */
export function createPacedGenerator(options: PacedGeneratorOptions): PacedGenerator {
  const { frame } = options;
  const mapFd = createMap({ name: 'bench_pace', type: 'array', keySize: 4, valueSize: VALUE_SIZE, entries: 1 });
  const programFd = loadProgram('bench_generate', assemble(generatorProgram(options, mapFd)));
  const read = (): BigUint64Array => {
    const value = new BigUint64Array(VALUE_SIZE / 8);
    lookupMapInto(mapFd, ONLY_KEY, new Uint8Array(value.buffer));
    return value;
  };
  return {
    programFd,
    run: (count) => runOnLiveFrames(programFd, frame, count),
    setRate(perSecond) {
      const interval = BigInt(Math.round(NS_A_SECOND / perSecond));
      // Node's clock and the program's are the same, CLOCK_MONOTONIC.
      const value = BigUint64Array.of(read()[0], interval, interval * BigInt(CATCH_UP), process.hrtime.bigint());
      updateMap(mapFd, ONLY_KEY, new Uint8Array(value.buffer));
    },
    sent: () => Number(read()[0]),
    close() {
      closeDescriptor(programFd);
      closeDescriptor(mapFd);
    },
  };
}

/** r6 packet, r7 number, r8 the map's value. One run at a time, so the numbers need no atomics. */
function generatorProgram({ frame, flows, newFlowEvery, interfaceIndex }: PacedGeneratorOptions, mapFd: number): Code {
  const template = Buffer.from(frame);
  const headerWords: Code[] = [];
  for (let at = 0; at < HEADERS_LENGTH; at += 4) headerWords.push([store('u32', 'r6', at, template.readInt32LE(at))]);
  return [
    load('u32', 'r6', 'r1', XDP_MD_DATA),
    load('u32', 'r2', 'r1', XDP_MD_DATA_END),
    alu('r3', '=', 'r6'),
    alu('r3', '+=', HEADERS_LENGTH),
    jumpIf('r3', '>', 'r2', 'too-short'),

    loadMapValue('r8', mapFd, 0),
    call(KTIME_GET_NS),
    load('u64', 'r2', 'r8', DUE),
    jumpIf('r2', '>', 'r0', 'not-due'),
    alu('r0', '-=', 'r2'),
    load('u64', 'r3', 'r8', LATE),
    jumpIf('r3', '>=', 'r0', 'in-time'),
    alu('r0', '-=', 'r3'),
    alu('r2', '+=', 'r0'),
    label('in-time'),
    load('u64', 'r3', 'r8', INTERVAL),
    alu('r2', '+=', 'r3'),
    store('u64', 'r8', DUE, 'r2'),

    headerWords,
    load('u64', 'r7', 'r8', SENT),
    alu('r1', '=', 'r7'),
    alu('r1', '+=', 1),
    store('u64', 'r8', SENT, 'r1'),
    alu('r1', '=', 'r7'),
    alu('r1', '%=', flows),
    alu('r2', '=', 'r7'),
    alu('r2', '>>=', Math.log2(newFlowEvery)),
    alu('r1', '+=', 'r2'),
    toBigEndian('r1', 16),
    store('u16', 'r6', SOURCE_PORT_AT, 'r1'),
    toBigEndian('r7', 32),
    store('u32', 'r6', NUMBER_AT, 'r7'),

    alu('r1', '=', interfaceIndex),
    alu('r2', '=', 0),
    call(REDIRECT),
    exit(),

    label('not-due'),
    alu('r0', '=', XDP_DROP),
    exit(),
    label('too-short'),
    alu('r0', '=', XDP_PASS),
    exit(),
  ];
}
