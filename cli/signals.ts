/**
 * How the commands that stay in the foreground are told to end. run.ts and decap.ts call it.
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
