/**
 * Which test files may run beside each other. A file is quiet if nothing that it imports, directly or through others, starts a
 * process or a thread, opens a socket or calls libc: all that it can disturb is the other core. Everything else is live and
 * runs alone, because networks, real programs and timers keep both cores of a small machine busy.
 *
 * Read from the compiled files, so a new test needs no entry anywhere.
 */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';

const LIVE = new Set([
  'node:child_process',
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
        if (name.startsWith('.') && existsSync(path)) seen.add(path);
      }
    }
    return false;
  }

  const live = new Set(files.filter(isLive));
  return { quiet: files.filter((file) => !live.has(file)), live: [...live] };
}
