/** Writes docs/metrics.md, for `npm run docs`. Not a test. */
import { writeFileSync } from 'node:fs';
import { metricsPage } from '../../metrics/page.ts';
import { PAGE } from './page-file.ts';

writeFileSync(PAGE, metricsPage());
