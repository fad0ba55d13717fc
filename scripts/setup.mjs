/**
 * What a fresh clone needs before anything of it can run: Debian packages, npm packages, the build.
 *
 * demo.mjs, test.mjs and bench.mjs call it each time, so every part first looks whether it has anything to do; when
 * all is there it takes milliseconds and prints nothing. `node scripts/setup.mjs` does the set-up alone.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, realpathSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { dnsmasq, haproxy, installPackages, iproute2, nftables, nginx, portableTools, requests } from './debian.mjs';
import { buildPortable } from './portable.mjs';
import { Failure, JOINED, main, root, step } from './steps.mjs';

const JOINER = join('scripts', 'join.mjs');

/** Brings everything that hushlb's own commands need, and the Debian packages given (see debian.mjs). */
export async function setUp(packages = []) {
  await installPackages([iproute2, ...packages]);
  if (!areDependenciesFresh()) {
    // Without --include=dev, NODE_ENV=production would leave the compiler out.
    await step('npm ci', 'npm', ['ci', '--include=dev', '--no-audit', '--no-fund']);
    giveToOwner('node_modules');
  }
  if (packages.includes(portableTools[0]) && (await buildPortable())) giveToOwner('node_modules');
  if (!isBuildFresh()) {
    rmSync(join(root, 'dist'), { recursive: true, force: true });
    const compiler = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
    // With errors nothing is written, so whatever is in dist comes from a build that succeeded.
    await step('build', process.execPath, [compiler, '--noEmitOnError']);
    await step('join hot modules', process.execPath, [join(root, JOINER)]).catch((error) => {
      rmSync(join(root, 'dist'), { recursive: true, force: true });
      throw error;
    });
    giveToOwner('dist');
  }
}

/**
 * Compares the lock file with npm's own record of what it has installed (node_modules/.package-lock.json, written last),
 * which also tells of an `npm install --omit=dev`. Optional packages may be missing: they are for other platforms.
 */
function areDependenciesFresh() {
  const { '': _project, ...locked } = readJson('package-lock.json').packages;
  let installed;
  try {
    installed = readJson('node_modules/.package-lock.json').packages;
  } catch {
    return false;
  }
  return Object.entries(locked).every(([path, { integrity, optional }]) =>
    installed[path] === undefined ? optional === true : installed[path].integrity === integrity,
  );
}

/**
 * Whether dist has a compiled file for each source, younger than all of them, none whose source is gone, and the hot modules
 * joined.
 */
function isBuildFresh() {
  const sourceFolders = readJson('tsconfig.json').include;
  const sources = sourceFolders.flatMap((folder) => filesBelow(folder, /(?<!\.d)\.ts$/));
  const compiled = filesBelow('dist', /\.js$/);
  const expected = new Set(sources.map((source) => join('dist', source.replace(/\.ts$/, '.js'))));
  if (compiled.length !== expected.size || !compiled.every((path) => expected.has(path))) return false;
  if (!readFileSync(join(root, 'dist', 'lb', 'forwarder.js'), 'utf8').includes(JOINED)) return false;
  const youngestSource = Math.max(...['package.json', 'tsconfig.json', JOINER, ...sources].map(modifiedMs));
  return youngestSource < Math.min(...compiled.map(modifiedMs));
}

/** Paths, relative to the project's root, of the files below a folder whose name matches. */
export function filesBelow(folder, name) {
  if (!existsSync(join(root, folder))) return [];
  return readdirSync(join(root, folder), { recursive: true })
    .filter((path) => name.test(path))
    .map((path) => join(folder, path));
}

/** After `sudo npm run demo` the clone's owner can still build and test, as far as the file system allows it. */
function giveToOwner(folder) {
  const { uid, gid } = statSync(root);
  if (process.getuid() === 0 && uid !== 0) spawnSync('chown', ['-R', `${uid}:${gid}`, join(root, folder)]);
}

function modifiedMs(path) {
  return statSync(join(root, path)).mtimeMs;
}

function readJson(path) {
  try {
    return JSON.parse(readFileSync(join(root, path), 'utf8'));
  } catch (error) {
    throw new Failure(`${path}: ${error.message}: restore it with "git checkout ${path}"`);
  }
}

if (realpathSync(process.argv[1]) === fileURLToPath(import.meta.url))
  await main(() => setUp([nginx, haproxy, dnsmasq, requests, nftables, ...portableTools]));
