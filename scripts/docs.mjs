/** `npm run docs`: writes the pages that are made of the code. */
import { setUp } from './setup.mjs';
import { handOver, main } from './steps.mjs';

await main(async () => {
  await setUp();
  const { code } = await handOver(process.execPath, ['dist/test/metrics/write-page.js']);
  return code;
});
