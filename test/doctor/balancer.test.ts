/**
 * What doctor makes of facts about a balancer's host, row by row: no kernel, no network.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type ClockFacts, judgeClock } from '../../doctor/clock.ts';
import { type ConfigurationFacts, judgeConfiguration } from '../../doctor/configuration.ts';
import { exitCodeOf, inOrder, type Severity, tell } from '../../doctor/finding.ts';
import { judgeKernel, type KernelFacts } from '../../doctor/kernel.ts';
import { judgeRights, type RightsFacts } from '../../doctor/rights.ts';
import type { Capability } from '../../io/process-limits.ts';
import { gist } from './gist.ts';

const ALL: Capability[] = ['CAP_NET_ADMIN', 'CAP_NET_RAW', 'CAP_BPF'];

describe('rights', () => {
  const rows: [name: string, facts: Partial<RightsFacts>, expected: string[]][] = [
    ['all there', {}, ['ok rights']],
    [
      'none',
      { capabilities: new Set() },
      ['warning rights-missing | sudo -s', 'warning locked-memory | ulimit -l 2048'],
    ],
    [
      'CAP_SYS_ADMIN in place of CAP_BPF',
      { capabilities: new Set(['CAP_NET_ADMIN', 'CAP_NET_RAW', 'CAP_SYS_ADMIN', 'CAP_IPC_LOCK']) },
      ['ok rights'],
    ],
    ['few files', { openFiles: 100 }, ['ok rights', 'warning open-files | ulimit -n 260']],
  ];
  for (const [name, facts, expected] of rows) {
    test(name, () => {
      const all = {
        capabilities: new Set<Capability>([...ALL, 'CAP_IPC_LOCK']),
        openFiles: 1024,
        lockedMemory: 65_536,
        ...facts,
      };
      const wanted = { command: 'hushlb run', capabilities: ALL, openFiles: 260, frames: 2 ** 21 };
      assert.deepEqual(gist(judgeRights(all, wanted)), expected);
    });
  }
});

describe('kernel', () => {
  const good: KernelFacts = {
    release: '6.12.9-amd64',
    bpf: 'yes',
    afXdp: 'yes',
    tcx: 'yes',
    nft: true,
    portable: null,
  };
  const choose = (io: string) => `sed -i -e '1i io: ${io}' -e '/^io:/d' f.yaml`;
  const rows: [
    name: string,
    facts: Partial<KernelFacts>,
    wanted: Parameters<typeof judgeKernel>[1],
    expected: string[],
  ][] = [
    ['all there', {}, 'af-xdp', ['ok kernel']],
    [
      'old',
      { release: '5.4.0-42-generic' },
      'af-xdp',
      ['warning kernel-old | apt-get install --only-upgrade linux-image-amd64'],
    ],
    ['5.10 is newer than 5.9', { release: '5.10.0' }, 'af-xdp', ['ok kernel']],
    ['no AF_XDP', { afXdp: 'no' }, 'af-xdp', [`error no-af-xdp | ${choose('af-packet')}`]],
    ['no AF_XDP, and auto', { afXdp: 'no' }, 'auto', [`note no-af-xdp | ${choose('af-packet')}`]],
    ['no AF_XDP, and nobody wants it', { afXdp: 'no' }, 'af-packet', ['ok kernel']],
    ['no BPF', { bpf: 'no' }, 'af-packet', [`error no-bpf | ${choose('portable')}`]],
    ['no guard', { tcx: 'no', nft: false }, 'af-packet', ['error no-guard | apt-get install nftables']],
    ['nft is the guard', { tcx: 'no' }, 'af-packet', ['ok kernel']],
    ['not root', { bpf: 'unseen', afXdp: 'unseen', tcx: 'unseen' }, 'af-xdp', ['note kernel-unseen | sudo -s']],
    ['nothing is wanted', { bpf: 'no' }, 'nothing', []],
  ];
  for (const [name, facts, wanted, expected] of rows) {
    test(name, () => assert.deepEqual(gist(judgeKernel({ ...good, ...facts }, wanted, 'f.yaml')), expected));
  }
});

describe('clock', () => {
  const installed = new Date('2026-11-01T00:00:00Z');
  const rows: [name: string, facts: Partial<ClockFacts>, expected: string[]][] = [
    ['synchronised', {}, ['ok clock']],
    ['nobody knows', { synchronised: null }, ['ok clock']],
    ['alone', { synchronised: false }, ['note clock-alone | timedatectl set-ntp true']],
    ['of 1970', { now: new Date(0) }, ['warning clock-behind | timedatectl set-ntp true']],
    ["another time zone's midnight", { now: new Date('2026-10-31T12:00:00Z') }, ['ok clock']],
  ];
  for (const [name, facts, expected] of rows) {
    test(name, () => {
      const all = { synchronised: true, now: new Date('2026-11-23T00:00:00Z'), installed, ...facts };
      assert.deepEqual(gist(judgeClock(all)), expected);
    });
  }
});

describe('configuration', () => {
  const good: ConfigurationFacts = {
    file: '/etc/hush lb.yaml',
    mode: 0o100644,
    problems: [],
    warnings: [],
    hashSeed: 7,
    freshSeed: 4711,
  };
  const seed = `warning hash-seed | sed -i -e '1i hashSeed: 4711' -e '/^hashSeed:/d' '/etc/hush lb.yaml'`;
  const rows: [name: string, facts: Partial<ConfigurationFacts>, expected: string[]][] = [
    ['fine', {}, ['ok configuration']],
    ['world-writable', { mode: 0o100666 }, [`error world-writable | chmod o-w '/etc/hush lb.yaml'`]],
    [
      'world-writable, and so refused',
      { mode: 0o100666, problems: ['a'], hashSeed: null },
      [`error world-writable | chmod o-w '/etc/hush lb.yaml'`],
    ],
    ['no file', { mode: null, problems: ['a'], hashSeed: null }, ['error configuration-bad']],
    [
      'bad',
      { problems: ['a', 'b'], hashSeed: null },
      [`error configuration-bad | hushlb check -c '/etc/hush lb.yaml'`],
    ],
    ['the default seed', { hashSeed: 0 }, [seed]],
    [
      'surprises',
      { warnings: [{ path: 'x', message: 'y' }] },
      [`warning configuration-warning | hushlb check -c '/etc/hush lb.yaml'`],
    ],
    ['a warning about the seed is said once', { hashSeed: 0, warnings: [{ path: 'hashSeed', message: 'y' }] }, [seed]],
  ];
  for (const [name, facts, expected] of rows) {
    test(name, () => assert.deepEqual(gist(judgeConfiguration({ ...good, ...facts }, 'balancer')), expected));
  }
  test('a backend does not care about seeds', () => {
    assert.deepEqual(gist(judgeConfiguration({ ...good, hashSeed: 0 }, 'backend')), ['ok configuration']);
  });
});

test('the exit code is that of the worst', () => {
  const { ok, note, warning, error } = tell('clock');
  const of = (...severities: Severity[]) =>
    exitCodeOf(
      severities.map(
        (severity) =>
          ({ ok: ok('x', ''), note: note('x', '', ''), warning: warning('x', '', ''), error: error('x', '', '') })[
            severity
          ],
      ),
    );
  assert.deepEqual([of(), of('ok', 'note'), of('ok', 'warning'), of('warning', 'error')], [0, 0, 3, 1]);
});

test('by topic, the worst first', () => {
  const findings = [tell('path').ok('a', ''), tell('path').error('b', '', ''), tell('rights').ok('c', '')];
  assert.deepEqual(gist(inOrder(findings)), ['ok c', 'error b', 'ok a']);
});
