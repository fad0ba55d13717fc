/**
 * What signals tell the commands that stay in the foreground: to end (run.ts and decap.ts), and to read the configuration
 * again (run.ts).
 */

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

/** Hears SIGHUP from now on, which would end the process otherwise. One that came before `tell` is told then. */
export function listenForHangups(): { tell(listener: () => void): void } {
  let listener: (() => void) | undefined;
  let missed = false;
  process.on('SIGHUP', () => {
    if (listener === undefined) missed = true;
    else listener();
  });
  return {
    tell(to) {
      listener = to;
      if (missed) to();
    },
  };
}
