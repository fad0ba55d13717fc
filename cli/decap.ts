/**
 * `hushlb decap`: the backend's side of direct server return, in the foreground. The work is dsr/decap.ts's.
 */
import { isDeepStrictEqual } from 'node:util';
import type { CommandModule } from 'yargs';
import type { TunnelEncap } from '../dsr/decap-program.ts';
import type { SynAckClamp } from '../dsr/syn-ack-clamp.ts';
import { HushlbError } from '../lb/errors.ts';
import { UsageError } from './errors.ts';
import type { FollowedHost } from './follow-host.ts';
import { createLogger } from './logging.ts';
import { interfaceOption, type LogFormat, type LogLevel, logFormatOption, logLevelOption } from './options.ts';
import { stopSignal } from './signals.ts';

interface DecapArguments {
  readonly interface: string;
  readonly encap: TunnelEncap;
  readonly port: number | undefined;
  readonly 'mss-clamp': string | undefined;
  readonly 'log-level': LogLevel;
  readonly 'log-format': LogFormat;
}

const REPORT_MS = 10_000;
/** As of the balancer's `mssClamp`. */
const [MIN_MSS, MAX_MSS] = [536, 65_495];

export const decapCommand: CommandModule<object, DecapArguments> = {
  command: 'decap',
  describe: "Strip the balancer's headers on a backend",
  builder: (yargs) =>
    yargs
      .usage(
        '$0 decap --interface eth0 --encap ipip\n\nRuns on a backend: strips the headers that the balancer put around ' +
          'packets, IPv4 and IPv6, so that the kernel sees them as the client sent them. Stays in the foreground until ' +
          'SIGTERM or SIGINT (Ctrl-C), then leaves nothing attached. Needs root, or CAP_NET_ADMIN, CAP_BPF and ' +
          'CAP_PERFMON; contrib/systemd has a unit.',
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
      .option('mss-clamp', {
        type: 'string',
        requiresArg: true,
        defaultDescription: 'off',
        describe:
          "The largest MSS in the VIPs' SYN-ACKs: auto, what fits through a tunnel of the interface's MTU, or a number",
      })
      .option('log-level', logLevelOption)
      .option('log-format', logFormatOption)
      .example('$0 decap --interface eth0 --encap ipip', 'strip IPIP from what arrives on eth0')
      .example('$0 decap --interface eth0 --mss-clamp auto', 'and have clients leave room for its header')
      .example('$0 decap --interface eth0 --encap gue --port 443', 'strip GUE, which is sent to port 443'),
  handler: decap,
};

function checkPort(encap: TunnelEncap, port: number): void {
  if (encap !== 'gue') throw new UsageError(`--port: it goes with --encap gue, not with ${encap}`);
  if (!Number.isInteger(port) || port < 1 || port > 65_535) {
    throw new UsageError(`--port: expected a whole number from 1 to 65535, got ${port}`);
  }
}

function parseMss(text: string): number | 'auto' {
  if (text === 'auto') return text;
  const mss = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (mss >= MIN_MSS && mss <= MAX_MSS) return mss;
  throw new UsageError(
    `--mss-clamp: expected auto or a whole number from ${MIN_MSS} to ${MAX_MSS}, got ${JSON.stringify(text)}`,
  );
}

async function decap({ interface: interfaceName, encap, port, ...log }: DecapArguments): Promise<void> {
  if (port !== undefined) checkPort(encap, port);
  const mss = log['mss-clamp'] === undefined ? undefined : parseMss(log['mss-clamp']);
  const logger = createLogger({ level: log['log-level'], format: log['log-format'] });
  const { attachDecap } = await import('../dsr/decap.ts');
  const { attachSynAckClamp } = await import('../dsr/syn-ack-clamp.ts');
  const signal = stopSignal();
  const { readLink } = await import('../io/links.ts');
  const { takeNotifySocket } = await import('../lb/service-manager.ts');
  const { missingLink } = await import('../lb/usable-link.ts');
  const { followHost, ownAddresses } = await import('./follow-host.ts');
  const manager = takeNotifySocket(process.env, logger);
  const link = readLink(interfaceName);
  if (link === undefined) throw missingLink(interfaceName);
  // Tunnels to other hosts, which pass through here, keep their headers.
  const addresses = ownAddresses();
  if (addresses.length === 0) {
    const advice = `ip address add ADDRESS/LENGTH dev ${interfaceName}`;
    throw new HushlbError('NO_ADDRESS', `this host has no address that a tunnel could end at: ${advice}`);
  }
  const attachment = attachDecap({ interfaceName, encap, addresses, ...(port !== undefined && { port }) });
  let clamp: SynAckClamp | undefined;
  let host: FollowedHost | undefined;
  try {
    const { mode, fallbackReason } = attachment;
    if (fallbackReason !== undefined) {
      logger.warn({ interface: interfaceName, reason: fallbackReason }, 'no native XDP here, fell back to generic');
    }
    if (mss !== undefined) clamp = attachSynAckClamp({ interfaceName, encap, mss });
    host = followHost(interfaceName, link.index, addresses, attachment, clamp, logger);
    const clampedTo = clamp && { mss: clamp.largest[4], mss6: clamp.largest[6] };
    logger.info({ interface: interfaceName, encap, xdp: mode, ...clampedTo }, 'ready');
    manager?.send(['READY=1', `STATUS=${encap} on ${interfaceName}`]);

    const counters = () => ({ ...attachment.counters(), ...clamp?.counters() });
    let reported = counters();
    const timer = setInterval(() => {
      const now = counters();
      if (isDeepStrictEqual(now, reported)) return;
      reported = now;
      logger.info(now, 'packets so far');
    }, REPORT_MS);
    const name = await Promise.race([signal, host.failed]).finally(() => clearInterval(timer));
    manager?.send(['STOPPING=1']);
    logger.info({ signal: name, ...counters() }, 'stopping');
  } finally {
    host?.close();
    clamp?.close();
    attachment.close();
  }
  logger.info('stopped');
}
