/**
 * How commands find the balancer that they ask: by its socket, by its configuration, or because it is the only one on this
 * host. Every command that talks to a running balancer takes these options.
 */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Argv, Options } from 'yargs';
import { type AdminClient, openClient } from '../admin/client.ts';
import { socketState } from '../admin/socket.ts';
import { RUNTIME_DIRECTORY } from '../lb/config-admin.ts';
import { readConfigFile } from '../lb/config-file.ts';
import { HushlbError } from '../lb/errors.ts';

export interface AdminArguments {
  readonly socket: string | undefined;
  readonly config: string | undefined;
}

const socketOption = {
  type: 'string',
  requiresArg: true,
  describe: 'Admin socket of the balancer; by default that of the only one on this host',
} as const satisfies Options;

const configOption = {
  alias: 'c',
  type: 'string',
  requiresArg: true,
  conflicts: 'socket',
  describe: "The balancer's configuration, which says where its socket is",
} as const satisfies Options;

export const jsonOption = {
  type: 'boolean',
  default: false,
  describe: 'Write the answer of the admin API as JSON',
} as const satisfies Options;

export function withAdminOptions<T>(yargs: Argv<T>): Argv<T & AdminArguments> {
  return yargs.option('socket', socketOption).option('config', configOption);
}

/** Runs `work` with a client of the daemon that the options name, and closes it. Throws HushlbError or ConfigError. */
export async function withDaemon<T>(options: AdminArguments, work: (client: AdminClient) => Promise<T>): Promise<T> {
  const client = openClient({ socket: await findSocket(options) });
  try {
    return await work(client);
  } finally {
    client.close();
  }
}

/** Throws HushlbError NO_DAEMON, ADMIN_DENIED or SEVERAL_DAEMONS, or ConfigError. */
async function findSocket({ socket, config: file }: AdminArguments): Promise<string> {
  if (socket !== undefined) return socket;
  if (file === undefined) return onlySocket(RUNTIME_DIRECTORY);
  const { admin } = readConfigFile(file).config;
  if (admin === null) {
    throw new HushlbError(
      'NO_DAEMON',
      `${file} says admin: false: such a balancer cannot be asked, only reloaded (SIGHUP)`,
    );
  }
  return admin.socket;
}

async function onlySocket(directory: string): Promise<string> {
  const paths = socketsIn(directory);
  const states = await Promise.all(paths.map(socketState));
  const living = paths.filter((_, i) => states[i] === 'living');
  if (living.length === 1) return living[0];
  if (living.length > 1) {
    const names = living.join(', ');
    throw new HushlbError('SEVERAL_DAEMONS', `several balancers run here: say which one with --socket: ${names}`);
  }
  const denied = paths.find((_, i) => states[i] === 'denied');
  if (denied !== undefined) {
    throw new HushlbError(
      'ADMIN_DENIED',
      `permission to use ${denied} is missing: run as root, or as a member of admin.group`,
    );
  }
  throw new HushlbError(
    'NO_DAEMON',
    'no hushlb runs on this host: hushlb run -c FILE starts one; -c FILE or --socket find one whose socket is elsewhere',
  );
}

function socketsIn(directory: string): string[] {
  try {
    const names = readdirSync(directory).filter((name) => name.endsWith('.sock'));
    return names.sort().map((name) => join(directory, name));
  } catch {
    return [];
  }
}
