/**
 * A probe's report in words: what was found, what it means, what to set. cli/probe-idle.ts prints it.
 */
import type { Method } from './connection.ts';
import type { Finding } from './findings.ts';
import type { ProbeReport } from './probe.ts';
import { formatSpan, wellBelow } from './span.ts';
import { hostPort, type Target } from './target.ts';

export interface Explanation {
  readonly subject: string;
  readonly idleTimeout: string;
  readonly ending: string;
  readonly meaning: string;
  readonly advice: string;
  readonly notes: readonly string[];
}

export interface Asked {
  readonly target: Target;
  readonly method: Method;
  readonly maxMs: number;
}

export function explain(report: ProbeReport, asked: Asked): Explanation {
  const { finding } = report;
  return {
    subject: subjectOf(report, asked),
    idleTimeout: timeoutOf(finding, asked),
    ending: endingOf(finding),
    meaning: meaningOf(finding, asked.target),
    advice: adviceOf(finding, asked),
    notes: notesOf(report),
  };
}

function subjectOf({ address, roundTripMs, answer }: ProbeReport, { target, method }: Asked): string {
  const where = address === null ? hostPort(target) : hostPort({ host: address, port: target.port });
  const facts = [`connected in ${formatSpan(roundTripMs)}`];
  if (answer !== null) facts.push(`${method} ${target.path} answered ${answer.status}`);
  if (answer !== null && answer.announcedMs !== null) facts.push(`announces ${formatSpan(answer.announcedMs)}`);
  if (target.kind === 'tcp') facts.push('bare connection');
  return `${where} (${facts.join(', ')})`;
}

function timeoutOf({ result, livedMs, diedMs, witnesses }: Finding, { maxMs }: Asked): string {
  const connections = `${witnesses} ${witnesses === 1 ? 'connection' : 'connections'}`;
  const between = `between ${formatSpan(livedMs)} and ${formatSpan(diedMs ?? 0)}`;
  if (result === 'closed') return `${formatSpan(diedMs ?? 0)} (${between}, seen on ${connections})`;
  if (result === 'died') return livedMs === 0 ? `at most ${formatSpan(diedMs ?? 0)}` : between;
  if (result === 'not-kept') return 'none: the connection is closed after each answer';
  if (result === 'outlived') return `longer than ${formatSpan(livedMs)}`;
  return livedMs === 0 ? 'not known yet' : `longer than ${formatSpan(livedMs)}, of ${formatSpan(maxMs)} to be tried`;
}

function endingOf({ result, ending }: Finding): string {
  if (result === 'closed')
    return ending === 'rst' ? 'by RST, while it idled' : `by ${NAMES[ending ?? 'fin']}, while it idled`;
  if (result === 'not-kept') return 'by FIN, after the answer';
  if (result !== 'died') return 'not seen';
  if (ending === 'silent') return 'silently: nobody said so, and the next packet got no answer';
  return `silently: nobody said so, and the next packet was answered with ${NAMES[ending ?? 'rst']}`;
}

const NAMES = { fin: 'FIN', rst: 'RST', silent: 'silence' };

function meaningOf({ result, ending, livedMs }: Finding, { kind }: Target): string {
  if (result === 'closed' && ending === 'fin') {
    return (
      'The server, or a layer-7 proxy before it, closes idle connections itself. A request that is sent in that moment ' +
      'fails: reset, or closed without an answer.'
    );
  }
  if (result === 'closed') {
    return (
      'Idle connections are reset at their timeout, by a server that closes hard or a balancer that resets at expiry. ' +
      'The client sees ECONNRESET, at the latest when it next uses the connection.'
    );
  }
  if (result === 'died' && livedMs === 0 && kind !== 'tcp') {
    return 'No connection lived to its second request: perhaps the server answers only one, whatever it says.';
  }
  if (result === 'died' && ending === 'rst') {
    return (
      'A box on the way forgot the connection without a word and resets whoever uses it: the client sees ECONNRESET on ' +
      'the first request after a pause. The server has a half-open connection left.'
    );
  }
  if (result === 'died' && ending === 'silent') {
    return (
      'A box on the way (a balancer, a firewall, NAT) forgot the connection and drops its packets without a word: the ' +
      'client hangs and retransmits, on Linux for some 15 minutes, unless it has a timeout of its own.'
    );
  }
  if (result === 'died') return 'The connection was open until it was used, and then closed in place of an answer.';
  if (result === 'not-kept') return 'No connection idles here, so no idle timeout can break one.';
  if (result === 'outlived') return 'Neither the server nor a box on the way ended a connection within that time.';
  return 'The probe was interrupted before anything ended.';
}

function adviceOf({ result, livedMs, diedMs }: Finding, { maxMs, target, method }: Asked): string {
  if (result === 'closed' || (result === 'died' && livedMs > 0)) {
    const limit = `Keep the idle timeout of every client below ${formatSpan(livedMs)}, say ${formatSpan(wellBelow(livedMs))}`;
    const keepalive =
      result === 'closed'
        ? 'TCP keepalive does not help: the timer waits for data.'
        : `TCP keepalive more often than every ${formatSpan(livedMs)} helps as well.`;
    return `${limit}; a layer-7 balancer before this server is such a client. ${keepalive}`;
  }
  if (result === 'died') {
    const other = method === 'HEAD' && target.kind !== 'tcp' ? ', or with --method GET' : '';
    return `Measure again with a --min below ${formatSpan(diedMs ?? 0)}${other}.`;
  }
  if (result === 'not-kept') return 'Nothing, unless the server should keep connections alive.';
  if (result === 'outlived')
    return `Nothing for clients that idle less than ${formatSpan(livedMs)}. To look further, raise --max.`;
  return `Let it run to its end, ${formatSpan(maxMs)} at least, or lower --max.`;
}

function notesOf({ finding, failures, answer, interrupted }: ProbeReport): string[] {
  const notes: string[] = [];
  const { uniform, result, livedMs } = finding;
  if (!uniform) {
    notes.push(
      'Other connections lived longer: several servers or boxes with settings of their own. Go by the shortest.',
    );
  }
  if (result === 'closed' && answer !== null && answer.announcedMs !== null && livedMs < answer.announcedMs * 0.9) {
    notes.push(
      `It announces ${formatSpan(answer.announcedMs)}, and closes earlier: clients that believe it will fail.`,
    );
  }
  if (failures.count > 0) {
    const what = failures.count === 1 ? '1 connection' : `${failures.count} connections`;
    notes.push(`${what} could not be measured: ${failures.first}`);
  }
  if (interrupted) notes.push('Interrupted: this is what was known by then.');
  return notes;
}
