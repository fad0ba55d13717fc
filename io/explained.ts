/** Opening a socket takes many steps: what fails says which of them it was, and what to do. For the sockets of the devices. */
import { SystemCallError } from './ffi.ts';

/** Runs one step of opening; a SystemCallError of it becomes one with the step's name, and the advice for its errno. */
export type Explained = <T>(step: string, work: () => T) => T;

/** `advice` by errno. */
export function explainedBy(advice: Readonly<Record<number, string>>): Explained {
  return (step, work) => {
    try {
      return work();
    } catch (error) {
      if (!(error instanceof SystemCallError)) throw error;
      throw new SystemCallError(step, error.errno, advice[error.errno]);
    }
  };
}
