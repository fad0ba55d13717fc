/**
 * The log of the commands that stay in the foreground: run and decap. It goes to stderr, so that stdout stays free for
 * results, and it is written synchronously, so that the last line before an end is never lost.
 */
import { destination, type Logger, pino } from 'pino';
import { PinoPretty } from 'pino-pretty';
import type { LogFormat, LogLevel } from './options.ts';

const STDERR = 2;

export function createLogger({ level, format }: { readonly level: LogLevel; readonly format: LogFormat }): Logger {
  const { isTTY } = process.stderr;
  const stderr = destination({ dest: STDERR, sync: true });
  stderr.on('error', (error: NodeJS.ErrnoException) => {
    // The terminal is gone, and with it whoever read the log.
    if (error.code !== 'EIO') throw error;
  });
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
