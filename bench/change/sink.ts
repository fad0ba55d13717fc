/**
 * Where the packets of case `change-under-load` come back: an XDP program that looks at each of them. It knows, for each flow,
 * the backend that its first packet was sent to and the number of its last one, and counts what is not as it must be.
 *
 * ```
 * frame   Ethernet │ outer IPv4, destination: the backend │ IPv4 │ TCP, source port: the flow, sequence number: the frame's
 * row     home: last byte of its backend's address, 0: not seen yet │ number of its last frame, plus one     8 bytes a flow
 * ```
 */
import { createMap, loadProgram, XDP_DROP, XDP_MD_DATA, XDP_MD_DATA_END, XDP_PASS } from '../../io/bpf.ts';
import {
  alu,
  assemble,
  type Code,
  exit,
  jump,
  jumpIf,
  label,
  load,
  loadMapValue,
  networkOrder16,
  store,
  toBigEndian,
} from '../../io/bpf-assembler.ts';
import { type BpfCounters, createBpfCounters } from '../../io/bpf-counters.ts';

/**
 * `returned`: all that came. Of these, `again`: with a number that is not above its flow's last, so twice or overtaken;
 * `moved`: the first of a flow that left the guest; `misrouted`: at another backend than its flow's, which is not the guest.
 */
export const SINK_COUNTERS = ['returned', 'again', 'moved', 'misrouted'] as const;
export type SinkCounts = Record<(typeof SINK_COUNTERS)[number], number>;

export interface Sink {
  readonly programFd: number;
  read(): SinkCounts;
}

const FLOWS = 1 << 16;
const ROW_SIZE = 8;
const HOME = 0;
const LAST = 4;

const ETHERTYPE_AT = 12;
const OUTER_PROTOCOL_AT = 23;
const BACKEND_AT = 33;
const SOURCE_PORT_AT = 54;
const NUMBER_AT = 58;
const HEADERS_LENGTH = 62;
const IPV4 = 0x0800;
const IPIP = 4;

/** `guest` is the last byte of the address of the backend that flows may leave. Lives as long as the process. */
export function createSink(guest: number): Sink {
  const counters = createBpfCounters('bench_change', SINK_COUNTERS);
  const rowsFd = createMap({ name: 'bench_homes', type: 'array', keySize: 4, valueSize: FLOWS * ROW_SIZE, entries: 1 });
  const programFd = loadProgram('bench_change', assemble(sinkProgram(counters, rowsFd, guest)));
  return { programFd, read: () => counters.read() };
}

/** r6 packet, r7 flow, r8 its row. Frames of one queue are looked at one after the other: rows need no atomics. */
function sinkProgram(counters: BpfCounters<(typeof SINK_COUNTERS)[number]>, rowsFd: number, guest: number): Code {
  return [
    load('u32', 'r6', 'r1', XDP_MD_DATA),
    load('u32', 'r2', 'r1', XDP_MD_DATA_END),
    alu('r3', '=', 'r6'),
    alu('r3', '+=', HEADERS_LENGTH),
    jumpIf('r3', '>', 'r2', 'not-ours'),
    load('u16', 'r2', 'r6', ETHERTYPE_AT),
    jumpIf('r2', '!=', networkOrder16(IPV4), 'not-ours'),
    load('u8', 'r2', 'r6', OUTER_PROTOCOL_AT),
    jumpIf('r2', '!=', IPIP, 'not-ours'),
    counters.increment('returned'),

    load('u16', 'r7', 'r6', SOURCE_PORT_AT),
    toBigEndian('r7', 16),
    alu('r7', '&=', FLOWS - 1),
    alu('r7', '<<=', Math.log2(ROW_SIZE)),
    loadMapValue('r8', rowsFd, 0),
    alu('r8', '+=', 'r7'),

    load('u32', 'r2', 'r6', NUMBER_AT),
    toBigEndian('r2', 32),
    alu('r2', '+=', 1),
    load('u32', 'r3', 'r8', LAST),
    jumpIf('r2', '>', 'r3', 'in-turn'),
    counters.increment('again'),
    jump('backend'),
    label('in-turn'),
    store('u32', 'r8', LAST, 'r2'),

    label('backend'),
    load('u8', 'r4', 'r6', BACKEND_AT),
    load('u32', 'r5', 'r8', HOME),
    jumpIf('r4', '==', 'r5', 'done'),
    jumpIf('r5', '==', 0, 'new-home'),
    jumpIf('r5', '==', guest, 'moved'),
    counters.increment('misrouted'),
    jump('done'),
    label('moved'),
    counters.increment('moved'),
    label('new-home'),
    store('u32', 'r8', HOME, 'r4'),

    label('done'),
    alu('r0', '=', XDP_DROP),
    exit(),
    label('not-ours'),
    alu('r0', '=', XDP_PASS),
    exit(),
  ];
}
