/**
 * The configuration's file, for doctor: what is in it, or what is wrong with it, and who may write it.
 */
import { randomInt } from 'node:crypto';
import { statSync } from 'node:fs';
import type { Config } from '../lb/config.ts';
import { readConfigFile } from '../lb/config-file.ts';
import { ConfigError } from '../lb/config-problems.ts';
import type { ConfigurationFacts } from './configuration.ts';

/** randomInt takes no larger range. */
const SEEDS = 2 ** 32;

export interface ReadConfiguration {
  readonly facts: ConfigurationFacts;
  /** Undefined where the file is bad. */
  readonly config: Config | undefined;
}

export function readConfiguration(file: string): ReadConfiguration {
  const mode = modeOf(file);
  const common = { file, mode, freshSeed: randomInt(1, SEEDS) };
  try {
    const { config, warnings } = readConfigFile(file);
    return { config, facts: { ...common, problems: [], warnings, hashSeed: config.hashSeed } };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const problems = error.problems.map(({ path, message }) =>
      path === '' ? `${file}: ${message}` : `${path}: ${message}`,
    );
    return { config: undefined, facts: { ...common, problems, warnings: [], hashSeed: null } };
  }
}

/** Of a directory or a device nothing: its permissions are none of doctor's business. */
function modeOf(file: string): number | null {
  try {
    const status = statSync(file);
    return status.isFile() ? status.mode : null;
  } catch {
    // Why not, reading it says.
    return null;
  }
}
