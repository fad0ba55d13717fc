/**
 * The body of `npm test`: set-up, then node:test over dist/test, then a look for what the tests left behind.
 *
 * `npm test -- conntrack wire/tcp` runs the files whose path holds one of the words. Tests that need root skip with a
 * reason when they do not have it; where CI is set, a skipped test is a failure. The closing summary of node:test is
 * the last output unless something is wrong; run-lanes.mjs says which files run beside each other.
 */
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import {
  chromium,
  dnsmasq,
  ethtool,
  haproxy,
  nftables,
  nginx,
  nginxStream,
  openssl,
  portableTools,
  procps,
  prometheus,
  requests,
  scapy,
  systemd,
  tcpdump,
  tshark,
  wrk,
} from './debian.mjs';
import { markRun, removeLeaks } from './leaks.mjs';
import { filesBelow, setUp } from './setup.mjs';
import { Failure, handOver, main, note } from './steps.mjs';

/** Debian packages that the tests use, as in debian.mjs. */
const PACKAGES = [
  nginx,
  haproxy,
  dnsmasq,
  requests,
  nftables,
  chromium,
  tshark,
  tcpdump,
  scapy,
  openssl,
  ethtool,
  procps,
  wrk,
  nginxStream,
  prometheus,
  systemd,
  ...portableTools,
];

/** A test file that takes longer hangs. */
const FILE_TIMEOUT_MS = 300_000;

await main(async () => {
  await setUp(PACKAGES);
  const files = findTests(process.argv.slice(2));
  const folder = mkdtempSync(join(tmpdir(), 'hushlb-test-'));
  const skipFile = join(folder, 'skips');
  const temporary = makeTemporaryFolder(folder);
  const run = markRun();
  try {
    const { code, pid } = await runTests(files, skipFile, { ...run.env, TMPDIR: temporary });
    const leaks = [...(await removeLeaks(run, pid)), ...leftIn(temporary)];
    const skips = readLines(skipFile);
    for (const leak of leaks) note(`left behind by the tests, removed now: ${leak}`);
    for (const skip of skips) note(`skipped: ${skip}`);
    if (process.env.CI && skips.length > 0) note('CI is set: a skipped test is a failure');
    const failed = leaks.length > 0 || (process.env.CI && skips.length > 0);
    return code === 0 && failed ? 1 : code;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

function findTests(words) {
  const files = filesBelow('dist/test', /\.test\.js$/).filter((file) => {
    const name = relative('dist/test', file);
    return words.length === 0 || words.some((word) => name.includes(word));
  });
  if (files.length === 0) throw new Failure(`no test file below test/ has ${words.join(' or ')} in its path`);
  return files.sort();
}

/** The tests' own, open to all users as /tmp is: some tests give root up. It is seen what they leave there. */
function makeTemporaryFolder(folder) {
  const temporary = join(folder, 'tmp');
  mkdirSync(temporary);
  chmodSync(folder, 0o755);
  chmodSync(temporary, 0o1777);
  return temporary;
}

/** What our tests left; what programs of others leave, browsers and the like, is theirs. It goes with the folder. */
function leftIn(temporary) {
  const names = readdirSync(temporary, { recursive: true }).filter((name) => name.startsWith('hushlb-'));
  return names.length === 0 ? [] : [`in the temporary directory, ${names.join(' ')}`];
}

function runTests(files, skipFile, env) {
  const command = [
    '--import',
    './scripts/give-way.mjs',
    'scripts/run-lanes.mjs',
    skipFile,
    String(FILE_TIMEOUT_MS),
    ...files,
  ];
  return handOver(process.execPath, command, { env: { ...process.env, ...env } });
}

function readLines(path) {
  if (!existsSync(path)) return [];
  return readFileSync(path, 'utf8')
    .split('\n')
    .filter((line) => line !== '');
}
