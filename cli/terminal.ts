/**
 * The terminal on the other end: how wide it is, that it may hang up, text that keeps to its width, a line of progress.
 * main.ts and the commands call it.
 */

const NARROWEST = 40;
/** Beyond this lines of text are no longer pleasant to read. */
const WIDEST = 160;

/** Columns that output fills at most: the terminal's, or COLUMNS where stdout is none; 80 if neither is known. */
export function terminalWidth(): number {
  const columns = process.stdout.isTTY ? process.stdout.columns : Number(process.env.COLUMNS);
  return Number.isInteger(columns) && columns > 0 ? Math.min(Math.max(columns, NARROWEST), WIDEST) : 80;
}

/** `hushlb table … | head` closes our pipe: that is no error, and there is no one left to tell. */
export function quietOnClosedPipe(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') throw error;
      process.exit();
    });
  }
}

/** One line on stderr that is written over and over; nothing at all where stderr is no terminal. */
export function statusLine(): { show(text: string): void; clear(): void } {
  const { stderr } = process;
  if (!stderr.isTTY) return { show: () => {}, clear: () => {} };
  const clear = (): void => void stderr.write('\r\x1b[K');
  return {
    // A line that fills the width would wrap, and stay. Some terminals don't know their width and say 0.
    show: (text) => void stderr.write(`\r${text.slice(0, (stderr.columns || 80) - 1)}\x1b[K`),
    clear,
  };
}

/** Rows of a label and a text, the texts wrapped beside their labels; the same label twice is shown once. */
export function labelled(rows: readonly (readonly [label: string, text: string])[], width: number): string {
  const indent = Math.max(...rows.map(([label]) => label.length)) + 2;
  let before = '';
  const lines = rows.flatMap(([label, text]) => {
    const shown = label === before ? '' : label;
    before = label;
    return wrap(text, width - indent).map((line, index) => `${(index === 0 ? shown : '').padEnd(indent)}${line}`);
  });
  return `${lines.join('\n')}\n`;
}

/** The text's beginning, where it is longer. */
export function cut(text: string, width: number): string {
  return text.length <= width ? text : `${text.slice(0, Math.max(0, width - 1))}…`;
}

/** Lines of at most `width` characters, broken between words; a longer word stays whole. */
export function wrap(text: string, width: number): string[] {
  const lines = [''];
  for (const word of text.split(' ')) {
    const line = lines.at(-1) ?? '';
    if (line === '') lines[lines.length - 1] = word;
    else if (line.length + 1 + word.length <= width) lines[lines.length - 1] = `${line} ${word}`;
    else lines.push(word);
  }
  return lines;
}
