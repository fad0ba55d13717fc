/**
 * `hushlb probe-idle`: after what idle time a live server's connections end, and how. The measuring is probe/'s.
 */
import type { Argv, CommandModule } from 'yargs';
import { explain } from '../probe/explain.ts';
import { type ProbeOptions, type ProbeReport, type Progress, runProbe } from '../probe/probe.ts';
import { formatSpan } from '../probe/span.ts';
import { parseTarget } from '../probe/target.ts';
import { durationOf } from './duration-option.ts';
import { UsageError } from './errors.ts';
import { stopSignal } from './signals.ts';
import { labelled, statusLine, terminalWidth } from './terminal.ts';

interface ProbeArguments {
  readonly target: string | undefined;
  readonly max: string;
  readonly min: string;
  readonly connections: number;
  readonly method: 'HEAD' | 'GET';
  readonly patience: string;
  readonly insecure: boolean;
  readonly json: boolean;
}

const MOST_CONNECTIONS = 16;
/** Keepalive probes, by which bare connections are used, come no earlier. */
const LEAST_BARE_MS = 1000;
const LONGEST_MS = 24 * 3_600_000;
const EXIT_SIGNAL = { SIGINT: 130, SIGTERM: 143 } as const;

export const probeIdleCommand: CommandModule<object, ProbeArguments> = {
  command: 'probe-idle [target]',
  describe: "Measure a live server's idle timeout, and how it ends connections",
  builder: (yargs): Argv<ProbeArguments> =>
    yargs
      .usage(
        '$0 probe-idle URL|HOST:PORT\n\nOpens a few connections at once, makes one request on each (for a URL), lets them ' +
          'idle for growing times, and uses them again. Says after what time they end, how (FIN, RST, or silently ' +
          'forgotten by a box on the way), and what to set. HOST:PORT measures the bare connection, used by TCP keepalive ' +
          'and without sending data. Takes as long as the idle timeout, at most about twice --max; Ctrl-C prints what is ' +
          'known so far (exit code 130).',
      )
      .positional('target', {
        type: 'string',
        describe: 'http:// or https:// URL, or HOST:PORT',
      })
      .option('max', { type: 'string', default: '10m', requiresArg: true, describe: 'Longest idle time to try' })
      .option('min', { type: 'string', default: '1s', requiresArg: true, describe: 'Shortest idle time to try' })
      .option('connections', {
        type: 'number',
        default: 12,
        requiresArg: true,
        describe: `Connections open at once (1 to ${MOST_CONNECTIONS})`,
      })
      .option('method', {
        choices: ['HEAD', 'GET'] as const,
        default: 'HEAD' as const,
        requiresArg: true,
        describe: 'Request to make of a URL',
      })
      .option('patience', {
        type: 'string',
        default: '10s',
        requiresArg: true,
        describe: 'How long an answer may take before the connection counts as silently gone',
      })
      .option('insecure', { type: 'boolean', default: false, describe: 'Take any certificate' })
      .option('json', {
        type: 'boolean',
        default: false,
        describe: 'Write { target, result, ending, idleTimeoutMs: { lived, died }, meaning, advice, observations, … }',
      })
      .example('$0 probe-idle https://www.example.com/', 'what the front of a site does')
      .example('$0 probe-idle db.example.com:5432 --max 1h', 'a database behind a firewall')
      .example('$0 probe-idle http://10.0.0.7:8080/health --min 340s --max 360s', 'look closer at 350 s')
      .example('$0 probe-idle https://10.0.0.7/ --insecure --json', 'as data'),
  handler: probeIdle,
};

async function probeIdle(given: ProbeArguments): Promise<void> {
  const asked = askedFor(given);
  const interruption = new AbortController();
  let exitCode = 0;
  void stopSignal().then((signal) => {
    exitCode = EXIT_SIGNAL[signal as keyof typeof EXIT_SIGNAL];
    interruption.abort();
  });

  const line = statusLine();
  let report: ProbeReport;
  try {
    report = await runProbe({
      ...asked,
      signal: interruption.signal,
      onProgress: (progress) => line.show(progressText(progress)),
    });
  } finally {
    line.clear();
  }
  process.stdout.write(given.json ? asJson(report, asked) : asText(report, asked));
  process.exitCode = exitCode;
}

/** `text` is the target as it was given. */
type Asked = Omit<ProbeOptions, 'signal' | 'onProgress'> & { readonly text: string };

function askedFor({ target: text, connections, method, insecure, ...times }: ProbeArguments): Asked {
  const target = text === undefined ? undefined : parseTarget(text);
  if (text === undefined || target === undefined) {
    const got = text === undefined ? 'nothing' : JSON.stringify(text);
    throw new UsageError(
      `target: expected an http:// or https:// URL (without a password) or HOST:PORT, got ${got}${nearTarget(text)}`,
    );
  }
  const minMs = durationOf('min', times.min);
  const maxMs = durationOf('max', times.max);
  if (maxMs < minMs) throw new UsageError(`--max: expected no less than --min (${times.min}), got ${times.max}`);
  if (maxMs > LONGEST_MS) throw new UsageError(`--max: expected at most 24h, got ${times.max}`);
  if (target.kind === 'tcp' && minMs < LEAST_BARE_MS) {
    throw new UsageError(`--min: expected at least 1s for HOST:PORT, got ${times.min}`);
  }
  if (!Number.isInteger(connections) || connections < 1 || connections > MOST_CONNECTIONS) {
    throw new UsageError(`--connections: expected a whole number from 1 to ${MOST_CONNECTIONS}, got ${connections}`);
  }
  const patienceMs = durationOf('patience', times.patience);
  return { text, target, minMs, maxMs, connections, method, insecure, patienceMs };
}

/** A bare name is what people type first. */
function nearTarget(text = ''): string {
  return /^[A-Za-z0-9.-]+$/.test(text) ? ` (did you mean https://${text}/ or ${text}:443?)` : '';
}

function progressText({ round, elapsedMs, untilMs, open, finding }: Progress): string {
  const parts = [`${formatSpan(Math.round(elapsedMs / 100) * 100)} of ${formatSpan(untilMs)}`, `${open} open`];
  if (round > 1) parts.unshift('closer look');
  if (finding.livedMs > 0) parts.push(`alive after ${formatSpan(finding.livedMs)}`);
  if (finding.diedMs !== null) parts.push(`ended by ${formatSpan(finding.diedMs)}`);
  return parts.join(', ');
}

function asText(report: ProbeReport, asked: Asked): string {
  const { subject, idleTimeout, ending, meaning, advice, notes } = explain(report, asked);
  return labelled(
    [
      ['server', subject],
      ['idle timeout', idleTimeout],
      ['it ends', ending],
      ['meaning', meaning],
      ['to do', advice],
      ...notes.map((note): [string, string] => ['note', note]),
    ],
    terminalWidth(),
  );
}

function asJson(report: ProbeReport, asked: Asked): string {
  const { finding, address, roundTripMs, answer, observations, failures, interrupted } = report;
  const { meaning, advice, notes } = explain(report, asked);
  const { result, ending, livedMs, diedMs, witnesses, uniform } = finding;
  const idleTimeoutMs = { lived: livedMs, died: diedMs };
  const connection = { address, roundTripMs, request: answer === null ? null : { method: asked.method, ...answer } };
  const data = { target: asked.text, ...connection, result, ending, idleTimeoutMs, witnesses, uniform, interrupted };
  return `${JSON.stringify({ ...data, meaning, advice, notes, failures, observations }, null, 2)}\n`;
}
