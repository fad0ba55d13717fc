/**
 * `hushlb decap`: the backend's side of direct server return, in the foreground. The work is dsr/decap.ts's.
 */
import { isDeepStrictEqual } from 'node:util';
import type { CommandModule } from 'yargs';
import type { TunnelEncap } from '../dsr/decap-program.ts';
import { HushlbError } from '../lb/errors.ts';
import { UsageError } from './errors.ts';
import { createLogger } from './logging.ts';
import { interfaceOption, type LogFormat, type LogLevel, logFormatOption, logLevelOption } from './options.ts';
import { stopSignal } from './signals.ts';

interface DecapArguments {
  readonly interface: string;
  readonly encap: TunnelEncap;
  readonly port: number | undefined;
  readonly 'log-level': LogLevel;
  readonly 'log-format': LogFormat;
}

const REPORT_MS = 10_000;

export const decapCommand: CommandModule<object, DecapArguments> = {
  command: 'decap',
  describe: "Strip the balancer's headers on a backend",
  builder: (yargs) =>
    yargs
      .usage(
        '$0 decap --interface eth0 --encap ipip\n\nRuns on a backend: strips the headers that the balancer put around ' +
          'packets, IPv4 and IPv6, so that the kernel sees them as the client sent them. Stays in the foreground until ' +
          'SIGTERM or SIGINT (Ctrl-C), then leaves nothing attached. Needs root.',
      )
      .option('interface', interfaceOption)
      .option('encap', {
        choices: ['ipip', 'gue', 'gre'] as const,
        default: 'ipip' as const,
        requiresArg: true,
        describe: 'Encapsulation to strip, as in the configuration of the balancer',
      })
      .option('port', {
        type: 'number',
        requiresArg: true,
        defaultDescription: '6080',
        describe: 'UDP port of GUE, as in the configuration of the balancer',
      })
      .option('log-level', logLevelOption)
      .option('log-format', logFormatOption)
      .example('$0 decap --interface eth0 --encap ipip', 'strip IPIP from what arrives on eth0')
      .example('$0 decap --interface eth0 --encap gue --port 443', 'strip GUE, which is sent to port 443'),
  handler: decap,
};

function checkPort(encap: TunnelEncap, port: number): void {
  if (encap !== 'gue') throw new UsageError(`--port: it goes with --encap gue, not with ${encap}`);
  if (!Number.isInteger(port) || port < 1 || port > 65_535) {
    throw new UsageError(`--port: expected a whole number from 1 to 65535, got ${port}`);
  }
}

async function decap({ interface: interfaceName, encap, port, ...log }: DecapArguments): Promise<void> {
  if (port !== undefined) checkPort(encap, port);
  const logger = createLogger({ level: log['log-level'], format: log['log-format'] });
  const { attachDecap } = await import('../dsr/decap.ts');
  const signal = stopSignal();
  const { readAddresses, readLinks } = await import('../io/links.ts');
  // Tunnels to other hosts, which pass through here, keep their headers.
  const addresses = readLinks().flatMap(({ index }) => readAddresses(index));
  if (addresses.length === 0) {
    const advice = `ip address add ADDRESS/LENGTH dev ${interfaceName}`;
    throw new HushlbError('NO_ADDRESS', `this host has no address that a tunnel could end at: ${advice}`);
  }
  const attachment = attachDecap({ interfaceName, encap, addresses, ...(port !== undefined && { port }) });
  try {
    const { mode, fallbackReason } = attachment;
    if (fallbackReason !== undefined) {
      logger.warn({ interface: interfaceName, reason: fallbackReason }, 'no native XDP here, fell back to generic');
    }
    logger.info({ interface: interfaceName, encap, xdp: mode }, 'ready');

    let reported = attachment.counters();
    const timer = setInterval(() => {
      const counters = attachment.counters();
      if (isDeepStrictEqual(counters, reported)) return;
      reported = counters;
      logger.info(counters, 'packets stripped so far');
    }, REPORT_MS);
    const name = await signal;
    clearInterval(timer);
    logger.info({ signal: name, ...attachment.counters() }, 'stopping');
  } finally {
    attachment.close();
  }
  logger.info('stopped');
}
