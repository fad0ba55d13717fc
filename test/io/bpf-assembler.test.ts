/** Expected bytes are put together by hand from the tables of RFC 9669. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import {
  alu,
  assemble,
  atomicAdd,
  type Code,
  call,
  exit,
  jump,
  jumpIf,
  jumpIf32,
  label,
  load,
  loadMap,
  loadMapValue,
  networkOrder16,
  store,
  toBigEndian,
} from '../../io/bpf-assembler.ts';

const hex = (code: Code) => assemble(code).toString('hex');

suite('bpf-assembler: encoding (RFC 9669)', () => {
  // opcode | source, destination | offset | immediate, little-endian
  const rows: [string, Code, string][] = [
    ['mov64 r6, r1', [alu('r6', '=', 'r1')], 'bf 16 0000 00000000'],
    ['mov64 r0, 2', [alu('r0', '=', 2)], 'b7 00 0000 02000000'],
    ['mov64 r0, -1', [alu('r0', '=', -1)], 'b7 00 0000 ffffffff'],
    ['add64 r1, 34', [alu('r1', '+=', 34)], '07 01 0000 22000000'],
    ['add64 r7, r9', [alu('r7', '+=', 'r9')], '0f 97 0000 00000000'],
    ['sub64 r2, r1', [alu('r2', '-=', 'r1')], '1f 12 0000 00000000'],
    ['or64 r3, 1', [alu('r3', '|=', 1)], '47 03 0000 01000000'],
    ['and64 r9, 15', [alu('r9', '&=', 15)], '57 09 0000 0f000000'],
    ['lsh64 r9, 2', [alu('r9', '<<=', 2)], '67 09 0000 02000000'],
    ['rsh64 r1, 4', [alu('r1', '>>=', 4)], '77 01 0000 04000000'],
    ['mod64 r7, 1000', [alu('r7', '%=', 1000)], '97 07 0000 e8030000'],
    ['be16 r7', [toBigEndian('r7', 16)], 'dc 07 0000 10000000'],
    ['ldxb r9, [r7+14]', [load('u8', 'r9', 'r7', 14)], '71 79 0e00 00000000'],
    ['ldxh r1, [r7+12]', [load('u16', 'r1', 'r7', 12)], '69 71 0c00 00000000'],
    ['ldxw r8, [r6+4]', [load('u32', 'r8', 'r6', 4)], '61 68 0400 00000000'],
    ['ldxdw r1, [r7-8]', [load('u64', 'r1', 'r7', -8)], '79 71 f8ff 00000000'],
    ['stxb [r10-2], r1', [store('u8', 'r10', -2, 'r1')], '73 1a feff 00000000'],
    ['stxh [r10-4], r1', [store('u16', 'r10', -4, 'r1')], '6b 1a fcff 00000000'],
    ['stxw [r10-8], r1', [store('u32', 'r10', -8, 'r1')], '63 1a f8ff 00000000'],
    ['stxdw [r5+0], r1', [store('u64', 'r5', 0, 'r1')], '7b 15 0000 00000000'],
    ['stw [r10-4], 7', [store('u32', 'r10', -4, 7)], '62 0a fcff 07000000'],
    ['lock add64 [r1+8], r2', [atomicAdd('u64', 'r1', 8, 'r2')], 'db 21 0800 00000000'],
    ['lock add32 [r1+0], r2', [atomicAdd('u32', 'r1', 0, 'r2')], 'c3 21 0000 00000000'],
    ['lddw r1, map 5', [loadMap('r1', 5)], '18 11 0000 05000000 00 00 0000 00000000'],
    ['lddw r1, value of map 5 + 16', [loadMapValue('r1', 5, 16)], '18 21 0000 05000000 00 00 0000 10000000'],
    ['call 51', [call(51)], '85 00 0000 33000000'],
    ['exit', [exit()], '95 00 0000 00000000'],
  ];
  for (const [name, code, expected] of rows) {
    test(name, () => assert.equal(hex(code), expected.replaceAll(' ', '')));
  }
});

suite('bpf-assembler: jumps', () => {
  test('forwards and backwards, counted from the next instruction', () => {
    const code = [label('a'), jump('b'), exit(), label('b'), jumpIf('r1', '>', 'r8', 'a'), label('c'), jump('c')];
    assert.equal(
      hex(code),
      ['05 00 0100 00000000', '95 00 0000 00000000', '2d 81 fdff 00000000', '05 00 ffff 00000000']
        .join('')
        .replaceAll(' ', ''),
    );
  });

  const conditions = [
    ['==', '15'],
    ['>', '25'],
    ['>=', '35'],
    ['&', '45'],
    ['!=', '55'],
    ['<', 'a5'],
    ['<=', 'b5'],
  ] as const;
  for (const [condition, opcode] of conditions) {
    test(`if r3 ${condition} 6, in 64 and in 32 bits`, () => {
      assert.equal(hex([jumpIf('r3', condition, 6, 'next'), label('next')]), `${opcode}03000006000000`);
      const opcode32 = (Number.parseInt(opcode, 16) + 1).toString(16);
      assert.equal(hex([jumpIf32('r3', condition, 6, 'next'), label('next')]), `${opcode32}03000006000000`);
    });
  }

  test('both slots of a wide instruction count', () => {
    assert.equal(assemble([jump('end'), loadMap('r1', 3), label('end'), exit()]).readInt16LE(2), 2);
  });

  test('labels may lie in nested fragments', () => {
    assert.equal(assemble([jump('end'), [[exit()], [label('end')]], exit()]).readInt16LE(2), 1);
  });

  test('mistakes are errors', () => {
    assert.throws(() => assemble([jump('nowhere')]), /no label nowhere/);
    assert.throws(() => assemble([label('x'), exit(), label('x')]), /label x stands twice/);
    assert.throws(() => assemble([alu('r1', '=', 2 ** 31)]), RangeError);
    assert.throws(() => assemble([load('u8', 'r1', 'r2', 40000)]), RangeError);
  });
});

test('networkOrder16 is what a little-endian host loads', () => {
  assert.equal(networkOrder16(0x0800), Buffer.from([0x08, 0x00]).readUInt16LE());
  assert.equal(networkOrder16(0x1fff), Buffer.from([0x1f, 0xff]).readUInt16LE());
});
