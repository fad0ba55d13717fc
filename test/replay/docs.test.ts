/** The example of docs/replay.md, whose slot goes with the flow hash: its connection again, with its configuration. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { parseConfig } from '../../lb/config-file.ts';
import { tcpFrame } from '../packets.ts';
import { packetAt, replay } from './replays.ts';

const PAGE = readFileSync(new URL('../../../docs/replay.md', import.meta.url), 'utf8');

/** As tshark writes flags: a letter, or a dot, in a place for each. */
const ROW = /^(\d+\.\d{9}) {2}([·A-Z]{12}) {2}(web: .*)$/gm;

test('the connection in docs/replay.md is decided as it says there', () => {
  const [, yaml] = /```yaml\n(.*?)```/s.exec(PAGE) ?? [];
  const [, source] = /from\s+(198\.18\.[0-9.]+[0-9])/.exec(PAGE) ?? [];
  const [, port] = /tcp\.srcport == (\d+)/.exec(PAGE) ?? [];
  const rows = [...PAGE.matchAll(ROW)];
  assert.ok(yaml !== undefined && source !== undefined && port !== undefined && rows.length === 6);
  const packets = rows.map(([, seconds, flags]) => {
    const fields = { source, sourcePort: Number(port), flags: flags.replaceAll('·', '') };
    return packetAt(Number(seconds) * 1000, tcpFrame(fields));
  });
  const { told } = replay(packets, parseConfig(yaml, 'docs/replay.md').config);
  assert.deepEqual(
    told.map(({ comment }) => comment),
    rows.map(([, , , comment]) => comment),
  );
});
