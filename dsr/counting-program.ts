/**
 * A BPF program of a backend, loaded, with the counters that it adds to: what decap.ts and syn-ack-clamp.ts attach. Its code
 * can be changed while it is attached, and counts on.
 */
import { loadProgram } from '../io/bpf.ts';
import { assemble, type Code } from '../io/bpf-assembler.ts';
import { createBpfCounters } from '../io/bpf-counters.ts';
import { closeDescriptor } from '../io/ffi.ts';

/** The program's code, with the instructions that count one packet; they change r1 and r2. */
export type CountingCode<Name extends string> = (count: (name: Name) => Code) => Code;

export interface CountingProgram<Name extends string> {
  readonly programFd: number;
  counters(): Record<Name, number>;
  /** Loads other code and has `attach` put it in the place of what ran so far; if that throws, all stays as it was. */
  change(codeOf: CountingCode<Name>, attach: (programFd: number) => void): void;
  close(): void;
}

/** `name` is what bpftool shows, at most 15 characters. Throws SystemCallError (EPERM: run as root …). */
export function loadCountingProgram<Name extends string>(
  name: string,
  type: 'xdp' | 'tcx',
  names: readonly Name[],
  codeOf: CountingCode<Name>,
): CountingProgram<Name> {
  const counters = createBpfCounters(name, names);
  const load = (code: CountingCode<Name>): number => loadProgram(name, assemble(code(counters.increment)), type);
  let programFd: number;
  try {
    programFd = load(codeOf);
  } catch (error) {
    counters.close();
    throw error;
  }
  return {
    get programFd() {
      return programFd;
    },
    counters: counters.read,
    change(next, attach) {
      const nextFd = load(next);
      try {
        attach(nextFd);
      } catch (error) {
        closeDescriptor(nextFd);
        throw error;
      }
      closeDescriptor(programFd);
      programFd = nextFd;
    },
    close() {
      closeDescriptor(programFd);
      counters.close();
    },
  };
}
