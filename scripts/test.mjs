/**
 * `npm test`: see run-tests.mjs for what it does, and check-node.mjs for why there are two files.
 */
import './check-node.mjs';

void import('./run-tests.mjs');
