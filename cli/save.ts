/**
 * `hushlb save`: writes what runs where the next start reads it. The balancer writes its own file; another one is written here,
 * with the rights of whoever asks for it.
 */
import { resolve } from 'node:path';
import type { CommandModule } from 'yargs';
import type { SaveReport } from '../lb/control-plane.ts';
import { saveFile } from '../lb/save.ts';
import { type AdminArguments, jsonOption, withAdminOptions, withDaemon } from './admin-options.ts';
import { saveLine } from './change-text.ts';
import { terminalWidth, wrap } from './terminal.ts';

interface SaveArguments extends AdminArguments {
  readonly to: string | undefined;
  readonly json: boolean;
}

export const saveCommand: CommandModule<object, SaveArguments> = {
  command: 'save',
  describe: 'Write what runs to the configuration file',
  builder: (yargs) =>
    withAdminOptions(
      yargs.usage(
        '$0 save [--to FILE]\n\nChanges of a running balancer end with its process unless they are saved. The file keeps its ' +
          'comments and its order; one that somebody edited since the balancer read it is left alone.',
      ),
    )
      .option('to', {
        type: 'string',
        requiresArg: true,
        describe: 'Another file, which may be there already; the changes still count as unsaved then',
      })
      .option('json', { ...jsonOption, describe: 'Write { file, changes }' })
      .example('$0 save', 'keep what hushlb drain and others changed')
      .example('$0 save --to /tmp/running.yaml', 'only look at it'),
  handler: save,
};

async function save(options: SaveArguments): Promise<void> {
  const { to, json } = options;
  if (to !== undefined) return saveBeside(options, resolve(to));
  const report = (await withDaemon(options, (client) => client.request('POST', '/v1/save'))) as SaveReport;
  write(report, saveLine(report), json);
}

async function saveBeside(options: SaveArguments, file: string): Promise<void> {
  const text = await withDaemon(options, (client) => client.request('GET', '/v1/config'));
  saveFile(file, String(text), null);
  write(
    { file, changes: [] },
    `written to ${file}, which the balancer does not read: its own file is as it was`,
    options.json,
  );
}

function write(report: SaveReport, line: string, json: boolean): void {
  const text = json ? JSON.stringify(report, null, 2) : wrap(line, terminalWidth()).join('\n');
  process.stdout.write(`${text}\n`);
}
