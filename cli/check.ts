/**
 * `hushlb check`: what is wrong with a configuration, or what it says. Touches nothing but the file and needs no root.
 */
import type { CommandModule } from 'yargs';
import type { Config, ServiceConfig } from '../lb/config.ts';
import { readConfigFile } from '../lb/config-file.ts';
import { ConfigError } from '../lb/config-problems.ts';
import { seedWarnings } from '../lb/config-rules.ts';
import { portPhrase } from '../lb/ports.ts';
import { configOption } from './options.ts';
import { terminalWidth, wrap } from './terminal.ts';

interface CheckArguments {
  readonly config: string;
  readonly json: boolean;
}

export const checkCommand: CommandModule<object, CheckArguments> = {
  command: 'check',
  describe: 'Say everything that is wrong with a configuration',
  builder: (yargs) =>
    yargs
      .usage(
        '$0 check -c FILE\n\nReads a configuration and lists every problem in it, each with its path, what was expected ' +
          'and what was found (exit code 1), or says that it is fine and what will surprise (exit code 0).',
      )
      .option('config', configOption)
      .option('json', {
        type: 'boolean',
        default: false,
        describe: 'Write { valid, problems: [{ path, message, line, column }], warnings: [{ path, message }] }',
      })
      .example('$0 check -c hushlb.yaml', 'before a restart')
      .example('$0 check -c hushlb.yaml --json', 'for an editor or a pipeline'),
  handler: check,
};

function check({ config: file, json }: CheckArguments): void {
  try {
    const checked = readConfigFile(file);
    const { config } = checked;
    const warnings = [...checked.warnings, ...seedWarnings(config)];
    if (json) writeJson({ valid: true, problems: [], warnings });
    else {
      const surprises = warnings.map(({ path, message }) => `warning: ${path}: ${message}`);
      const width = terminalWidth();
      const lines = [...summary(config), ...surprises].flatMap((line) => folded(line, width));
      process.stdout.write(`${[`ok: ${file}`, ...lines].join('\n')}\n`);
    }
  } catch (error) {
    if (!json || !(error instanceof ConfigError)) throw error;
    writeJson({ valid: false, problems: error.problems, warnings: [] });
    process.exitCode = 1;
  }
}

const INDENT = '  ';

/** What does not fit stands below, indented, so that each line at the margin is a service or a warning. */
function folded(line: string, width: number): string[] {
  const [first, ...rest] = wrap(line, width);
  if (rest.length === 0) return [first];
  return [first, ...wrap(rest.join(' '), width - INDENT.length).map((more) => INDENT + more)];
}

function writeJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value, null, 2)}\n`);
}

function summary(config: Config): string[] {
  const metrics = config.metrics === null ? 'no metrics' : `metrics on port ${config.metrics.listen.port}`;
  return [
    `${config.interface}, ${config.mode}, ${metrics}${tuningSummary(config)}`,
    ...config.services.map(serviceSummary),
  ];
}

/** Empty where nothing is as it is not by itself: a worker for each queue of AF_XDP, echo requests answered. */
function tuningSummary({ io, workers, cpus, xdpMode, afXdp, echo }: Config): string {
  const auto = io === 'af-packet' ? 'a worker for each CPU' : 'a worker for each queue';
  const count = workers === 'auto' ? auto : `${workers} ${workers === 1 ? 'worker' : 'workers'}`;
  const where = cpus === null ? '' : ` on CPU ${cpus.join(', ')}`;
  const parts = [
    io !== 'af-xdp' && `io ${io}`,
    (workers !== 'auto' || cpus !== null) && `${count}${where}`,
    xdpMode !== 'auto' && `${xdpMode} XDP`,
    afXdp.zeroCopy !== 'auto' && `zero-copy ${afXdp.zeroCopy === 'off' ? 'off' : 'required'}`,
    afXdp.busyPollUs !== null && `busy polling for ${afXdp.busyPollUs}us`,
    echo !== 'answer' && `echo requests go to ${echo === 'kernel' ? 'the kernel' : 'a backend'}`,
  ];
  return parts.map((part) => (part ? `, ${part}` : '')).join('');
}

function serviceSummary(service: ServiceConfig): string {
  const { name, vip, protocol, ports, scheduler, hash, backends } = service;
  const how = scheduler === 'maglev' ? `maglev by ${hash}` : scheduler;
  const draining = backends.filter(({ state }) => state === 'draining').length;
  const count = `${backends.length} ${backends.length === 1 ? 'backend' : 'backends'}`;
  const where = draining === 0 ? count : `${count} (${draining} draining)`;
  const way = `${how} to ${where} by ${encapSummary(service)}`;
  const more = [sizeSummary(service), idleSummary(service), healthSummary(service)].join('');
  return `${name}: ${vip} ${protocol} ${portPhrase(ports)}, ${way}${more}`;
}

function encapSummary({ encap, gue, varySource, outerTtl }: ServiceConfig): string {
  const parts = [
    gue !== null && `to UDP port ${gue.port}`,
    gue?.variant === 1 && 'variant 1',
    varySource && 'with varied sources',
    outerTtl !== 64 && (outerTtl === 'copy' ? 'with the inner TTL' : `with TTL ${outerTtl}`),
  ];
  return [encap, ...parts.filter(Boolean)].join(' ');
}

/** Empty where MSS is left alone, too long packets dropped, and IP options refused. */
function sizeSummary({ mssClamp, tooBig, ipOptions }: ServiceConfig): string {
  const parts = [
    mssClamp === 'auto' && 'MSS that fits',
    typeof mssClamp === 'number' && `MSS at most ${mssClamp}`,
    tooBig === 'fragment' && 'fragments what is too big',
    ipOptions === 'accept' && 'accepts IP options',
  ];
  return parts.map((part) => (part ? `, ${part}` : '')).join('');
}

/** Empty where idle connections are treated as a stateless balancer does. */
function idleSummary({ profile, onMiss, onExpiry, conntrack }: ServiceConfig): string {
  if (profile === null && onMiss === 'forward' && onExpiry === 'silent') return '';
  const like = profile === null ? '' : `like ${profile}: `;
  return `, ${like}idle ${conntrack.idleTimeoutMs / 1000}s, onExpiry ${onExpiry}, onMiss ${onMiss}`;
}

/** Empty where every backend is taken for up. */
function healthSummary({ health }: ServiceConfig): string {
  if (health === null) return '';
  const way = health.through === 'tunnel' ? ' through the tunnel' : '';
  return `, health by ${health.check}${way} every ${health.intervalMs / 1000}s`;
}
