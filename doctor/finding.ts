/**
 * What doctor says: findings, each with what was found, why it matters for hushlb, and the command that mends it. The files
 * beside this one judge facts and return findings; nothing here or there prints, and nothing changes the host.
 */

export type Severity = 'ok' | 'note' | 'warning' | 'error';

/** In the order in which they are shown: from what everything else stands on to what stands on all of it. */
const TOPICS = [
  'configuration',
  'rights',
  'kernel',
  'clock',
  'interface',
  'vip',
  'path',
  'decapsulation',
  'kernel settings',
  'listener',
  'answers',
  'firewall',
  'probe',
] as const;
export type Topic = (typeof TOPICS)[number];

export interface Mend {
  /** For a shell. */
  readonly command: string;
  /** Where to run it; null: on this host. */
  readonly on: string | null;
}

export interface Finding {
  /** Stable: docs/doctor.md lists them. */
  readonly code: string;
  readonly topic: Topic;
  readonly severity: Severity;
  /** One line. */
  readonly found: string;
  /** Why it matters; null where all is well. */
  readonly why: string | null;
  /** In the order in which to run them. */
  readonly mend: readonly Mend[];
}

/** A command for this host, or one with where it is to be run. */
export type MendText = string | Mend;

export interface Teller {
  ok(code: string, found: string): Finding;
  note(code: string, found: string, why: string, mend?: readonly MendText[]): Finding;
  warning(code: string, found: string, why: string, mend?: readonly MendText[]): Finding;
  error(code: string, found: string, why: string, mend?: readonly MendText[]): Finding;
}

/** Findings of one topic. */
export function tell(topic: Topic): Teller {
  const make =
    (severity: Severity) =>
    (code: string, found: string, why: string | null = null, mend: readonly MendText[] = []): Finding => ({
      code,
      topic,
      severity,
      found,
      why,
      mend: mend.map((each) => (typeof each === 'string' ? { command: each, on: null } : each)),
    });
  return { ok: make('ok'), note: make('note'), warning: make('warning'), error: make('error') };
}

const RANK: Record<Severity, number> = { error: 0, warning: 1, note: 2, ok: 3 };

/** By topic, and in a topic the worst first. */
export function inOrder(findings: readonly Finding[]): Finding[] {
  const place = ({ topic, severity }: Finding) => TOPICS.indexOf(topic) * 4 + RANK[severity];
  return [...findings].sort((a, b) => place(a) - place(b));
}

export function countOf(findings: readonly Finding[], severity: Severity): number {
  return findings.filter((finding) => finding.severity === severity).length;
}

/** 0: nothing but notes. 1: an error. 3: warnings only. (2 is said of wrong arguments.) */
export function exitCodeOf(findings: readonly Finding[]): number {
  if (countOf(findings, 'error') > 0) return 1;
  return countOf(findings, 'warning') > 0 ? 3 : 0;
}
