/**
 * `hushlb run`: the balancer in the foreground. The work is lb/daemon.ts's; this file reads the configuration, sets up
 * the log and turns signals into a stop or a reload.
 */
import type { CommandModule } from 'yargs';
import { socketState } from '../admin/socket.ts';
import { readConfigFile } from '../lb/config-file.ts';
import { seedWarnings } from '../lb/config-rules.ts';
import { HushlbError } from '../lb/errors.ts';
import { followFile } from '../lb/watch-file.ts';
import { createLogger } from './logging.ts';
import { configOption, type LogFormat, type LogLevel, logFormatOption, logLevelOption } from './options.ts';
import { dieOf, listenForHangups, stopSignal } from './signals.ts';

interface RunArguments {
  readonly config: string;
  readonly 'log-level': LogLevel;
  readonly 'log-format': LogFormat;
}

/** The promise is an end within a second; whoever sent the signal may kill us after that. */
const STOP_PATIENCE_MS = 900;

export const runCommand: CommandModule<object, RunArguments> = {
  command: 'run',
  describe: 'Balance in the foreground until SIGTERM or SIGINT',
  builder: (yargs) =>
    yargs
      .usage(
        '$0 run -c FILE\n\nBalances in the foreground until SIGTERM or SIGINT (Ctrl-C), then leaves nothing attached. ' +
          'SIGHUP reads FILE again: a good one is taken over between two packets and connections stay where they are, ' +
          'a bad one changes nothing; with watch: true a changed file is read by itself. hushlb status and others ask and change ' +
          'it meanwhile. The end of the terminal that it was started on is its end, too. Needs root. ' +
          'Logs go to stderr.',
      )
      .option('config', configOption)
      .option('log-level', logLevelOption)
      .option('log-format', logFormatOption)
      .example('$0 run -c hushlb.yaml', 'balance as hushlb.yaml says')
      .example('$0 run -c hushlb.yaml --log-format json 2>> hushlb.log', 'keep a log for machines'),
  handler: run,
};

async function run({ config: file, ...log }: RunArguments): Promise<void> {
  const hangups = listenForHangups();
  const stop = Promise.race([stopSignal(), hangups.ofTerminal]);
  const checked = readConfigFile(file);
  const logger = createLogger({ level: log['log-level'], format: log['log-format'] });
  const warnings = [...checked.warnings, ...seedWarnings(checked.config)];
  for (const { path, message } of warnings) logger.warn({ path }, message);

  const { admin } = checked.config;
  if (admin !== null) await refuseSecond(admin.socket);

  // Loaded here: the other commands work on machines where the native parts below the daemon do not load.
  const [{ runDaemon }, { openAdmin }, { openServiceManager }] = await Promise.all([
    import('../lb/daemon.ts'),
    import('../admin/server.ts'),
    import('../lb/service-manager.ts'),
  ]);
  const manager = openServiceManager(process.env, logger);
  const signal = stop.then((name) => {
    logger.info({ signal: name }, 'stopping');
    manager.stopping();
    setTimeout(() => {
      logger.error('could not stop in time, leaving the rest to the kernel');
      end(name, 1);
    }, STOP_PATIENCE_MS).unref();
    return name;
  });

  const daemon = await Promise.race([
    runDaemon(checked, {
      logger,
      file,
      readConfig: () => readConfigFile(file),
      onReload: manager.reloading,
      async attend(control) {
        const api = admin === null ? undefined : await openAdmin(control, admin, logger);
        // Before it is ready: from then on it opens nothing more.
        const watch = followFile(control, logger);
        return {
          places: api?.places ?? [],
          close() {
            watch.close();
            return api?.close();
          },
        };
      },
    }),
    signal,
  ]);
  // Stopped while starting: nothing was promised yet, and what is attached ends with the process.
  if (typeof daemon === 'string') return end(daemon, 0);
  manager.ready(daemon.control);
  // The log says what came of it.
  hangups.tell(() => daemon.control.change({ kind: 'reload' }, 'SIGHUP').catch(() => {}));
  const name = await Promise.race([daemon.finished, signal]);
  await daemon.stop();
  logger.info('stopped');
  if (name === 'SIGHUP') dieOf(name);
}

/** First of all: what else two of them would fight for says less. */
async function refuseSecond(socket: string): Promise<void> {
  if ((await socketState(socket)) !== 'living') return;
  throw new HushlbError(
    'ALREADY_RUNS',
    `a hushlb runs already and answers at ${socket}: hushlb reload has it read its file again; else stop it first, or give ` +
      'this one an admin.socket of its own',
  );
}

function end(signal: NodeJS.Signals, code: number): void {
  if (signal === 'SIGHUP') dieOf(signal);
  else process.exit(code);
}
