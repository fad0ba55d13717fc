/**
 * One case, in this process: started by bench/main.ts with NAME, `quick` or `full`, and a revision if there is one. Sends its
 * progress and, at the end, its result. Whatever the case has started ends with it, however it ends.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { CaseResult } from './case.ts';
import { CASES } from './cases.ts';

export type CaseMessage =
  | { readonly kind: 'progress'; readonly text: string }
  | { readonly kind: 'result'; readonly result: CaseResult }
  /** One line for people. */
  | { readonly kind: 'failed'; readonly message: string };

const [name, length, against] = process.argv.slice(2) as [string, string, string?];
const quick = length === 'quick';
const found = CASES.find((each) => each.name === name);
if (found === undefined) throw new RangeError(`no case ${name}`);

const folder = mkdtempSync(join(tmpdir(), 'hushlb-bench-'));
// Cases clean up on `exit` too: signals lead there.
process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
// `on`, not `once`: what is being taken away is not to be cut short by a second one.
process.on('SIGINT', () => process.exit(130));
process.on('SIGTERM', () => process.exit(143));
const orphaned = (): never => process.exit(1);
process.once('disconnect', orphaned);

const send = (message: CaseMessage): void => void process.send?.(message);
const end = performance.now() + (quick ? found.seconds.quick : found.seconds.full) * 1000;
try {
  const result = await found.run({
    quick,
    against,
    folder,
    progress: (text) => send({ kind: 'progress', text }),
    secondsLeft: () => Math.max(0, (end - performance.now()) / 1000),
  });
  send({ kind: 'result', result });
} catch (error) {
  const { code, message, stack } = error as Error & { code?: string };
  // Without a code it is a mistake of ours, whose place is wanted.
  send({ kind: 'failed', message: code === undefined ? (stack ?? message) : message });
  process.exitCode = 1;
}
process.off('disconnect', orphaned);
process.disconnect?.();
