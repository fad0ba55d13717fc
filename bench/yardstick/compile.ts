/**
 * Compiles a C yardstick on the spot, with `cc -O2`, into a folder that the caller removes. The sources lie beside this file
 * and not in dist/.
 */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const YARDSTICKS = ['decision', 'reflect', 'balance', 'reflect-packet'] as const;
export type YardstickName = (typeof YARDSTICKS)[number];

export type Yardstick =
  | { readonly path: string; readonly compiler: string }
  /** There is none, and why. */
  | { readonly path: undefined; readonly missing: string };

/** From dist/bench/yardstick/ to bench/yardstick/. */
const SOURCES = fileURLToPath(new URL('../../../bench/yardstick/', import.meta.url));

/** What is measured. Warnings are the test's business (test/bench/decision-yardstick.test.ts): compilers learn new ones. */
const OPTIMIZED: readonly string[] = ['-O2'];

/** Throws with the compiler's words when there is a compiler and it refuses the source: that is a mistake of ours. */
export function compileYardstick(name: YardstickName, folder: string, flags = OPTIMIZED): Yardstick {
  const version = spawnSync('cc', ['--version'], { encoding: 'utf8' });
  if (version.error !== undefined || version.status !== 0) {
    return { path: undefined, missing: 'no C compiler (Debian: `apt-get install gcc libc6-dev`)' };
  }
  const path = join(folder, name);
  const { status, stderr } = spawnSync('cc', [...flags, '-o', path, join(SOURCES, `${name}.c`)], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`cc refuses bench/yardstick/${name}.c:\n${stderr}`);
  return { path, compiler: `${version.stdout.split('\n')[0]}, ${flags.join(' ')}` };
}
