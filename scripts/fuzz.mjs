/**
 * `npm run fuzz`: set-up, then the fuzzers in test/fuzz. Arguments are handed on to test/fuzz/main.ts.
 *
 * See check-node.mjs for why this file keeps to old syntax.
 */
import './check-node.mjs';

void Promise.all([import('./steps.mjs'), import('./setup.mjs')]).then(([{ handOver, main }, { setUp }]) =>
  main(async () => {
    await setUp();
    const { code } = await handOver(process.execPath, ['dist/test/fuzz/main.js', ...process.argv.slice(2)]);
    return code;
  }),
);
