/** A capture in, a capture out, and the clock that it carries. */
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { PASS, RELEASE, TRANSMIT } from '../../io/device.ts';
import { createPcapDevice } from '../../io/pcap-device.ts';
import { pcapngIn } from './pcapng-bytes.ts';
import { openDescriptors } from './two-hosts.ts';

interface Row {
  ns: bigint;
  bytes: number[];
  original?: number;
}

/** A nanosecond capture file, the naive way. */
function fileOf(rows: Row[]): Buffer {
  const header = Buffer.from('4d3cb2a102000400000000000000000000000400' + '01000000', 'hex');
  const packets = rows.map(({ ns, bytes, original }) => {
    const words = [ns / 1_000_000_000n, ns % 1_000_000_000n, BigInt(bytes.length), BigInt(original ?? bytes.length)];
    const packet = Buffer.alloc(16);
    for (const [i, word] of words.entries()) packet.writeUInt32LE(Number(word), i * 4);
    return Buffer.concat([packet, Buffer.from(bytes)]);
  });
  return Buffer.concat([header, ...packets]);
}

describe('pcap device', () => {
  let directory: string;
  let output: string;
  before(() => {
    directory = mkdtempSync(join(tmpdir(), 'hushlb-test-'));
    output = join(directory, 'out.pcap');
  });
  after(() => rmSync(directory, { recursive: true }));

  function open(rows: Row[] | Buffer, batchSize?: number) {
    const input = join(directory, 'in.pcap');
    writeFileSync(input, Array.isArray(rows) ? fileOf(rows) : rows);
    return createPcapDevice({ input, output, ...(batchSize && { batchSize }) });
  }

  const START = 1_700_000_000_000_000_000n;

  test('appended frames are written with the time of the last packet, in a batch with packets and in one without', () => {
    const device = open([{ ns: START + 7n, bytes: [1, 2, 3], original: 9 }], 2);
    const append = (byte: number) => {
      const row = device.append(2);
      for (let i = 0; row >= 0 && i < 2; i++) device.view.setUint8(device.batch.offset[row] + i, byte);
      return row;
    };
    assert.equal(device.receive(0), 1);
    device.batch.action[0] = TRANSMIT;
    assert.deepEqual([append(4), append(5)], [1, -1]);
    device.send();
    assert.deepEqual([append(6), append(7), append(8)], [0, 1, -1]);
    assert.equal(device.append(4096), -1);
    device.send();
    device.close();
    const expected = [{ bytes: [1, 2, 3], original: 9 }, ...[4, 6, 7].map((byte) => ({ bytes: [byte, byte] }))];
    assert.deepEqual(readFileSync(output), fileOf(expected.map((row) => ({ ns: START + 7n, ...row }))));
  });

  test('what is transmitted is in the output with its own time, the rest is counted', () => {
    const rows = Array.from({ length: 9 }, (_, i) => ({ ns: START + BigInt(i), bytes: [i, i + 1, i + 2] }));
    const device = open(rows, 4);
    const counts = [];
    while (!device.finished) {
      counts.push(device.receive(0));
      for (let i = 0; i < device.batch.count; i++) {
        const first = device.view.getUint8(device.batch.offset[i]);
        device.batch.action[i] = [TRANSMIT, PASS, RELEASE, RELEASE][first % 4];
      }
      device.send();
    }
    device.close();
    assert.deepEqual(counts, [4, 4, 1]);
    assert.deepEqual([device.passed, device.released], [2, 4]);
    assert.equal(device.receive(0), 0);
    assert.deepEqual(readFileSync(output), fileOf([rows[0], rows[4], rows[8]]));
  });

  test('a frame may grow into the headroom; one that the capture cut stays marked as cut', () => {
    const device = open([
      { ns: START, bytes: [], original: 0 },
      { ns: START, bytes: [1, 2, 3, 4], original: 1500 },
    ]);
    assert.equal(device.receive(0), 2);
    device.batch.action.set([TRANSMIT, TRANSMIT]);
    device.batch.offset[1] -= device.headroom;
    device.batch.length[1] += device.headroom;
    for (let i = 0; i < device.headroom; i++) device.view.setUint8(device.batch.offset[1] + i, 0xee);
    device.send();
    device.close();
    const grown = [...Array(256).fill(0xee), 1, 2, 3, 4];
    assert.deepEqual(
      readFileSync(output),
      fileOf([
        { ns: START, bytes: [] },
        { ns: START, bytes: grown, original: 1756 },
      ]),
    );
  });

  test("time is the capture's: a batch ends where it leaps, and it never goes back", () => {
    const ms = 1_000_000n;
    const times = [0n, ms - 1n, ms, 900_000n * ms, 900_000n * ms - 5n * ms, 900_001n * ms];
    const device = open(times.map((ns) => ({ ns: START + ns, bytes: [1] })));
    const seen = [];
    assert.equal(device.nowMs, 0);
    while (!device.finished) {
      seen.push([device.receive(0), device.nowMs - 1_700_000_000_000]);
      device.batch.action.fill(RELEASE);
      device.send();
    }
    device.close();
    assert.deepEqual(seen, [
      [2, 0],
      [1, 1],
      [2, 900_000],
      [1, 900_001],
    ]);
  });

  test('it is finished when the last batch is sent, at once without packets', () => {
    const device = open([{ ns: START, bytes: [1] }]);
    assert.equal(device.finished, false);
    device.receive(0);
    assert.equal(device.finished, false);
    device.send();
    assert.equal(device.finished, true);
    device.close();
    const empty = open([]);
    assert.equal(empty.finished, true);
    assert.equal(empty.receive(0), 0);
    empty.close();
  });

  test('pcapng is read as well', () => {
    const b = pcapngIn('big-endian');
    const packet = b.packet({ ticks: START / 1000n, bytes: [1, 2, 3] });
    const device = open(Buffer.concat([b.section(), b.interface(), packet]));
    assert.equal(device.receive(0), 1);
    device.batch.action.fill(TRANSMIT);
    device.send();
    device.close();
    assert.deepEqual(readFileSync(output), fileOf([{ ns: START, bytes: [1, 2, 3] }]));
  });

  test('a damaged input leaves no output and no descriptor', () => {
    const count = openDescriptors();
    rmSync(output, { force: true });
    const whole = fileOf([{ ns: START, bytes: [1, 2, 3] }]);
    assert.throws(() => open(whole.subarray(0, whole.length - 1)), { code: 'PCAP_INVALID' });
    assert.throws(() => createPcapDevice({ input: join(directory, 'missing'), output }), { code: 'ENOENT' });
    assert.equal(existsSync(output), false);
    assert.equal(openDescriptors(), count);
  });
});
