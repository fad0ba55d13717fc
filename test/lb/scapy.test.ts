/**
 * What hushlb sends, read by somebody else: each packet row's frame parses in scapy, layer by layer, with every length and
 * checksum right, unless it came in wrong.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { createPcapWriter } from '../../io/pcap.ts';
import { ROWS } from './packet-rows.ts';
import { rigOf } from './rows/row.ts';

/** Debian's: another one has no scapy of Debian's. */
const PYTHON = '/usr/bin/python3';
const SCAPY = '/usr/lib/python3/dist-packages/scapy/__init__.py';
const SCRIPT = fileURLToPath(new URL('../../../test/lb/check_frames.py', import.meta.url));

interface Frame {
  readonly layers: readonly string[];
  readonly problems: readonly string[];
}

describe('scapy', { skip: !existsSync(SCAPY) && 'needs Debian’s python3-scapy' }, () => {
  const directory = mkdtempSync(join(tmpdir(), 'hushlb-test-'));
  after(() => rmSync(directory, { recursive: true }));

  function read(frames: readonly Uint8Array[]): Frame[] {
    const file = join(directory, 'frames.pcap');
    const writer = createPcapWriter(file);
    for (const bytes of frames) writer.write({ bytes, timestampNs: 0n, originalLength: bytes.length });
    writer.close();
    const output = execFileSync(PYTHON, [SCRIPT, file], { encoding: 'utf8', maxBuffer: 2 ** 26 });
    return output
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Frame);
  }

  const kindOf = (problem: string): string => problem.slice(0, problem.indexOf(':'));
  const kindsOf = ({ problems }: Frame): Set<string> => new Set(problems.map(kindOf));

  const sent = ROWS.flatMap((row) => {
    const rig = rigOf(row);
    for (const frame of row.before ?? []) rig.walk(frame);
    const { frame } = rig.walk(row.in);
    return frame === undefined ? [] : [{ row, frame }];
  });
  const [received, left] = [read(sent.map(({ row }) => row.in)), read(sent.map(({ frame }) => frame))];

  const OUTER = /^Ether(\/Dot1AD|\/Dot1Q)*(\/IP|\/IPv6)(\/GRE|\/UDP\/GUE|\/UDP)?$/;

  for (const [i, { row }] of sent.entries()) {
    test(row.name, () => {
      // Whoever sends what is wrong has it delivered as it is.
      const known = kindsOf(received[i]);
      assert.deepEqual(
        left[i].problems.filter((problem) => !known.has(kindOf(problem))),
        [],
      );
      if (row.exit === 'forward') assert.deepEqual(kindsOf(left[i]), known, 'the same are wrong');
      if (row.exit !== 'forward') return;
      const inner = received[i].layers.slice(received[i].layers.findIndex((layer) => layer.startsWith('IP'))).join('/');
      const all = left[i].layers.join('/');
      assert.ok(all.endsWith(`/${inner}`), `${all} with ${inner}`);
      const outer = all.slice(0, -inner.length - 1);
      assert.match(outer, row.service?.includes('encap: l2') ? /^Ether(\/Dot1AD|\/Dot1Q)*$/ : OUTER);
    });
  }

  test('most packets came in right, and most of them leave', () => {
    assert.ok(sent.length > 150, `${sent.length} left`);
    const wrong = received.filter(({ problems }) => problems.length > 0);
    assert.ok(wrong.length < 15, `${wrong.length} came in wrong`);
  });
});
