/**
 * Options that several commands share, so that they read and behave the same everywhere.
 */
import type { Options } from 'yargs';

export const configOption = {
  alias: 'c',
  type: 'string',
  demandOption: true,
  requiresArg: true,
  describe: 'Configuration file (YAML)',
} as const satisfies Options;

export const interfaceOption = {
  alias: 'i',
  type: 'string',
  demandOption: true,
  requiresArg: true,
  describe: 'Network interface, such as eth0',
} as const satisfies Options;

export const logLevelOption = {
  choices: ['debug', 'info', 'warn', 'error'],
  default: 'info',
  requiresArg: true,
  describe: 'Least severe log lines to write',
} as const satisfies Options;

export const logFormatOption = {
  choices: ['auto', 'json', 'pretty'],
  default: 'auto',
  requiresArg: true,
  describe: 'How log lines look; auto is pretty on a terminal and JSON elsewhere',
} as const satisfies Options;

export const keepaliveIntervalOption = {
  type: 'string',
  requiresArg: true,
  describe: 'Probes come no more often than this (tcp_keepalive_intvl)',
  defaultDescription: '75s',
} as const satisfies Options;

export type LogLevel = (typeof logLevelOption.choices)[number];
export type LogFormat = (typeof logFormatOption.choices)[number];
