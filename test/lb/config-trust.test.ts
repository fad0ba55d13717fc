/** Whose configuration is run: files and directories that others may write to. */
import assert from 'node:assert/strict';
import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { readConfigFile } from '../../lb/config-file.ts';

const isRoot = process.geteuid?.() === 0;
const directory = mkdtempSync(join(tmpdir(), 'hushlb-test-trust-'));
after(() => rmSync(directory, { recursive: true }));

const TEXT = `
interface: eth0
services: [{ name: web, vip: 198.18.10.1, port: 80, backends: [{ name: b1, address: 198.18.2.1 }] }]
`;

/** What reading it says: of a file with these modes and owners, 1 is a stranger. */
function verdict(name: string, fileMode: number, directoryMode: number, owner = 0, group = 0): string {
  const place = join(directory, name);
  mkdirSync(place);
  const file = join(place, 'hushlb.yaml');
  writeFileSync(file, TEXT);
  chmodSync(file, fileMode);
  if (owner !== 0 || group !== 0) chownSync(file, owner, group);
  chmodSync(place, directoryMode);
  return read(file);
}

function read(file: string): string {
  try {
    return readConfigFile(file)
      .warnings.map(({ message }) => message)
      .join('\n');
  } catch (error) {
    return (error as Error).message;
  }
}

test('a file that anybody may write to is refused in one line', () => {
  assert.match(
    verdict('open-file', 0o646, 0o755),
    /^\S+hushlb\.yaml: anybody on this host may write to it: chmod o-w \S+hushlb\.yaml$/,
  );
});

test('so is one in a directory in which anybody may replace it, also by way of a link', () => {
  const says = /^\S+: anybody on this host may replace it, .*: chmod o-w \S+open-directory$/;
  assert.match(verdict('open-directory', 0o644, 0o777), says);
  const link = join(directory, 'link.yaml');
  symlinkSync(join(directory, 'open-directory', 'hushlb.yaml'), link);
  assert.match(read(link), says);
});

test('in a sticky directory only the owner may replace it', { skip: isRoot ? false : 'needs root' }, () => {
  assert.equal(verdict('sticky', 0o644, 0o1777), '');
  assert.match(
    verdict('sticky-stranger', 0o644, 0o1777, 4711),
    /another user's file in a directory that is open to all/,
  );
  assert.equal(verdict('stranger', 0o644, 0o755, 4711), '');
});

test('a group that may write is told of, unless it is root or the owner alone', {
  skip: isRoot ? false : 'needs root',
}, () => {
  assert.equal(verdict('usual', 0o600, 0o755), '');
  assert.match(verdict('group', 0o664, 0o755, 0, 4712), /^the members of group 4712 may write to it/);
  assert.equal(verdict('root-group', 0o664, 0o755, 4711, 0), '');
  assert.equal(verdict('own-group', 0o664, 0o755, 4711, 4711), '');
});
