/**
 * The commands that change a running balancer, one request each: `drain`, `undrain`, `weight`, `add`, `remove`, `mode`,
 * `scheduler` and `reload`. What came of it is told in a few lines (cli/change-text.ts).
 */
import type { Argv, CommandModule } from 'yargs';
import type { AdminClient } from '../admin/client.ts';
import type { ChangeReport } from '../lb/change.ts';
import { type AdminArguments, jsonOption, withAdminOptions, withDaemon } from './admin-options.ts';
import { changeLines } from './change-text.ts';
import { waitForDrain } from './drain-wait.ts';
import { durationOrOff } from './duration-option.ts';
import { UsageError } from './errors.ts';
import { terminalWidth, wrap } from './terminal.ts';

interface Request {
  readonly method: 'POST' | 'PATCH' | 'DELETE';
  readonly path: string;
  readonly body?: unknown;
}

interface ChangeCommand<T> {
  readonly command: string;
  readonly describe: string;
  /** Behind the command's own words. */
  readonly usage: string;
  positionals(yargs: Argv): Argv<T>;
  readonly example: readonly [command: string, description: string];
  request(options: T): Request;
  /** What follows a change that was made and told. */
  afterwards?(daemon: AdminClient, options: T): Promise<void>;
}

type Shared = AdminArguments & { readonly json: boolean };

function changeCommand<T>(definition: ChangeCommand<T>): CommandModule<object, T & Shared> {
  const { command, describe, usage, positionals, example, request, afterwards } = definition;
  return {
    command,
    describe,
    builder: (yargs) =>
      withAdminOptions(positionals(yargs as Argv).usage(usage))
        .option('json', jsonOption)
        .example(...example) as unknown as Argv<T & Shared>,
    async handler(options) {
      const { method, path, body } = request(options as unknown as T);
      await withDaemon(options, async (daemon) => {
        const report = await daemon.request(method, path, body);
        if (options.json) process.stdout.write(`${JSON.stringify(report, null, 2)}\n`);
        else writeReport(report as ChangeReport);
        await afterwards?.(daemon, options as unknown as T);
      });
    },
  };
}

function writeReport(report: ChangeReport): void {
  const width = terminalWidth();
  const lines = changeLines(report).flatMap((line) => wrap(line, width));
  process.stdout.write(`${lines.join('\n')}\n`);
}

interface OfService {
  readonly service: string;
}

interface OfBackend extends OfService {
  readonly backend: string;
}

const serviceOf = (yargs: Argv): Argv<OfService> =>
  yargs.positional('service', { type: 'string', demandOption: true, describe: 'Its name in the configuration' });

const backendOf = (yargs: Argv): Argv<OfBackend> =>
  serviceOf(yargs).positional('backend', { type: 'string', demandOption: true, describe: 'Its name in the service' });

const servicePath = ({ service }: OfService): string => `/v1/services/${encodeURIComponent(service)}`;

const backendPath = (options: OfBackend): string =>
  `${servicePath(options)}/backends/${encodeURIComponent(options.backend)}`;

interface DrainOptions extends OfBackend {
  readonly wait: boolean;
  readonly timeout: string | undefined;
}

export const drainCommand = changeCommand<DrainOptions>({
  command: 'drain <service> <backend>',
  describe: 'Give a backend no new connections',
  usage:
    '$0 drain SERVICE BACKEND [--wait [--timeout DURATION]]\n\nThe backend keeps its connections and gets no new ones. With --wait the ' +
    'command ends when the last has gone; hushlb events says it, too. What is not saved (hushlb save) ends with the process.',
  positionals: (yargs) =>
    backendOf(yargs)
      .option('wait', { type: 'boolean', default: false, describe: 'Until the backend has lost its last connection' })
      .option('timeout', {
        type: 'string',
        requiresArg: true,
        describe: 'Wait so long at most; then it drains on, and the exit code is 1',
      }),
  example: ['$0 drain web b2 --wait && $0 remove web b2', 'take b2 away, and break nothing'],
  request(options) {
    // Before anything changes.
    durationOrOff('timeout', options.timeout);
    if (options.timeout !== undefined && !options.wait) throw new UsageError('--timeout: expected --wait with it');
    return { method: 'PATCH', path: backendPath(options), body: { state: 'draining' } };
  },
  afterwards: async (daemon, { service, backend, wait, timeout }) => {
    if (wait) await waitForDrain(daemon, { service, backend, timeoutMs: durationOrOff('timeout', timeout) });
  },
});

export const undrainCommand = changeCommand<OfBackend>({
  command: 'undrain <service> <backend>',
  describe: 'Give a drained backend new connections again',
  usage: '$0 undrain SERVICE BACKEND\n\nThe backend gets the same slots of the lookup table again that it had before.',
  positionals: backendOf,
  example: ['$0 undrain web b2', 'after b2 was updated'],
  request: (options) => ({ method: 'PATCH', path: backendPath(options), body: { state: 'active' } }),
});

export const HIGHEST_WEIGHT = 256;

export const weightCommand = changeCommand<OfBackend & { readonly weight: string }>({
  command: 'weight <service> <backend> <weight>',
  describe: 'Give a backend another share of new connections',
  usage:
    '$0 weight SERVICE BACKEND WEIGHT\n\nA backend gets new connections by its weight, 1 to 256, over the sum of all. ' +
    'Connections that the table knows stay where they are.',
  positionals: (yargs) =>
    backendOf(yargs).positional('weight', { type: 'string', demandOption: true, describe: 'From 1 to 256' }),
  example: ['$0 weight web b1 3', 'three times as many as one of weight 1'],
  request(options) {
    return { method: 'PATCH', path: backendPath(options), body: { weight: weightOf('WEIGHT', options.weight) } };
  },
});

function weightOf(name: string, text: string): number {
  const weight = Number(text);
  if (/^\d+$/.test(text) && weight >= 1 && weight <= HIGHEST_WEIGHT) return weight;
  throw new UsageError(`${name}: expected a whole number from 1 to ${HIGHEST_WEIGHT}, got ${text}`);
}

interface NewBackendOptions extends OfService {
  readonly name: string;
  readonly address: string;
  readonly weight: string | undefined;
  readonly 'server-id': string | undefined;
}

export const addCommand = changeCommand<NewBackendOptions>({
  command: 'add <service> <name> <address>',
  describe: 'Add a backend to a service',
  usage:
    '$0 add SERVICE NAME ADDRESS [--weight N] [--server-id HEX]\n\nThe backend gets its share of new connections at once. ' +
    'One that no route leads to is refused; one that does not answer ARP is added, and its packets are dropped until it does.',
  positionals: (yargs) =>
    serviceOf(yargs)
      .positional('name', { type: 'string', demandOption: true, describe: 'What it is called, by its table, too' })
      .positional('address', { type: 'string', demandOption: true, describe: 'IPv4 or IPv6' })
      .option('weight', { type: 'string', requiresArg: true, describe: 'From 1 to 256', defaultDescription: '1' })
      .option('server-id', { type: 'string', requiresArg: true, describe: 'For QUIC connection ids, in hexadecimal' }),
  example: ['$0 add web b4 198.18.2.4 --weight 2', 'one more backend'],
  request(options) {
    const { name, address, weight, 'server-id': serverId } = options;
    const body = { name, address, weight: weight && weightOf('--weight', weight), serverId };
    return { method: 'POST', path: `${servicePath(options)}/backends`, body };
  },
});

export const removeCommand = changeCommand<OfBackend>({
  command: 'remove <service> <backend>',
  describe: 'Remove a backend from a service',
  usage:
    '$0 remove SERVICE BACKEND\n\nConnections of the backend are hashed again, to backends that will reset them: drain it first ' +
    'and wait until hushlb events says that the last has gone.',
  positionals: backendOf,
  example: ['$0 remove web b2', 'after it was drained'],
  request: (options) => ({ method: 'DELETE', path: backendPath(options) }),
});

export const modeCommand = changeCommand<{ readonly mode: string }>({
  command: 'mode <mode>',
  describe: 'Make the balancer stateless, or stateful',
  usage:
    '$0 mode stateless|stateful\n\nThe mode is a preset for services that say nothing of onMiss themselves. stateful is broken on ' +
    'purpose: connections that outlive their idle timeout are answered with RST.',
  positionals: (yargs) =>
    yargs.positional('mode', { choices: ['stateless', 'stateful'], demandOption: true, describe: 'What it is to be' }),
  example: ['$0 mode stateless', 'forward what the table has forgotten'],
  request: ({ mode }) => ({ method: 'PATCH', path: '/v1/balancer', body: { mode } }),
});

export const schedulerCommand = changeCommand<OfService & { readonly scheduler: string }>({
  command: 'scheduler <service> <scheduler>',
  describe: 'Choose backends by hash, or in turn',
  usage:
    '$0 scheduler SERVICE maglev|round-robin\n\nSays how new connections get their backend. round-robin is broken on purpose: a ' +
    'connection that outlives its idle timeout continues at another backend, which resets it.',
  positionals: (yargs) =>
    serviceOf(yargs).positional('scheduler', {
      choices: ['maglev', 'round-robin'],
      demandOption: true,
      describe: 'By hash, or in turn',
    }),
  example: ['$0 scheduler web maglev', 'the same backend for a connection, always'],
  request: (options) => ({ method: 'PATCH', path: servicePath(options), body: { scheduler: options.scheduler } }),
});

export const reloadCommand = changeCommand<object>({
  command: 'reload',
  describe: 'Take a changed configuration file over',
  usage:
    '$0 reload\n\nThe balancer reads its file again, as at a SIGHUP. A good one is taken over whole, between two packets, and ' +
    'connections stay where they are; a bad one changes nothing. Changes that were never saved are undone, and named.',
  positionals: (yargs) => yargs,
  example: ['$0 reload', 'after an edit'],
  request: () => ({ method: 'POST', path: '/v1/reload' }),
});
