/**
 * The terminal on the other end of stdout: how wide it is, and that it may hang up. main.ts and table.ts call it.
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
