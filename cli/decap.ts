/**
 * `hushlb decap`: the backend's side of direct server return, in the foreground. The work is dsr/decap.ts's.
 */
import type { CommandModule } from 'yargs';
import { HushlbError } from '../lb/errors.ts';
import { createLogger } from './logging.ts';
import { interfaceOption, type LogFormat, type LogLevel, logFormatOption, logLevelOption } from './options.ts';
import { stopSignal } from './signals.ts';

interface DecapArguments {
  readonly interface: string;
  readonly encap: 'ipip';
  readonly 'log-level': LogLevel;
  readonly 'log-format': LogFormat;
}

const REPORT_MS = 10_000;

export const decapCommand: CommandModule<object, DecapArguments> = {
  command: 'decap',
  describe: "Strip the balancer's outer header on a backend",
  builder: (yargs) =>
    yargs
      .usage(
        '$0 decap --interface eth0 --encap ipip\n\nRuns on a backend: strips the outer header that the balancer put ' +
          'around packets, so that the kernel sees them as the client sent them. Stays in the foreground until SIGTERM ' +
          'or SIGINT (Ctrl-C), then leaves nothing attached. Needs root.',
      )
      .option('interface', interfaceOption)
      .option('encap', {
        choices: ['ipip'] as const,
        default: 'ipip' as const,
        requiresArg: true,
        describe: 'Encapsulation to strip, as in the configuration of the balancer',
      })
      .option('log-level', logLevelOption)
      .option('log-format', logFormatOption)
      .example('$0 decap --interface eth0 --encap ipip', 'strip IPIP from what arrives on eth0'),
  handler: decap,
};

async function decap({ interface: interfaceName, encap, ...log }: DecapArguments): Promise<void> {
  const logger = createLogger({ level: log['log-level'], format: log['log-format'] });
  const { attachDecap } = await import('../dsr/decap.ts');
  const signal = stopSignal();
  const { readAddresses, readLinks } = await import('../io/links.ts');
  // Tunnels to other hosts, which pass through here, keep their headers.
  const addresses = readLinks()
    .flatMap(({ index }) => readAddresses(index))
    .filter(({ length }) => length === 4);
  if (addresses.length === 0) {
    const advice = `ip address add ADDRESS/LENGTH dev ${interfaceName}`;
    throw new HushlbError('NO_ADDRESS', `this host has no IPv4 address that a tunnel could end at: ${advice}`);
  }
  const attachment = attachDecap({ interfaceName, encap, addresses });
  const stripped = () => attachment.counters().stripped;
  try {
    const { mode, fallbackReason } = attachment;
    if (fallbackReason !== undefined) {
      logger.warn({ interface: interfaceName, reason: fallbackReason }, 'no native XDP here, fell back to generic');
    }
    logger.info({ interface: interfaceName, encap, xdp: mode }, 'ready');

    let reported = 0;
    const timer = setInterval(() => {
      if (stripped() === reported) return;
      reported = stripped();
      logger.info({ stripped: reported }, 'packets stripped so far');
    }, REPORT_MS);
    const name = await signal;
    clearInterval(timer);
    logger.info({ signal: name, stripped: stripped() }, 'stopping');
  } finally {
    attachment.close();
  }
  logger.info('stopped');
}
