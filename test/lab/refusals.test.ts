/**
 * What `hushlb lab` does not run: programs that are missing, and options that make no sense. Each is one line on stderr,
 * and an exit code, before anything is built.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { describe, it } from 'node:test';
import { hushlb, MAIN } from '../cli/command.ts';

const root = process.getuid?.() === 0;

describe('programs that are missing', {
  skip: process.getuid?.() !== 0 && 'needs root: it hides programs by mounts',
}, () => {
  /** What is mounted over a file or directory hides it, in a mount namespace that ends with the process. */
  const rows: [scenario: string, hide: string, message: RegExp][] = [
    [
      'l7-idle',
      'mount --bind /dev/null /usr/sbin/haproxy',
      /l7-idle, HAProxy needs HAProxy: install it \(apt install haproxy\)/,
    ],
    ['dns', 'mount --bind /dev/null /usr/sbin/dnsmasq', /dns needs dnsmasq: install it \(apt install dnsmasq-base\)/],
    [
      'direct-race',
      'mount --bind /dev/null /usr/sbin/nginx',
      /direct-race needs nginx: install it \(apt install nginx-light\)/,
    ],
    [
      'direct-race',
      'mount -t tmpfs none /usr/lib/python3/dist-packages',
      /direct-race needs the requests library of \/usr\/bin\/python3: install it \(apt install python3-requests\)/,
    ],
  ];
  for (const [scenario, hide, message] of rows) {
    it(`${scenario} where ${hide.split(' ').at(-1)} is hidden`, () => {
      const command = `${hide} && exec ${process.execPath} ${MAIN} lab run ${scenario}`;
      const { status, stderr, stdout } = spawnSync('unshare', ['-m', 'sh', '-c', command], { encoding: 'utf8' });
      assert.equal(status, 1);
      assert.match(stderr, message);
      assert.equal(stderr.trimEnd().split('\n').length, 1);
      assert.equal(stdout, '');
    });
  }
});

describe('what cannot be run', { concurrency: 2 }, () => {
  const answers: [string[], number, RegExp][] = [
    [['run', 'statless'], 2, /"statless".*"stateless", "round-robin", "syn-only"/],
    [['run', 'stateless', '--connections', '5'], 2, /--connections: expected a whole number from 50 to 2000, got 5/],
    [['run', 'stateless', '--backends', '1'], 2, /--backends: expected a whole number from 2 to 9, got 1/],
    [['run'], 2, /expected the name of a scenario, or --all/],
    [['run', '--all', 'stateless'], 2, /--all: runs every scenario, name none beside it/],
    [['run', 'stateless', '--scale', '0'], 2, /--scale: expected a number above 0, up to 10, got 0/],
    [['run', 'stateless', '--scale=-1'], 2, /--scale: expected a number above 0, up to 10, got -1/],
    [
      ['run', 'stateless', '--scale', '0.01'],
      2,
      /stateless: the balancer's idle timeout would be 0.1 s, and the first/,
    ],
    [['run', 'stateless', '--lb-idle', '0s'], 2, /--lb-idle: expected a time from 1ms to 30d, such as 60s, got "0s"/],
    [['run', 'stateless', '--lb-idle=-5s'], 2, /--lb-idle: expected a time from 1ms to 30d, such as 60s, got "-5s"/],
    [['run', 'stateless', '--lb-idle', '31d'], 2, /--lb-idle: expected a time from 1ms to 30d, such as 60s, got "31d"/],
    [
      ['run', 'stateless', '--server-idle', '3s'],
      2,
      /pointless, the server closes after 3 s, before the request at 3.5 s/,
    ],
    [
      ['run', 'syn-only', '--client-idle', '5s', '--lb-idle', '10s'],
      2,
      /pointless, the client closes after 5 s, before/,
    ],
    [
      ['run', 'direct-race', '--mode', 'stateful'],
      2,
      /--mode: means nothing to direct-race; direct-race, cured, leave/,
    ],
    [['run', 'direct-race', '--io', 'af-packet'], 2, /--io: hushlb takes no part in what is to run, leave it out/],
    [['run', 'stateless', '--io', 'netmap'], 2, /io.*netmap.*portable/is],
    [['run', 'direct-race', '--encap', 'gue'], 2, /--encap: hushlb takes no part in what is to run, leave it out/],
    [['run', 'stateless', '--family', '5'], 2, /family.*5.*4.*6/is],
    [['run', 'stateless', '--encap', 'vxlan'], 2, /encap.*vxlan.*gue/is],
    [['run', 'upload', '--encap', 'l2'], 2, /upload: pointless, with --encap l2 packets don't grow/],
    [['run', 'upload', '--connections', '100'], 2, /--connections: means nothing to upload/],
    [['matrix', '--row', 'direct', '--encap', 'gre'], 2, /--encap: hushlb takes no part in what is to run/],
    [['run', 'l7-idle', '--connections', '201'], 2, /--connections: l7-idle takes up to 200/],
    [['run', 'backend-added', '--connections', '2001'], 2, /--connections: expected a whole number from 50 to 2000/],
    [['run', 'backend-added', '--backends', '9'], 2, /--backends: backend-added takes up to 8, and adds one/],
    [
      ['run', 'backend-removed', '--lb-idle', '31d'],
      2,
      /--lb-idle: means nothing to backend-removed; backend-removed, w/,
    ],
    [
      ['run', 'backend-drained', '--scale', '0.05'],
      2,
      /backend-drained: pointless, the client's idle timeout would be 3 s/,
    ],
    [['run', 'direct-race', '--scale', '0.1'], 2, /direct-race: sessions would send every 0.1 s, too fast/],
    [
      ['run', 'stateless', '--client-idle', '30d', '--lb-idle', '10d', '--server-idle', '30d'],
      2,
      /stateless: would take 1296000 s, and runs are bounded to 2 hours: use shorter timeouts, or hushlb simulate/,
    ],
    [['run', 'stateless', '--json', '/no/such/place.json'], 1, /cannot write \/no\/such\/place.json/],
  ];
  for (const [options, code, message] of answers) {
    // Who is not root is told that first, where all options make sense.
    it(options.join(' '), { skip: code === 1 && !root && 'needs root' }, async () => {
      const ended = await hushlb(['lab', ...options]);
      assert.equal(ended.code, code);
      assert.match(ended.stderr, message);
      assert.equal(ended.stderr.trimEnd().split('\n').length, 1);
      assert.equal(ended.stdout, '');
    });
  }
});
