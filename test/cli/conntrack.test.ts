/** How `hushlb conntrack list` is drawn. That it says what the tables hold: test/admin/observe.test.ts. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { listText } from '../../cli/conntrack.ts';

const ENTRY = {
  service: 'web',
  client: '198.18.1.7' as string | null,
  port: 51514,
  backend: 'b1',
  idleMs: 500,
  remainingMs: 59_500,

  proven: true,
  closing: false,

  worker: 0,
};

test('IPv6 clients stand there without their address, and a line below says why', () => {
  const entries = [ENTRY, { ...ENTRY, client: null, port: 40001 }];
  const text = listText(entries, 2, 80);
  assert.match(text, /^web {6}\[IPv6\]:40001 +b1 /m);
  assert.match(
    text,
    /\n2 entries\n\[IPv6\]: .* digest, not the address: --client\nADDRESS lists the entries of one\n$/,
  );
  for (const width of [40, 80]) {
    for (const line of listText(entries, 2, width).split('\n')) assert.ok(line.length <= width, line);
  }
  assert.doesNotMatch(listText([ENTRY], 1, 80), /digest/);
});
