/**
 * The log of the commands that stay in the foreground: run and decap. It goes to stderr, so that stdout stays free for
 * results, and it is written synchronously, so that the last line before an end is never lost.
 */
import { destination, type Logger, pino } from 'pino';
import { PinoPretty } from 'pino-pretty';
import type { LogFormat, LogLevel } from './options.ts';

const STDERR = 2;
/** What waits for a full disk to have room again; lines beyond it are lost. */
const KEPT_BYTES = 1024 * 1024;

export function createLogger({ level, format }: { readonly level: LogLevel; readonly format: LogFormat }): Logger {
  const { isTTY } = process.stderr;
  const stderr = destination({ dest: STDERR, sync: true, maxLength: KEPT_BYTES });
  // The disk is full, the reader or the terminal has gone: nobody is left to be told, and packets matter more.
  stderr.on('error', () => {});
  const pretty = format === 'pretty' || (format === 'auto' && isTTY);
  const stream = pretty
    ? PinoPretty({
        destination: stderr,
        colorize: isTTY && !process.env.NO_COLOR,
        ignore: 'pid,hostname',
        translateTime: 'SYS:HH:MM:ss.l',
      })
    : stderr;
  return pino({ level }, stream);
}
