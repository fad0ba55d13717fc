/**
 * What signals tell the commands that go on for a while: to end (run.ts, decap.ts, top.ts, and whatever else waits for more to
 * come), and to read the configuration again (run.ts).
 */
import { isatty } from 'node:tty';

/** Resolves with the first SIGTERM or SIGINT. The next one finds no listener and ends the process at once. */
export function stopSignal(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    const stop = (signal: NodeJS.Signals) => {
      process.off('SIGTERM', stop).off('SIGINT', stop);
      resolve(signal);
    };
    process.on('SIGTERM', stop).on('SIGINT', stop);
  });
}

export interface Hangups {
  /** Calls `listener` for each SIGHUP from now on, and for those that came before once. */
  tell(listener: () => void): void;
  /** Resolves with the SIGHUP of a terminal that is gone, which `tell` is not told. */
  readonly ofTerminal: Promise<NodeJS.Signals>;
}

/** Ends the process as the signal would have done: in order Node cannot end without its terminal, it would abort (20.20). */
export function dieOf(signal: NodeJS.Signals): void {
  process.removeAllListeners(signal);
  process.kill(process.pid, signal);
}

const STANDARD_STREAMS = [0, 1, 2];

/**
 * Hears SIGHUP from now on, which would end the process otherwise. The kernel sends it too when a terminal closes: whoever has
 * one among its standard streams was started there by hand, and ends with it. With nohup, a service manager or all streams
 * redirected there is none.
 */
export function listenForHangups(): Hangups {
  const terminals = STANDARD_STREAMS.filter((descriptor) => isatty(descriptor));
  let listener: (() => void) | undefined;
  let missed = false;
  const ofTerminal = new Promise<NodeJS.Signals>((resolve) => {
    process.on('SIGHUP', (signal) => {
      if (!terminals.every((descriptor) => isatty(descriptor))) resolve(signal);
      else if (listener === undefined) missed = true;
      else listener();
    });
  });
  return {
    ofTerminal,
    tell(to) {
      listener = to;
      if (missed) to();
    },
  };
}
