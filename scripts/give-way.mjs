/**
 * `node --import ./scripts/give-way.mjs …`: node:test hands the option on to the process of each test file, where this gives a
 * quiet one (lanes.mjs), and so all that it starts, the lowest priority: it runs beside live ones and takes what they leave.
 */
import { constants, setPriority } from 'node:os';
import { lanesOf } from './lanes.mjs';

const [, file] = process.argv;
if (/\.test\.m?js$/.test(file) && lanesOf([file]).quiet.length > 0) setPriority(constants.priority.PRIORITY_LOW);
