/**
 * Other ways to the backends than IPIP over IPv4, on real kernels: hushlb's other tunnels, IPv6, DNS over UDP, and uploads that
 * are too long for the tunnel.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { hasTcx } from '../../io/bpf-links.ts';
import { needsRoot } from '../io/two-hosts.ts';
import { lab, traces } from './command.ts';
import { assertWellFormed } from './well-formed.ts';

const directory = mkdtempSync(join(tmpdir(), 'hushlb-test-ways-'));
after(() => rmSync(directory, { recursive: true }));

interface Run {
  readonly promise: { readonly broken: readonly string[] };
  readonly connections: readonly { readonly outcome: string }[];
  readonly ladder: readonly { readonly hops?: readonly { readonly tunnel: string | null }[] }[];
  readonly upload?: { readonly family: number; readonly mssArrived: readonly number[] };
}

async function runsOf(...options: string[]): Promise<Run[]> {
  const file = join(directory, `${options.join('')}.json`);
  const report = join(directory, options.join(''));
  const run = lab('run', ...options, '--json', file, '--report', report);
  const { code, stdout, stderr } = await run.ended;
  assert.equal(code, 0, stdout + stderr);
  assert.deepEqual(traces(run.pid), []);
  const { runs } = JSON.parse(readFileSync(file, 'utf8')) as { runs: Run[] };
  for (const { promise } of runs) assert.deepEqual(promise.broken, []);
  assert.equal(assertWellFormed(report), runs.length);
  return runs;
}

/** What the ladders show of tunnels, each once. */
function tunnelsIn(runs: readonly Run[]): (string | null)[] {
  const hops = runs.flatMap(({ ladder }) => ladder.flatMap((row) => row.hops ?? []));
  return [...new Set(hops.map(({ tunnel }) => tunnel))].sort();
}

describe('hushlb lab run, by other ways', { concurrency: 2, skip: needsRoot }, () => {
  it('asks DNS servers over IPv6 by GRE, and keeps connections by GUE', async () => {
    const [dns, stateless] = await Promise.all([
      runsOf('dns', '--family', '6', '--encap', 'gre'),
      runsOf('stateless', '--family', '6', '--encap', 'gue', '--connections', '50'),
    ]);
    assert.deepEqual(tunnelsIn(dns), ['GRE', null]);
    assert.deepEqual(tunnelsIn(stateless), ['GUE', null]);
    assert.deepEqual([dns[0].connections.length, stateless[0].connections.length], [60, 50]);
  });

  it('uploads through IPIP over IPv6', async () => {
    const uploads = await runsOf('upload', '--family', '6');
    assert.deepEqual(
      uploads.map(({ connections }) => [...new Set(connections.map(({ outcome }) => outcome))]),
      // By the backends' routes; by hushlb decap, where the kernel has TCX; by path MTU discovery; and by none of them.
      [['kept'], ...(hasTcx() ? [['kept']] : []), ['kept'], ['hung']],
    );
    // 1500 bytes of the link, less two IPv6 headers and that of TCP.
    assert.deepEqual(uploads[0].upload?.mssArrived, [1400]);
    assert.deepEqual(tunnelsIn(uploads), ['IPIP', null]);
  });
});
