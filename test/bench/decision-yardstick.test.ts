/** The C yardstick does the forwarder's work: the same packets in give the same exits and the same bytes out, in every mode. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { createDecisionBalancer, type DecisionBalancer, decisionState } from '../../bench/decision/balancer.ts';
import { BATCH, decisionConfig, FRAME_SIZE, HEADROOM, MODES } from '../../bench/decision/modes.ts';
import { writeStateFile } from '../../bench/decision/state-file.ts';
import { compileYardstick, YARDSTICKS } from '../../bench/yardstick/compile.ts';
import { FORWARDED } from '../../lb/exits.ts';
import { CLIENT_MAC, ethernetFrame, OWN_MAC, type TcpFields, tcpFrame } from '../packets.ts';

const folder = mkdtempSync(join(tmpdir(), 'hushlb-test-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const yardstick = compileYardstick('decision', folder);
const skip = yardstick.path === undefined ? yardstick.missing : false;

/** Batches of a few hundred connections that open, talk, close and come back late; and what is none of the balancer's. */
const BATCHES = 200;
const FLOWS = 600;
/** Milliseconds between batches: connections idle out and come back. */
const STEP_MS = 40;

interface Batch {
  readonly now: number;
  readonly frames: readonly Uint8Array[];
}

const STRAYS: readonly Uint8Array[] = [
  tcpFrame({ destination: '198.18.10.2' }),
  tcpFrame({ destinationPort: 81 }),
  tcpFrame({ ip: { ttl: 0 } }),
  tcpFrame({ ip: { options: [1, 1, 1, 1] } }),
  tcpFrame({ ip: { protocol: 17 } }),
  tcpFrame({ ip: { version: 6 } }),
  tcpFrame({ ip: { totalLength: 9000 } }),
  tcpFrame({ ip: { totalLength: 30 } }),
  tcpFrame({ payload: 'x'.repeat(1445), ip: { fragment: 0 } }),
  tcpFrame().subarray(0, 20),
  tcpFrame().subarray(0, 3),
  ethernetFrame(OWN_MAC, CLIENT_MAC, 0x0806, new Array(46).fill(0)),
];

function makeBatches(): Batch[] {
  let state = 20_261_123;
  const below = (limit: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * limit);
  };
  const pick = <T>(list: readonly T[]): T => list[below(list.length)]!;
  const frame = (): Uint8Array => {
    if (below(12) === 0) return pick(STRAYS);
    const flow = below(FLOWS);
    const fields: TcpFields = {
      source: `198.18.${flow >>> 6}.${flow & 7}`,
      sourcePort: 1024 + flow,
      sequence: below(2 ** 32),
      acknowledgement: below(2 ** 32),
      flags: pick(['S', 'A', 'A', 'A', 'A', 'PA', 'FA', 'R', 'SA', 'RA']),
      payload: 'y'.repeat(below(40)),
      ip: { tos: below(256), id: below(65536), fragment: pick([0, 0x4000]) },
    };
    return tcpFrame(fields);
  };
  return Array.from({ length: BATCHES }, (_, i) => ({
    now: i * STEP_MS,
    frames: Array.from({ length: 1 + below(BATCH) }, frame),
  }));
}

function u32(...words: number[]): Buffer {
  return Buffer.from(Uint32Array.from(words).buffer);
}

/** What the yardstick writes for a replay: exit, length, bytes. */
function replay(balancer: DecisionBalancer, batches: readonly Batch[]): Buffer {
  const { memory, batch, forwarder, walk } = balancer;
  const records: Buffer[] = [];
  for (const { now, frames } of batches) {
    frames.forEach((frame, i) => {
      batch.offset[i] = i * FRAME_SIZE + HEADROOM;
      batch.length[i] = frame.length;
      memory.set(frame, batch.offset[i]);
    });
    batch.count = frames.length;
    walk(now);
    for (let i = 0; i < frames.length; i++) {
      const length = forwarder.exit[i] === FORWARDED ? batch.length[i]! : 0;
      const bytes = memory.subarray(batch.offset[i]!, batch.offset[i]! + length);
      records.push(u32(forwarder.exit[i]!, length), Buffer.copyBytesFrom(bytes));
    }
  }
  return Buffer.concat(records);
}

function replayInC(program: string, statePath: string, batches: readonly Batch[]): Buffer {
  const [input, output] = [join(folder, 'in'), join(folder, 'out')];
  const records = batches.flatMap(({ now, frames }) => [
    u32(now, frames.length),
    ...frames.flatMap((frame) => [u32(frame.length), frame]),
  ]);
  writeFileSync(input, Buffer.concat(records));
  execFileSync(program, [statePath, 'replay', input, output]);
  return readFileSync(output);
}

describe('the C yardstick gives the forwarder’s bytes', { skip }, () => {
  const batches = makeBatches();
  /** A table with room for all; one that is full and evicts; and one whose entries idle out meanwhile. */
  const SETTINGS = [
    { capacity: 4096, idleTimeout: '1h' },
    { capacity: 64, idleTimeout: '1h' },
    { capacity: 4096, idleTimeout: '500ms' },
  ];
  for (const mode of MODES.filter(({ family }) => family !== 6)) {
    for (const { capacity, idleTimeout } of SETTINGS) {
      test(`${mode.name}, capacity ${capacity}, idle timeout ${idleTimeout}`, () => {
        const config = decisionConfig(mode, capacity, idleTimeout);
        const statePath = join(folder, 'state');
        writeStateFile(statePath, decisionState(config));
        const balancer = createDecisionBalancer(config);
        const expected = replay(balancer, batches);
        assert.ok(yardstick.path !== undefined);
        const actual = replayInC(yardstick.path, statePath, batches);
        const frames = batches.reduce((sum, batch) => sum + batch.frames.length, 0);
        assert.ok(expected.length > frames * 16, 'packets are forwarded: 8 bytes tell of one that is not');
        assert.equal(digest(actual), digest(expected), firstDifference(actual, expected));
      });
    }
  }
});

describe('the C yardsticks', { skip }, () => {
  const STRICT = ['-O1', '-g', '-Wall', '-Wextra', '-Wshadow', '-Werror', '-fsanitize=address,undefined'];
  const strict = join(folder, 'strict');
  mkdirSync(strict);

  for (const name of YARDSTICKS) {
    test(`${name} compiles without a warning`, () => {
      assert.notEqual(compileYardstick(name, strict, [...STRICT, '-fno-sanitize-recover=all']).path, undefined);
    });
  }

  test('the decision reads and writes nothing that is not its own, in any mode', () => {
    const batches = makeBatches();
    for (const mode of MODES.filter(({ family }) => family !== 6)) {
      const statePath = join(folder, 'state');
      writeStateFile(statePath, decisionState(decisionConfig(mode, 64, '500ms')));
      assert.ok(replayInC(join(strict, 'decision'), statePath, batches).length > 0, mode.name);
    }
  });
});

function digest(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

function firstDifference(actual: Buffer, expected: Buffer): string {
  const at = expected.findIndex((byte, i) => byte !== actual[i]);
  return `byte ${at} of ${expected.length}: expected ${expected[at]}, the yardstick wrote ${actual[at]}`;
}
