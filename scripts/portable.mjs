/**
 * Builds the optional packages of `io: portable`, cap and raw-socket, which npm has unpacked without running anything (.npmrc).
 * Called by setup.mjs. Nothing is downloaded: node-gyp is shown the headers of the Node that runs this. Where they, the
 * compiler or libpcap's headers are missing, the packages stay unbuilt, and everything but `io: portable` works.
 */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { isThere, portableTools } from './debian.mjs';
import { Failure, note, root, step } from './steps.mjs';

const PACKAGES = ['cap', 'raw-socket'];

/** Resolves to whether it has built anything. */
export async function buildPortable() {
  const require = createRequire(join(root, 'package.json'));
  const unbuilt = PACKAGES.filter((name) => isInstalled(name) && !loads(require, name));
  if (unbuilt.length === 0) return false;
  const prefix = dirname(dirname(process.execPath));
  if (!existsSync(join(prefix, 'include', 'node', 'node.h'))) {
    giveUp(`no headers of Node in ${join(prefix, 'include', 'node')}`);
    return false;
  }
  // Of those that are missing installPackages has told.
  if (!portableTools.every(isThere)) return false;
  // cap asserts that its interface never goes down: with NDEBUG that is no end of the process.
  const env = { ...process.env, npm_config_nodedir: prefix, CXXFLAGS: `${process.env.CXXFLAGS ?? ''} -DNDEBUG` };
  try {
    await step(`build ${unbuilt.join(' and ')}`, 'npm', ['rebuild', '--ignore-scripts=false', ...unbuilt], { env });
    return true;
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    process.stderr.write(error.output);
    giveUp(error.message);
    return false;
  }
}

function giveUp(reason) {
  note(`${PACKAGES.join(' and ')} are not built (${reason}); going on without them: io: portable is not there`);
}

function isInstalled(name) {
  return existsSync(join(root, 'node_modules', name, 'package.json'));
}

/** Built, and for this version of Node. */
function loads(require, name) {
  try {
    require(name);
    return true;
  } catch {
    return false;
  }
}
