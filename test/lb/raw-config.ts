/** The smallest configuration that hushlb takes, as YAML would give it, to be varied; and what is wrong with one. Not a test. */
import assert from 'node:assert/strict';
import { validateConfig } from '../../lb/config-file.ts';
import { ConfigError } from '../../lb/config-problems.ts';

export type Settings = Record<string, unknown>;

/** Backend `b` and the number, with that in its address. */
export const backend = (number: number, more: Settings = {}) => ({
  name: `b${number}`,
  address: `198.18.2.${number}`,
  ...more,
});
export const service = (more: Settings = {}) => ({
  name: 'web',
  vip: '198.18.10.1',
  port: 80,
  backends: [backend(1)],
  ...more,
});
export const configuration = (more: Settings = {}) => ({ interface: 'eth0', services: [service()], ...more });

/** Where each problem is, and its text. */
export function problemsOf(raw: unknown): string[] {
  try {
    validateConfig(raw, 'FILE');
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error));
    assert.equal(error.code, 'CONFIG_INVALID');
    return error.problems.map(({ path, message }) => `${path}: ${message}`);
  }
  return [];
}
