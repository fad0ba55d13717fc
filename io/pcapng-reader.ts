/**
 * Reads capture files in pcapng (draft-ietf-opsawg-pcapng), in either byte order: several sections, interfaces with their
 * own resolution and offset of time, enhanced, simple and obsolete packet blocks; blocks that it doesn't know are passed
 * over. The pcap device and `hushlb replay` read through io/capture-reader.ts. io/pcapng.ts draws the format, and writes it.
 */
import type { ByteSource } from './byte-source.ts';
import { LINKTYPE_ETHERNET, MAX_LENGTH, notEthernet, PcapError, type PcapPacket } from './pcap.ts';

const SECTION_HEADER = 0x0a0d0d0a;
const INTERFACE_DESCRIPTION = 1;
const OBSOLETE_PACKET = 2;
const SIMPLE_PACKET = 3;
const ENHANCED_PACKET = 6;
const BYTE_ORDER_MAGIC = 0x1a2b3c4d;
/** Type, length, and the length again. */
const BLOCK_OVERHEAD = 12;
/** Bytes of each block that is read, without options and data. */
const LEAST_LENGTH: ReadonlyMap<number, number> = new Map([
  [SECTION_HEADER, 28],
  [INTERFACE_DESCRIPTION, 20],
  [OBSOLETE_PACKET, 32],
  [SIMPLE_PACKET, 16],
  [ENHANCED_PACKET, 32],
]);
/** What Wireshark takes for the longest block that can be. */
const LONGEST_BLOCK = 16 * 1024 * 1024;

const IF_NAME = 2;
const IF_TSRESOL = 9;
const IF_TSOFFSET = 14;
const PACKET_FLAGS = 2;
const NS_PER_SECOND = 1_000_000_000n;
/** Nanoseconds since 1970 have 64 bits: they end in the year 2554. */
const END_OF_TIME = 1n << 64n;

export type Direction = 'in' | 'out';

export interface PcapngReadOptions {
  /** Reads the packets of interfaces with this name alone. */
  readonly interface?: string | undefined;
}

export interface ReadPacket extends PcapPacket {
  /** As the file says of the packet; undefined where it doesn't. */
  readonly direction: Direction | undefined;
}

interface Interface {
  readonly name: string;
  readonly linkType: number;
  readonly snapLength: number;
  /** A tick is a second, divided by 2 to the power of `shift`, and by `divisor`. */
  readonly shift: bigint;
  readonly divisor: bigint;
  readonly offsetNs: bigint;
}

/** The block at hand: its bytes lie in `view` from `at` on. */
interface Block {
  readonly type: number;
  readonly length: number;
  readonly view: DataView;
  readonly at: number;
  readonly littleEndian: boolean;
  fail(problem: string, within?: number): PcapError;
}

/** The packets of `source`, which stands at a section header; `bytes` of each are good until the next. Throws as readPcap. */
export function* readPcapng(
  source: ByteSource,
  options: PcapngReadOptions = {},
): Generator<ReadPacket, void, undefined> {
  const names = new Set<string>();
  let littleEndian = true;
  let interfaces: Interface[] = [];
  let lastNs = 0n;

  for (;;) {
    const there = source.want(BLOCK_OVERHEAD);
    if (there === 0) break;
    if (there < BLOCK_OVERHEAD) throw cut(source, source.position);
    const isSection = source.view.getUint32(source.at, true) === SECTION_HEADER;
    if (isSection) littleEndian = readByteOrder(source);
    const block = takeBlock(source, littleEndian);
    if (block === undefined) continue;

    if (isSection) {
      checkVersion(block);
      interfaces = [];
    } else if (block.type === INTERFACE_DESCRIPTION) {
      const described = readInterface(block);
      interfaces.push(described);
      names.add(described.name);
    } else {
      const { id, packet } = readPacket(block, interfaces, lastNs);
      lastNs = packet.timestampNs;
      if (options.interface !== undefined && interfaces[id].name !== options.interface) continue;
      if (interfaces[id].linkType !== LINKTYPE_ETHERNET) throw block.fail(notEthernet(interfaces[id].linkType));
      yield packet;
    }
  }
  if (options.interface !== undefined && !names.has(options.interface)) {
    const known = [...names].map((name) => JSON.stringify(name));
    const listed = known.length === 0 ? 'it has none' : `it has ${known.slice(0, 20).join(', ')}`;
    throw new PcapError(
      source.name,
      source.position,
      `no interface is named ${JSON.stringify(options.interface)}: ${listed}`,
    );
  }
}

function readByteOrder(source: ByteSource): boolean {
  const { view, at } = source;
  if (view.getUint32(at + 8, true) === BYTE_ORDER_MAGIC) return true;
  if (view.getUint32(at + 8, false) === BYTE_ORDER_MAGIC) return false;
  const magic = view
    .getUint32(at + 8, false)
    .toString(16)
    .padStart(8, '0');
  throw new PcapError(source.name, source.position + 8, `damaged section header: byte-order magic 0x${magic}`);
}

/** Takes the next block; undefined for one of a type that is passed over. */
function takeBlock(source: ByteSource, littleEndian: boolean): Block | undefined {
  const start = source.position;
  const type = source.view.getUint32(source.at, littleEndian);
  const length = source.view.getUint32(source.at + 4, littleEndian);
  const least = LEAST_LENGTH.get(type);
  const fail = (problem: string, within = 0) => new PcapError(source.name, start + within, problem);
  const isKnown = least !== undefined;
  if (length % 4 !== 0 || length < (least ?? BLOCK_OVERHEAD) || (isKnown && length > LONGEST_BLOCK)) {
    throw fail(`damaged block: type ${type}, ${length} bytes`);
  }
  if (isKnown) {
    if (source.want(length) < length) throw cut(source, start, length);
  } else if (source.skip(length - 4) < length - 4 || source.want(4) < 4) throw cut(source, start, length);

  const { view, at } = source;
  const end = view.getUint32(isKnown ? at + length - 4 : at, littleEndian);
  if (end !== length) throw fail(`damaged block: ${length} bytes at its start, ${end} at its end`);
  source.take(isKnown ? length : 4);
  return isKnown ? { type, length, view, at, littleEndian, fail } : undefined;
}

function cut(source: ByteSource, start: number, length?: number): PcapError {
  if (length === undefined) return new PcapError(source.name, start, 'the file ends inside a block');
  source.skip(length);
  const left = source.position - start;
  return new PcapError(source.name, start, `the file ends inside a block: ${length} bytes expected, ${left} left`);
}

function checkVersion({ view, at, littleEndian, fail }: Block): void {
  const major = view.getUint16(at + 12, littleEndian);
  if (major !== 1) throw fail(`pcapng version ${major} is not read, only 1`, 12);
}

function readInterface(block: Block): Interface {
  const { view, at, littleEndian, fail } = block;
  let name = '';
  let resolution = 6;
  let offsetNs = 0n;
  for (const { code, start, length } of optionsOf(block, 16)) {
    const value = at + start;
    if (code === IF_NAME) name = textOf(view, value, length);
    else if (code === IF_TSRESOL && length >= 1) resolution = view.getUint8(value);
    else if (code === IF_TSOFFSET && length >= 8) offsetNs = view.getBigInt64(value, littleEndian) * NS_PER_SECOND;
  }
  const exponent = resolution & 0x7f;
  const isBinary = resolution > 0x7f;
  if (exponent > (isBinary ? 63 : 19)) throw fail(`time in units of ${isBinary ? 2 : 10}^-${exponent} s is not read`);
  return {
    name,
    linkType: view.getUint16(at + 8, littleEndian),
    snapLength: view.getUint32(at + 12, littleEndian),
    shift: isBinary ? BigInt(exponent) : 0n,
    divisor: isBinary ? 1n : 10n ** BigInt(exponent),
    offsetNs,
  };
}

function readPacket(
  block: Block,
  interfaces: readonly Interface[],
  lastNs: bigint,
): { readonly id: number; readonly packet: ReadPacket } {
  const { type, view, at, littleEndian, length, fail } = block;
  const isSimple = type === SIMPLE_PACKET;
  let id = 0;
  if (type === ENHANCED_PACKET) id = view.getUint32(at + 8, littleEndian);
  else if (type === OBSOLETE_PACKET) id = view.getUint16(at + 8, littleEndian);
  const of = interfaces[id];
  if (of === undefined) throw fail(`damaged packet: interface ${id} of ${interfaces.length}`);

  const originalLength = view.getUint32(at + (isSimple ? 8 : 24), littleEndian);
  const cutTo = of.snapLength === 0 ? originalLength : Math.min(originalLength, of.snapLength);
  const captured = isSimple ? cutTo : view.getUint32(at + 20, littleEndian);
  const start = isSimple ? 12 : 28;
  const end = start + captured + (-captured & 3);
  if (captured > MAX_LENGTH || end > length - 4)
    throw fail(`damaged packet: ${captured} bytes in a block of ${length}`);

  let timestampNs = lastNs; // a simple packet has no time
  let direction: Direction | undefined;
  if (!isSimple) {
    timestampNs = timeOf(block, of);
    for (const option of optionsOf(block, end)) {
      if (option.code !== PACKET_FLAGS || option.length < 4) continue;
      const flags = view.getUint32(at + option.start, littleEndian) & 3;
      direction = flags === 1 ? 'in' : flags === 2 ? 'out' : undefined;
    }
  }
  const bytes = new Uint8Array(view.buffer, view.byteOffset + at + start, captured);
  return { id, packet: { bytes, timestampNs, originalLength, direction } };
}

function timeOf({ view, at, littleEndian, fail }: Block, { shift, divisor, offsetNs }: Interface): bigint {
  const high = BigInt(view.getUint32(at + 12, littleEndian));
  const ticks = (high << 32n) | BigInt(view.getUint32(at + 16, littleEndian));
  const ns = ((ticks * NS_PER_SECOND) >> shift) / divisor + offsetNs;
  if (ns < 0n || ns >= END_OF_TIME) throw fail('damaged packet: its time is not between 1970 and 2554', 12);
  return ns;
}

interface Option {
  readonly code: number;
  /** Of the value, from the block's first byte. */
  readonly start: number;
  readonly length: number;
}

function* optionsOf({ view, at, littleEndian, length, fail }: Block, from: number): Generator<Option> {
  const end = length - 4;
  for (let offset = from; offset + 4 <= end; ) {
    const code = view.getUint16(at + offset, littleEndian);
    if (code === 0) return;
    const valueLength = view.getUint16(at + offset + 2, littleEndian);
    if (offset + 4 + valueLength > end) throw fail(`damaged option: ${valueLength} bytes`, offset);
    yield { code, start: offset + 4, length: valueLength };
    offset += 4 + valueLength + (-valueLength & 3);
  }
}

function textOf(view: DataView, at: number, length: number): string {
  return new TextDecoder().decode(new Uint8Array(view.buffer, view.byteOffset + at, length));
}
