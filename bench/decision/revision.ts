/**
 * Another revision of hushlb, built aside, so that case decision-cost can measure it beside this one in the same run:
 * `npm run bench -- --only decision-cost --against REVISION`. Needs git, and the packages that are installed here to be those
 * that the revision needs.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { HushlbError } from '../../lb/errors.ts';

const ROOT = new URL('../../..', import.meta.url).pathname;

/** Throws one line where git here does not know `revision`. */
export function checkRevision(revision: string): void {
  run('git', ['rev-parse', '--verify', '--end-of-options', `${revision}^{commit}`], { cwd: ROOT }, revision);
}

/** Builds `revision` below `folder` and returns the path of its dist, for decision/subject.ts. Throws one line where it can't. */
export function buildRevision(revision: string, folder: string): string {
  const tree = join(folder, 'revision');
  mkdirSync(tree);
  const archive = run('git', ['archive', '--format=tar', revision], { cwd: ROOT }, revision);
  run('tar', ['-x', '-C', tree], { input: archive }, revision);
  symlinkSync(join(ROOT, 'node_modules'), join(tree, 'node_modules'));
  for (const script of ['node_modules/typescript/bin/tsc', 'scripts/join.mjs']) {
    run(process.execPath, [script], { cwd: tree }, revision);
  }
  return join(tree, 'dist');
}

function run(
  program: string,
  args: readonly string[],
  options: { readonly cwd?: string; readonly input?: Buffer },
  revision: string,
): Buffer {
  const { status, stdout, stderr, error } = spawnSync(program, args, { ...options, maxBuffer: 1 << 28 });
  if (error === undefined && status === 0) return stdout;
  const why = error?.message ?? stderr.toString().trim().split('\n')[0];
  throw new HushlbError('REVISION_NOT_BUILT', `--against ${revision}: ${program} ${args[0]}: ${why}`);
}
