/**
 * `hushlb doctor`: why packets reach the balancer and nothing comes back, and the commands that mend it. The work is doctor/'s.
 */
import type { CommandModule } from 'yargs';
import { exitCodeOf, type Finding } from '../doctor/finding.ts';
import { ConfigError } from '../lb/config-problems.ts';
import { findingsText } from './doctor-text.ts';
import { UsageError } from './errors.ts';
import { configOption, interfaceOption } from './options.ts';
import { terminalWidth } from './terminal.ts';

interface DoctorArguments {
  readonly config: string | undefined;
  readonly backend: boolean;
  readonly service: string | undefined;
  readonly interface: string | undefined;
  readonly vip: string | undefined;
  readonly port: string | undefined;
  readonly protocol: string;
  readonly encap: string;
  readonly 'gue-port': number | undefined;
  readonly client: string | undefined;
  readonly probe: boolean;
  readonly json: boolean;
}

/** They say a service where there is no file. */
const WITHOUT_FILE = ['vip', 'port', 'gue-port'] as const;

export const doctorCommand: CommandModule<object, DoctorArguments> = {
  command: 'doctor',
  describe: 'Say what is wrong with this host, and the commands that mend it',
  builder: (yargs) =>
    yargs
      .usage(
        '$0 doctor -c FILE\n\nLooks at a balancer or a backend: rights, kernel, interface, the ways to ' +
          'backends, headers and their room, kernel settings, listeners. Says what it found, why it matters, and the ' +
          'command that mends it. Changes nothing, runs beside a running hushlb or before the first start. Exit code: ' +
          '0 all well, 1 an error, 3 warnings only.',
      )
      .option('config', { ...configOption, demandOption: false, describe: "The balancer's configuration file (YAML)" })
      .option('backend', { type: 'boolean', default: false, describe: 'This host is a backend' })
      .option('service', { alias: 's', type: 'string', requiresArg: true, describe: 'Of a backend: only this service' })
      .option('interface', {
        ...interfaceOption,
        demandOption: false,
        describe: "Of a backend: where the balancer's packets come in",
        defaultDescription: 'where its address is',
      })
      .option('probe', {
        type: 'boolean',
        default: false,
        describe: 'Send marked packets for the VIP and say where they are lost',
      })
      .option('vip', { type: 'string', requiresArg: true, describe: 'Without the file: the VIP' })
      .option('port', { type: 'string', requiresArg: true, describe: 'With --vip: the port, or a range' })
      .option('protocol', {
        choices: ['tcp', 'udp'] as const,
        default: 'tcp' as const,
        requiresArg: true,
        describe: 'With --vip: the protocol',
      })
      .option('encap', {
        choices: ['ipip', 'gue', 'gre', 'l2'] as const,
        default: 'ipip' as const,
        requiresArg: true,
        describe: 'With --vip: the encapsulation',
      })
      .option('gue-port', {
        type: 'number',
        requiresArg: true,
        defaultDescription: '6080',
        describe: 'With --vip and --encap gue: its UDP port',
      })
      .option('client', {
        type: 'string',
        requiresArg: true,
        describe: 'Of a backend: a client whose route to look at',
      })
      .option('json', {
        type: 'boolean',
        default: false,
        describe: 'Write { findings: [{ code, topic, severity, found, why, mend: [{ command, on }] }] }',
      })
      .example('$0 doctor -c hushlb.yaml', 'on the balancer')
      .example('$0 doctor --backend -c hushlb.yaml', 'on a backend')
      .example('$0 doctor --backend --vip 198.18.10.1 --port 80', 'on a backend without the file')
      .example('$0 doctor --probe -c hushlb.yaml', 'on the balancer, with packets to each backend')
      .example('$0 doctor --probe --vip 198.18.10.1 --port 80', 'on a client, the whole way'),
  handler: doctor,
};

async function doctor(written: DoctorArguments): Promise<void> {
  const { config: file, service, interface: name, client, backend, probe, json } = written;
  if (backend) {
    if (probe)
      throw new UsageError('--probe: it goes with -c FILE on the balancer, or with --vip and --port on a client');
    const { examineBackend } = await import('../doctor/backend.ts');
    const services = file === undefined ? await named(written) : [];
    const clients = client === undefined ? [] : [await checkedAddress(client)];
    return show(examineBackend({ file, services, service, interface: name, clients }), json);
  }
  if (probe && file === undefined) {
    const { probeFromClient } = await import('../doctor/probe-host.ts');
    return show(probeFromClient(await named(written)), json);
  }
  const stray = (['service', 'interface', 'client', ...WITHOUT_FILE] as const).find(
    (key) => written[key] !== undefined,
  );
  if (stray !== undefined) throw new UsageError(strayText(stray));
  if (file === undefined) throw new UsageError('expected -c FILE on a balancer, or --backend on a backend');
  const { examineBalancer } = await import('../doctor/balancer.ts');
  const { findings, config, ways } = examineBalancer(file);
  if (!probe || config === undefined) return show(findings, json);
  const { probeFromBalancer } = await import('../doctor/probe-host.ts');
  show([...findings, ...probeFromBalancer({ config, ways, file })], json);
}

function strayText(option: string): string {
  const isOfService = WITHOUT_FILE.some((name) => name === option);
  return `--${option}: it goes with --backend${isOfService ? ', or with --probe and no file' : ''}`;
}

async function named({ vip, port, protocol, encap, 'gue-port': guePort, interface: name }: DoctorArguments) {
  if (vip === undefined || port === undefined) throw new UsageError('expected -c FILE, or --vip and --port');
  const { servicesOf } = await import('../doctor/command-line.ts');
  try {
    return servicesOf({ vip, port, protocol, encap, guePort, interface: name });
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const [{ path, message }] = error.problems;
    throw new UsageError(`--${path.split('.').at(-1)}: ${message}`);
  }
}

async function checkedAddress(text: string): Promise<string> {
  const { parseAddress } = await import('../wire/address.ts');
  if (parseAddress(text) === undefined) throw new UsageError(`--client: expected an IP address, got "${text}"`);
  return text;
}

function show(findings: readonly Finding[], json: boolean): void {
  const colours = process.stdout.isTTY === true && process.env.NO_COLOR === undefined;
  process.stdout.write(
    json ? `${JSON.stringify({ findings }, null, 2)}\n` : findingsText(findings, { width: terminalWidth(), colours }),
  );
  process.exitCode = exitCodeOf(findings);
}
