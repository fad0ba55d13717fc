/**
 * `hushlb replay`: what hushlb would do with the packets of a capture. The work is replay/replay.ts's; this file opens and
 * closes, and says what went wrong with which file.
 */
import { setImmediate } from 'node:timers/promises';
import type { Argv, CommandModule } from 'yargs';
import { type FileSource, openFileSource } from '../io/byte-source.ts';
import { readCapture } from '../io/capture-reader.ts';
import type { ReadPacket } from '../io/pcapng-reader.ts';
import { readConfigFile } from '../lb/config-file.ts';
import { HushlbError } from '../lb/errors.ts';
import { createExpectation, type Expectation } from '../replay/expect.ts';
import { DEFAULT_HOPS, type HopSettings } from '../replay/made-up-hops.ts';
import { createOutputFile, isStandardOutput, type OutputFile } from '../replay/output-file.ts';
import { createReplay } from '../replay/replay.ts';
import { type Facts, summaryText } from '../replay/summary.ts';
import { formatAddress, formatMac, parseAddress, parseMac } from '../wire/address.ts';
import { UsageError } from './errors.ts';
import { configOption } from './options.ts';
import { about, fileError, isFile, refuseOutput } from './replay-files.ts';
import { stopSignal } from './signals.ts';
import { terminalWidth, wrap } from './terminal.ts';

interface ReplayArguments {
  readonly config: string;
  readonly input: string;
  readonly output: string | undefined;
  readonly expect: string | undefined;
  readonly all: boolean;
  readonly interface: string | undefined;
  readonly outbound: boolean;
  readonly mac: string | undefined;
  readonly source: string | undefined;
  readonly 'source-ipv6': string | undefined;
  readonly 'next-hop': string | undefined;
  readonly mtu: number;
  readonly json: boolean;
}

/** An IPv4 packet has at least 68 bytes of room on every link (RFC 791), and a length of 16 bits. */
const MTU = { least: 68, most: 65_535 };

export const replayCommand: CommandModule<object, ReplayArguments> = {
  command: 'replay <input> [output]',
  describe: 'Run a capture through the forwarder and see what it would send',
  builder: (yargs): Argv<ReplayArguments> =>
    yargs
      .usage(
        '$0 replay -c FILE IN [OUT]\n\nRuns the packets of the capture IN (pcap or pcapng, of an Ethernet interface) through ' +
          "the forwarder that carries live traffic, in the capture's own time, and counts by which exits they leave. OUT, " +
          'pcapng, has the packets that hushlb would send, each with a comment: service, hit or miss, slot, backend. A replay ' +
          "has no neighbours to ask: unless it is told others, frames go from 02:00:00:00:00:01 to 02:00 and the backend's " +
          'address (02:00:c6:12:02:01 for 198.18.2.1; the last four bytes of an IPv6 address), and tunnels start at 192.0.2.1 ' +
          'or 2001:db8::1. Needs no root, touches no network.',
      )
      .positional('input', { type: 'string', demandOption: true, describe: 'Capture to read; - is standard input' })
      .positional('output', {
        type: 'string',
        describe: 'Capture to write; - is standard output, and the summary goes to stderr then',
      })
      // Or yargs takes a dash for nothing.
      .nargs('input', 1)
      .nargs('output', 1)
      .option('config', configOption)
      .option('expect', {
        type: 'string',
        requiresArg: true,
        describe: 'Compare what is sent with this capture, byte by byte, times aside; exit code 1 on a difference',
      })
      .option('all', {
        type: 'boolean',
        default: false,
        describe: 'Write packets that are not sent, too, as they came, with the reason',
      })
      .option('interface', {
        alias: 'i',
        type: 'string',
        requiresArg: true,
        describe: 'Of a pcapng file, only the packets of the interface with this name',
      })
      .option('outbound', {
        type: 'boolean',
        default: false,
        describe: 'Take packets that a pcapng file marks as sent by the captured host, too',
      })
      .option('mac', {
        type: 'string',
        requiresArg: true,
        describe: "The balancer's MAC, source of all frames",
        defaultDescription: formatMac(DEFAULT_HOPS.ownMac),
      })
      .option('next-hop', {
        type: 'string',
        requiresArg: true,
        describe: 'The MAC that frames to all backends go to',
        defaultDescription: '02:00 and the address',
      })
      .option('source', {
        type: 'string',
        requiresArg: true,
        describe: "The balancer's address, outer source of tunnels to IPv4 backends",
        defaultDescription: formatAddress(DEFAULT_HOPS.source),
      })
      .option('source-ipv6', {
        type: 'string',
        requiresArg: true,
        describe: 'The same of tunnels to IPv6 backends',
        defaultDescription: formatAddress(DEFAULT_HOPS.sourceIpv6),
      })
      .option('mtu', {
        type: 'number',
        default: DEFAULT_HOPS.mtu,
        requiresArg: true,
        describe: 'Of the way to the backends; longer packets leave as too-big',
      })
      .option('json', {
        type: 'boolean',
        default: false,
        describe: 'Write { packets, seconds, leftOut, sent, verdicts, exits, services, expected, … }',
      })
      .example('$0 replay -c hushlb.yaml in.pcap', 'what becomes of its packets')
      .example('$0 replay -c hushlb.yaml in.pcap out.pcapng', 'and each decision, for Wireshark')
      .example('tcpdump -i eth0 -c 100 -w - | $0 replay -c hushlb.yaml -', 'what is coming in just now')
      .example('$0 replay -c hushlb.yaml in.pcap --expect before.pcapng', 'does a new version decide the same?'),
  handler: runReplay,
};

async function runReplay(given: ReplayArguments): Promise<void> {
  const { config: file, input, output, expect, all, json } = given;
  const hops = hopSettings(given);
  if (all && output === undefined) throw new UsageError('--all: it is for OUT; name a file to write');
  if (input === '-' && expect === '-') throw new UsageError('--expect: standard input is IN already; name a file');
  if (output !== undefined) refuseOutput(output, [input, expect]);
  const { config } = readConfigFile(file);

  // Reading a pipe waits, and meanwhile nobody would hear a signal: there it ends the process as it always does.
  const isHeard = [input, expect ?? input].every(isFile);
  const stopped = isHeard ? listenForStop() : () => undefined;
  const sources: FileSource[] = [];
  let written: OutputFile | undefined;
  try {
    const open = (path: string): FileSource => about(path, () => openFileSource(path));
    sources.push(open(input));
    if (expect !== undefined) sources.push(open(expect));
    const [source, wanted] = sources;
    const expectation = wanted === undefined ? undefined : createExpectation(packetsOf(wanted));
    if (output !== undefined) {
      const comment = `hushlb replay of ${source.name} with ${file}`;
      const options = { interfaceName: config.interface, comment, unnamed: !isHeard };
      written = about(output, () => createOutputFile(output, options));
    }
    const replay = createReplay({
      config,
      hops,
      outbound: given.outbound,
      onPacket(packet) {
        if (packet.isSent) expectation?.compare(packet.bytes, packet.comment);
        if (packet.isSent || all) about(output, () => written?.write(packet));
      },
    });
    await takeAll(packetsOf(source, given.interface), stopped, replay.take);
    const facts = replay.finish();
    const expected = expectation?.finish();
    about(output, () => written?.finish());
    written = undefined;

    const told = output !== undefined && isStandardOutput(output) ? process.stderr : process.stdout;
    told.write(json ? jsonText(facts, expected) : fitted(summaryText(facts, config)));
    if (expected === undefined) return;
    if (expected.difference !== undefined) {
      const { text, decision } = expected.difference;
      const why = decision === null ? '' : `; it is ${decision}`;
      throw new HushlbError('REPLAY_DIFFERS', `${expect}: not what is sent: ${text}${why}`);
    }
    if (!json) told.write(`as expected: ${expected.packets} packets, byte by byte\n`);
  } finally {
    written?.discard();
    for (const source of sources) source.close();
  }
}

function hopSettings(given: ReplayArguments): HopSettings {
  const { mac, source, 'source-ipv6': sourceIpv6, 'next-hop': nextHop, mtu } = given;
  if (!Number.isInteger(mtu) || mtu < MTU.least || mtu > MTU.most) {
    throw new UsageError(`--mtu: expected a whole number from ${MTU.least} to ${MTU.most}, got ${mtu}`);
  }
  return {
    ownMac: mac === undefined ? DEFAULT_HOPS.ownMac : macOf('mac', mac),
    nextHop: nextHop === undefined ? null : macOf('next-hop', nextHop),
    source: source === undefined ? DEFAULT_HOPS.source : addressOf('source', source, 'an IPv4', 4),
    sourceIpv6:
      sourceIpv6 === undefined ? DEFAULT_HOPS.sourceIpv6 : addressOf('source-ipv6', sourceIpv6, 'an IPv6', 16),
    mtu,
  };
}

function macOf(option: string, text: string): Uint8Array {
  const mac = parseMac(text);
  if (mac !== undefined) return mac;
  throw new UsageError(`--${option}: expected a MAC address such as 02:00:00:00:00:0a, got ${JSON.stringify(text)}`);
}

function addressOf(option: string, text: string, kind: string, length: number): Uint8Array {
  const address = parseAddress(text);
  if (address?.length === length) return address;
  const example = length === 4 ? '198.18.2.10' : '2001:db8:2::10';
  throw new UsageError(`--${option}: expected ${kind} address such as ${example}, got ${JSON.stringify(text)}`);
}

/** Hears SIGTERM and SIGINT from now on; says which came. */
function listenForStop(): () => NodeJS.Signals | undefined {
  let heard: NodeJS.Signals | undefined;
  void stopSignal().then((signal) => {
    heard = signal;
  });
  return () => heard;
}

/** After so many packets signals are looked for. */
const PACKETS_A_TURN = 4096;

async function takeAll(
  packets: Iterable<ReadPacket>,
  stopped: () => NodeJS.Signals | undefined,
  take: (packet: ReadPacket) => void,
): Promise<void> {
  let count = 0;
  for (const packet of packets) {
    take(packet);
    if (++count % PACKETS_A_TURN > 0) continue;
    await setImmediate();
    const signal = stopped();
    if (signal !== undefined) throw new HushlbError('REPLAY_STOPPED', `stopped by ${signal} after ${count} packets`);
  }
}

function* packetsOf(source: FileSource, only?: string): Generator<ReadPacket, void, undefined> {
  try {
    yield* readCapture(source, { interface: only });
  } catch (error) {
    throw fileError(source.name, error);
  }
}

/** Lines that are longer than the terminal is wide are broken; columns stay. */
function fitted(text: string): string {
  const width = terminalWidth();
  return text
    .split('\n')
    .flatMap((line) => (line.length <= width ? [line] : wrap(line, width)))
    .join('\n');
}

function jsonText(facts: Facts, expected: ReturnType<Expectation['finish']> | undefined): string {
  const { packets, difference = null } = expected ?? {};
  return `${JSON.stringify({ ...facts, expected: expected === undefined ? null : { packets, difference } }, null, 2)}\n`;
}
