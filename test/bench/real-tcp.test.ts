/** Case `real-tcp`, for a moment: who stands between client and backends, what is counted, and that nothing is left behind. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { after, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { measureRealTcp } from '../../bench/cases/real-tcp.ts';
import { isReached } from '../../bench/show.ts';
import { BACKENDS, buildTcpNetwork, CLIENT, HAPROXY, HUSHLB, NAT, NGINX } from '../../bench/tcp/network.ts';
import { type Measured, present } from '../../bench/tcp/results.ts';
import { findSubjects, LARGE_BYTES, type Subject, type SubjectKey } from '../../bench/tcp/subjects.ts';
import { runWrk } from '../../bench/tcp/wrk.ts';
import { inNamespace } from '../../io/namespace.ts';
import type { HostProcess } from '../../lab/processes.ts';
import { openRun, removeRun, runDirectory } from '../../lab/runs.ts';
import { needsRoot, until } from '../io/two-hosts.ts';

const MAIN = fileURLToPath(new URL('../../bench/main.js', import.meta.url));
const never = new AbortController().signal;
const { subjects = [], missing } = findSubjects();
const skip = needsRoot || (subjects.length === 0 && missing.join(' '));

after(() => void removeRun(`${process.pid}`));

function left(runId: number): string[] {
  return [...readdirSync('/run/netns'), ...readdirSync('/run')].filter((name) =>
    new RegExp(`^hushlb-${runId}(-|$)`).test(name),
  );
}

describe('real TCP', { skip }, () => {
  test('each subject is asked through its own host, and through no other', async () => {
    const runId = openRun();
    const network = buildTcpNetwork(runId);
    const processes: HostProcess[] = [];
    const stage = {
      network,
      directory: runDirectory(runId),
      signal: never,
      started: (each: HostProcess) => void processes.push(each),
      onUnexpectedEnd: (error: Error) => assert.fail(error.message),
    };
    const between: Readonly<Record<SubjectKey, string | undefined>> = {
      straight: undefined,
      hushlb: HUSHLB[0],
      ipip: HUSHLB[0],
      nft: NAT[0],
      haproxy: HAPROXY[0],
      nginx: NGINX[0],
    };
    try {
      await Promise.all(subjects.map((subject) => subject.start(stage)));
      const received = (host: string): number => inNamespace(network.namespace(host), receivedPackets);
      const hosts = [HUSHLB, NAT, HAPROXY, NGINX].map(([name]) => name);
      for (const { key, address } of subjects) {
        const before = hosts.map(received);
        const run = {
          namespace: network.namespace(CLIENT),
          url: `http://${address}/`,
          connections: 8,
          keepAlive: true,
        };
        const { requests, failed } = await runWrk({ ...run, ms: 200 });
        assert.ok(requests > 0 && failed === 0, `${key}: ${requests} requests, ${failed} failed`);
        for (const [i, host] of hosts.entries()) {
          const packets = received(host) - before[i]!;
          const name = `${key}: ${packets} packets at ${host}, ${requests} requests`;
          if (host !== between[key]) assert.ok(packets < 20 + requests / 20, name);
          // With direct server return the answers pass by; elsewhere they come back the same way.
          // A few packets a connection are no requests, and show where a busy machine answers few.
          else if (host === HUSHLB[0]) {
            assert.ok(packets >= requests && packets < requests * 1.5 + 6 * run.connections, name);
          } else assert.ok(packets >= requests * 2, name);
        }
      }
    } finally {
      for (const each of processes.reverse()) await each.stop();
      removeRun(runId);
    }
    assert.deepEqual(left(process.pid), []);
  });

  test('every subject answers every load', async () => {
    const plan = { atMost: 1, loadMs: 200, warmUpMs: 100 };
    const measured = await measureRealTcp(subjects, plan, { progress: () => {}, secondsLeft: () => 0 });
    assert.equal(measured.length, subjects.length * 3);
    for (const { key, load, reports } of measured) {
      assert.equal(reports.length, 1);
      const { seconds, requests, bytes, p50, p99, p999, failed } = reports[0]!;
      assert.ok(seconds > 0.1 && requests > 0, `${key}, ${load}`);
      assert.equal(failed, 0, `${key}, ${load}`);
      assert.ok(p50 > 0 && p50 <= p99 && p99 <= p999, `${key}, ${load}: ${p50}, ${p99}, ${p999}`);
      const answer = bytes / requests;
      if (load === 'transfer') assert.ok(answer > LARGE_BYTES && answer < LARGE_BYTES * 1.5, `${key}: ${answer} bytes`);
      else assert.ok(answer > 50 && answer < 500, `${key}, ${load}: ${answer} bytes`);
    }
    assert.deepEqual(left(process.pid), []);
  });

  test('a subject that does not start leaves nothing behind', async () => {
    const broken: Subject = { ...subjects[0]!, start: () => Promise.reject(new Error('no start today')) };
    const plan = { atMost: 1, loadMs: 1, warmUpMs: 1 };
    const run = measureRealTcp([subjects[0]!, broken], plan, { progress: () => {}, secondsLeft: () => 0 });
    await assert.rejects(run, /no start today/);
    assert.deepEqual(left(process.pid), []);
  });

  test('Ctrl-C ends it, and nothing is left', async () => {
    const before = new Set(readdirSync('/run/netns'));
    const child = spawn(process.execPath, [MAIN, '--quick', '--only', 'real-tcp'], { stdio: 'ignore' });
    const ended = once(child, 'exit');
    let runId = Number.NaN;
    await until(
      'the servers have started',
      () => {
        const names = readdirSync('/run/netns').filter((name) => !before.has(name));
        runId =
          names.map((name) => Number(/^hushlb-(\d+)-b1$/.exec(name)?.[1])).find((id) => parentOf(id) === child.pid) ??
          Number.NaN;
        return existsSync(`/run/hushlb-${runId}/b1/nginx.pid`);
      },
      30_000,
    );
    child.kill('SIGINT');
    assert.deepEqual(await ended, [130, null]);
    await until('nothing is left', () => left(runId).length === 0);
  });
});

/** On eth0 of the namespace that this thread is in. */
function receivedPackets(): number {
  const line = /^ *eth0: *\d+ +(\d+)/m.exec(readFileSync('/proc/thread-self/net/dev', 'utf8'));
  return Number(line?.[1]);
}

function parentOf(pid: number): number | undefined {
  try {
    return Number(/^PPid:\s*(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
  } catch {
    return undefined;
  }
}

describe('what is told of it', () => {
  const subject = (key: SubjectKey): Subject => ({ key, name: key, address: '', start: async () => {} });
  const report = { seconds: 2, requests: 100_000, bytes: 1e9, p50: 100, p99: 2000, p999: 3000, failed: 0 };
  const measure = (key: SubjectKey, requests: number, p99 = 2000, failed = 0): Measured[] =>
    (['requests', 'connections', 'transfer'] as const).map((load) => ({
      key,
      load,
      reports: [{ ...report, requests, p99, failed }],
    }));
  const keys: SubjectKey[] = ['straight', 'hushlb', 'haproxy'];

  test('figures a second, and ratios', () => {
    const measured = [
      ...measure('straight', 200_000),
      ...measure('hushlb', 150_000, 1000),
      ...measure('haproxy', 75_000),
    ];
    const { tables, charts, targets, notes } = present(measured, keys.map(subject), ['nft is missing']);
    const [rates, compared, latencies] = tables;
    const medians = (row: readonly unknown[]): unknown[] =>
      row.map((cell) => (typeof cell === 'object' && cell !== null ? (cell as { median: number }).median : cell));
    assert.deepEqual(medians(rates!.rows[1]!), ['hushlb', 75, 75, 500]);
    assert.deepEqual(medians(compared!.rows[1]!), ['haproxy', 2, 2, 1]);
    assert.deepEqual(medians(latencies!.rows[1]!), ['hushlb', 0.1, 1, 3]);
    assert.deepEqual(charts[0]!.series[0]!.values, [100, 75, 37.5]);
    const reached = (what: RegExp): boolean => isReached(targets.find((each) => what.test(each.what))!);
    assert.equal(reached(/^requests over HAProxy/), true);
    assert.equal(reached(/^requests over straight/), true);
    assert.equal(reached(/^p99/), true);
    // Not measured here.
    assert.equal(reached(/^requests over nftables/), false);
    assert.equal(notes[0], 'nft is missing');
    assert.ok(notes.includes('Ahead of hushlb here: straight in requests and connections.'), notes.join('\n'));
    assert.ok(notes.includes('Straight has 2.67 times the requests of HAProxy: no balancer could have more.'));
  });

  test('failed requests are told of', () => {
    const measured = [...measure('straight', 1000), ...measure('hushlb', 999, 2000, 1)];
    const { notes } = present(measured, [subject('straight'), subject('hushlb')], []);
    assert.ok(notes.includes('hushlb: 3 of 3,000 requests failed.'), notes.join('\n'));
  });

  test('without wrk there are no figures, and how to get it', () => {
    const path = process.env.PATH;
    process.env.PATH = '';
    try {
      const found = findSubjects();
      assert.equal(found.subjects, undefined);
      assert.match(found.missing[0]!, /no wrk \(Debian: `apt-get install wrk`\)/);
      const { tables, charts, targets } = present([], [], found.missing);
      assert.deepEqual([tables, charts], [[], []]);
      for (const each of targets) assert.match(`${each.why}`, /^a program is missing/);
    } finally {
      process.env.PATH = path;
    }
  });
});

test('a client that nobody answers says so', { skip }, async () => {
  const runId = openRun();
  try {
    const network = buildTcpNetwork(runId);
    const url = `http://${BACKENDS[0]![1]}/`;
    const run = { namespace: network.namespace(CLIENT), url, connections: 1, keepAlive: true, ms: 100 };
    await assert.rejects(runWrk(run), /^Error: wrk: ended \(1\)/);
  } finally {
    removeRun(runId);
  }
});
