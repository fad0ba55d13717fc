/**
 * Doctor's findings as text: grouped by topic, a line each with its severity, why it matters and what mends it below, and the
 * sum at the end. cli/doctor.ts prints it.
 */
import { countOf, type Finding, type Mend, type Severity } from '../doctor/finding.ts';
import { wrap } from './terminal.ts';

const LABEL_WIDTH = 9;
const HELD_SPACE = '\0';
const COLOURS: Record<Severity, number> = { ok: 32, note: 36, warning: 33, error: 31 };

export interface TextOptions {
  readonly width: number;
  readonly colours: boolean;
}

/** `findings` in the order in which they are to be shown. */
export function findingsText(findings: readonly Finding[], { width, colours }: TextOptions): string {
  const paint = (severity: Severity, text: string) => (colours ? `\x1b[${COLOURS[severity]}m${text}\x1b[0m` : text);
  const lines: string[] = [];
  let topic = '';
  for (const finding of findings) {
    if (finding.topic !== topic) {
      if (topic !== '') lines.push('');
      topic = finding.topic;
      lines.push(topic);
    }
    const { severity, found, why, mend } = finding;
    const [first, ...more] = wrap(found, width - 2 - LABEL_WIDTH);
    lines.push(`  ${paint(severity, severity.padEnd(LABEL_WIDTH))}${first}`, ...more.map(indented));
    if (why !== null) lines.push(...wrap(why, width - 2 - LABEL_WIDTH).map(indented));
    for (const each of mend) lines.push(...mendLines(each, width));
  }
  return `${lines.join('\n')}\n\n${wrap(summary(findings), width).join('\n')}\n`;
}

function indented(line: string): string {
  return `${' '.repeat(2 + LABEL_WIDTH)}${line}`;
}

/**
 * Long commands go on behind a backslash, so that a shell takes them as they stand here; further to the left where a word would
 * not fit otherwise.
 */
function mendLines({ command, on }: Mend, width: number): string[] {
  const where = on === null ? [] : wrap(`on ${on}:`, width - 2 - LABEL_WIDTH).map(indented);
  const [usual, left] = [2 + LABEL_WIDTH, 2].map((indent) => commandLines(command, indent, width));
  return [...where, ...(usual.every((line) => line.length <= width) ? usual : left)];
}

function commandLines(command: string, indent: number, width: number): string[] {
  const pieces = wrapWords(command, width - indent - 4);
  const start = ' '.repeat(indent);
  return pieces.map((line, i) => `${start}${i === 0 ? '$ ' : '  '}${line}${i === pieces.length - 1 ? '' : ' \\'}`);
}

/** Broken between the words of a shell: what is quoted stays in one piece. */
function wrapWords(command: string, width: number): string[] {
  const words = command.match(/(?:'[^']*'|[^\s'])+/g) ?? [command];
  // A space that may not be broken stands for those inside of a word meanwhile.
  const kept = words.map((word) => word.replaceAll(' ', HELD_SPACE)).join(' ');
  return wrap(kept, width).map((line) => line.replaceAll(HELD_SPACE, ' '));
}

export function summary(findings: readonly Finding[]): string {
  const count = (severity: Severity, one: string, several: string): string[] => {
    const number = countOf(findings, severity);
    return number === 0 ? [] : [`${number} ${number === 1 ? one : several}`];
  };
  const bad = [...count('error', 'error', 'errors'), ...count('warning', 'warning', 'warnings')];
  const good = [...count('note', 'note', 'notes'), ...count('ok', 'ok', 'ok')];
  if (bad.length === 0) return `all well: ${good.join(', ')}`;
  return [bad, good]
    .filter((part) => part.length > 0)
    .map((part) => part.join(', '))
    .join('; ');
}
