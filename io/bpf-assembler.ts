/**
 * An assembler for eBPF: instructions as functions, labels instead of jump distances, bytes out.
 *
 * The steering, decapsulation and generator programs are lists of these calls, so that no compiler and no object file
 * is needed. Only what those programs use is here. Encoding: RFC 9669, little-endian hosts (x86-64, arm64, riscv64).
 *
 *     opcode:8 | source:4 destination:4 | offset:16 | immediate:32
 *
 * Packet fields are read in host order; compare them with constants that went through `networkOrder16`.
 */

export type Register = 'r0' | 'r1' | 'r2' | 'r3' | 'r4' | 'r5' | 'r6' | 'r7' | 'r8' | 'r9' | 'r10';
export type Width = 'u8' | 'u16' | 'u32' | 'u64';

export interface Instruction {
  readonly opcode: number;
  readonly destination?: Register;
  /** A register, or the number that BPF_LD_IMM64 and friends keep in the same four bits. */
  readonly source?: Register | number;
  readonly offset?: number;
  readonly immediate?: number;
  /** Label of a jump; fills `offset`. */
  readonly target?: string;
}

export interface Label {
  readonly label: string;
}

/** A program or a fragment of one; fragments nest. */
export type Code = readonly (Instruction | Label | Code)[];

/** Opcode classes (RFC 9669, section 3.1). */
const LD = 0x00;
const LDX = 0x01;
const ST = 0x02;
const STX = 0x03;
const ALU = 0x04;
const JMP = 0x05;
const JMP32 = 0x06;
const ALU64 = 0x07;

/** The operand is a register (BPF_X); an immediate (BPF_K) without it. */
const X = 0x08;

const MODE_IMM = 0x00;
const MODE_MEM = 0x60;
const MODE_ATOMIC = 0xc0;
const WIDTH: Record<Width, number> = { u32: 0x00, u16: 0x08, u8: 0x10, u64: 0x18 };

const OPERATION = {
  '+=': 0x00,
  '-=': 0x10,
  '|=': 0x40,
  '&=': 0x50,
  '<<=': 0x60,
  '>>=': 0x70,
  '%=': 0x90,
  '=': 0xb0,
} as const;

/** Unsigned comparisons; `&` jumps when a bit of the operand is set. */
const CONDITION = { '==': 0x10, '>': 0x20, '>=': 0x30, '&': 0x40, '!=': 0x50, '<': 0xa0, '<=': 0xb0 } as const;

const TO_BIG_ENDIAN = 0xd0 | X;
const CALL = 0x80;
const EXIT = 0x90;

const PSEUDO_MAP_FD = 1;
const PSEUDO_MAP_VALUE = 2;

/** Completes an instruction with its operand: a register, or a number that the kernel sign-extends from 32 bits. */
function withOperand(operand: Register | number, instruction: Instruction): Instruction {
  if (typeof operand === 'number') return { ...instruction, immediate: operand };
  return { ...instruction, opcode: instruction.opcode | X, source: operand };
}

/** `alu('r1', '+=', 14)`: 64-bit arithmetic; `=` moves. */
export function alu(destination: Register, operation: keyof typeof OPERATION, operand: Register | number): Instruction {
  return withOperand(operand, { opcode: ALU64 | OPERATION[operation], destination });
}

/** Swaps the low 16, 32 or 64 bits from host to network order and clears the rest. */
export function toBigEndian(destination: Register, bits: 16 | 32 | 64): Instruction {
  return { opcode: ALU | TO_BIG_ENDIAN, destination, immediate: bits };
}

/** destination = *(width *)(address + offset), zero-extended. */
export function load(width: Width, destination: Register, address: Register, offset: number): Instruction {
  return { opcode: LDX | MODE_MEM | WIDTH[width], destination, source: address, offset };
}

/** *(width *)(address + offset) = value. */
export function store(width: Width, address: Register, offset: number, value: Register | number): Instruction {
  const place = { destination: address, offset };
  if (typeof value === 'number') return { opcode: ST | MODE_MEM | WIDTH[width], ...place, immediate: value };
  return { opcode: STX | MODE_MEM | WIDTH[width], ...place, source: value };
}

/** *(width *)(address + offset) += value, atomically. */
export function atomicAdd(width: 'u32' | 'u64', address: Register, offset: number, value: Register): Instruction {
  return { opcode: STX | MODE_ATOMIC | WIDTH[width], destination: address, source: value, offset };
}

/** The map behind a descriptor of the loading process, as helpers take it. */
export function loadMap(destination: Register, mapFd: number): Code {
  return loadImmediate64(destination, PSEUDO_MAP_FD, mapFd, 0);
}

/** The address of byte `offset` of the one value of an array map; no look-up, no null check (Linux 5.2). */
export function loadMapValue(destination: Register, mapFd: number, offset: number): Code {
  return loadImmediate64(destination, PSEUDO_MAP_VALUE, mapFd, offset);
}

function loadImmediate64(destination: Register, kind: number, low: number, high: number): Code {
  return [
    { opcode: LD | MODE_IMM | WIDTH.u64, destination, source: kind, immediate: low },
    { opcode: 0, immediate: high },
  ];
}

export function label(name: string): Label {
  return { label: name };
}

export function jump(target: string): Instruction {
  return { opcode: JMP, target };
}

type Condition = keyof typeof CONDITION;

/** Jumps when `left condition right` holds, compared as unsigned 64-bit numbers. */
export function jumpIf(left: Register, condition: Condition, right: Register | number, target: string): Instruction {
  return withOperand(right, { opcode: JMP | CONDITION[condition], destination: left, target });
}

/** The same on the low 32 bits, for numbers with bit 31 set, which the 64-bit form would sign-extend. */
export function jumpIf32(left: Register, condition: Condition, right: Register | number, target: string): Instruction {
  return withOperand(right, { opcode: JMP32 | CONDITION[condition], destination: left, target });
}

/** Calls a kernel helper (bpf-helpers(7)): arguments in r1 to r5, which it destroys, result in r0. */
export function call(helper: number): Instruction {
  return { opcode: JMP | CALL, immediate: helper };
}

export function exit(): Instruction {
  return { opcode: JMP | EXIT };
}

/** A 16-bit number as it reads when loaded from a packet on a little-endian host. */
export function networkOrder16(value: number): number {
  return ((value & 0xff) << 8) | (value >>> 8);
}

/** The bytes of a program, 8 an instruction. Throws Error for unknown or repeated labels and numbers out of range. */
export function assemble(code: Code): Buffer {
  const labels = new Map<string, number>();
  const instructions: Instruction[] = [];
  for (const item of flatten(code)) {
    if (!('label' in item)) instructions.push(item);
    else if (labels.has(item.label)) throw new Error(`bpf: label ${item.label} stands twice`);
    else labels.set(item.label, instructions.length);
  }
  const bytes = Buffer.alloc(instructions.length * 8);
  for (const [index, instruction] of instructions.entries()) encode(instruction, index, labels, bytes);
  return bytes;
}

function flatten(code: Code): (Instruction | Label)[] {
  return code.flatMap((item) => ('length' in item ? flatten(item) : [item]));
}

function encode(instruction: Instruction, index: number, labels: Map<string, number>, bytes: Buffer): void {
  const { opcode, destination = 'r0', source = 0, offset = 0, immediate = 0, target } = instruction;
  const position = index * 8;
  bytes.writeUInt8(opcode, position);
  bytes.writeUInt8((registerNumber(source) << 4) | registerNumber(destination), position + 1);
  bytes.writeInt16LE(target === undefined ? offset : distance(labels, target, index), position + 2);
  bytes.writeInt32LE(immediate, position + 4);
}

function registerNumber(register: Register | number): number {
  return typeof register === 'number' ? register : Number(register.slice(1));
}

/** Jumps count from the instruction after the jump. */
function distance(labels: Map<string, number>, target: string, index: number): number {
  const at = labels.get(target);
  if (at === undefined) throw new Error(`bpf: no label ${target}`);
  return at - index - 1;
}
