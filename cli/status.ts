/**
 * `hushlb status`: how the balancer on this host is. The answer is the admin API's; cli/status-text.ts lays it out.
 */
import type { CommandModule } from 'yargs';
import type { Status } from '../admin/status-schema.ts';
import { type AdminArguments, jsonOption, withAdminOptions, withDaemon } from './admin-options.ts';
import { statusText } from './status-text.ts';
import { terminalWidth } from './terminal.ts';

interface StatusArguments extends AdminArguments {
  readonly service: string | undefined;
  readonly json: boolean;
}

export const statusCommand: CommandModule<object, StatusArguments> = {
  command: 'status [service]',
  describe: 'Say how a running balancer is',
  builder: (yargs) =>
    withAdminOptions(
      yargs
        .usage(
          '$0 status [SERVICE]\n\nSays what is wrong first: backends that are down or unreachable, services that have lost ' +
            'all of theirs, changes that a restart would lose. Then, for each service, who serves, by which share, and what ' +
            'was counted since the start.',
        )
        .positional('service', { type: 'string', describe: 'Only this one' }),
    )
      .option('json', jsonOption)
      .example('$0 status', 'all services')
      .example("$0 status web --json | jq '.problems[].message'", 'what is wrong, for a script'),
  handler: showStatus,
};

async function showStatus({ service, json, ...options }: StatusArguments): Promise<void> {
  const query = service === undefined ? '' : `?service=${encodeURIComponent(service)}`;
  const status = (await withDaemon(options, (client) => client.request('GET', `/v1/status${query}`))) as Status;
  process.stdout.write(json ? `${JSON.stringify(status, null, 2)}\n` : statusText(status, Date.now(), terminalWidth()));
}
