/**
 * Which test files may run beside others. A file is quiet if nothing that it imports, directly or through others, opens a
 * socket, starts a thread, calls libc or builds a network: all that it, and a program that it starts, can take from others is
 * time on a core, and being given less of that does it no harm. Everything else is live: networks, real programs and timers.
 *
 * Read from the compiled files, so a new test needs no entry anywhere.
 */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';

const LIVE = new Set([
  'node:cluster',
  'node:dgram',
  'node:http',
  'node:http2',
  'node:https',
  'node:net',
  'node:worker_threads',
  'koffi',
  'cap',
  'raw-socket',
  'playwright-core',
]);

/** What starts programs within networks. */
const NETWORKS = /\/lab\/processes\.js$/;

const IMPORT = /\b(?:from|import)\s*\(?\s*['"]([^'"]+)['"]/g;

/** Two lists, each in the order given. */
export function lanesOf(files) {
  const imports = new Map();
  const importsOf = (file) => {
    if (!imports.has(file))
      imports.set(
        file,
        [...readFileSync(file, 'utf8').matchAll(IMPORT)].map(([, name]) => name),
      );
    return imports.get(file);
  };

  function isLive(start) {
    const seen = new Set([resolve(start)]);
    for (const file of seen) {
      for (const name of importsOf(file)) {
        if (LIVE.has(name)) return true;
        const path = resolve(dirname(file), name);
        if (NETWORKS.test(path)) return true;
        if (name.startsWith('.') && existsSync(path)) seen.add(path);
      }
    }
    return false;
  }

  const live = new Set(files.filter(isLive));
  return { quiet: files.filter((file) => !live.has(file)), live: [...live] };
}
