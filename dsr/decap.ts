/**
 * Decapsulation on a backend: attaches the program of decap-program.ts to an interface and reads its counter.
 *
 * `hushlb decap` and the lab's backends call it. It lasts until `close` or the end of the process.
 */
import { loadProgram } from '../io/bpf.ts';
import { assemble } from '../io/bpf-assembler.ts';
import { createBpfCounters } from '../io/bpf-counters.ts';
import { closeDescriptor } from '../io/ffi.ts';
import { attachXdp, requireLink, type XdpMode } from '../io/xdp.ts';
import { decapProgram } from './decap-program.ts';

export interface AttachDecapOptions {
  readonly interfaceName: string;
  readonly encap: 'ipip';
  /** The host's own addresses, 4 bytes each, at least one: what is tunnelled to others stays as it is. Default: all. */
  readonly addresses?: readonly Uint8Array[];
}

export interface Decap {
  readonly mode: XdpMode;
  /** Why native mode was not to be had. */
  readonly fallbackReason: string | undefined;
  counters(): { stripped: number };
  close(): void;
}

export interface DecapProgram {
  readonly programFd: number;
  counters(): { stripped: number };
  close(): void;
}

/** Loads the program without attaching it. Throws SystemCallError (EPERM: run as root …). */
export function loadDecap(addresses?: readonly Uint8Array[]): DecapProgram {
  if (addresses?.length === 0) throw new RangeError('decap: no address of this host was given');
  const counters = createBpfCounters('hushlb_decap', ['stripped']);
  const code = decapProgram({ addresses, countStripped: counters.increment('stripped') });
  const programFd = loadProgram('hushlb_decap', assemble(code));
  return {
    programFd,
    counters: counters.read,
    close() {
      closeDescriptor(programFd);
      counters.close();
    },
  };
}

/**
 * Strips outer headers on `interfaceName` from now on, in native mode where the driver has it. Throws SystemCallError
 * with advice, as `attachXdp` does.
 */
export function attachDecap({ interfaceName, addresses }: AttachDecapOptions): Decap {
  const { index } = requireLink(interfaceName);
  const program = loadDecap(addresses);
  try {
    const attachment = attachXdp({ programFd: program.programFd, interfaceIndex: index, mode: 'auto' });
    return {
      mode: attachment.mode,
      fallbackReason: attachment.fallbackReason,
      counters: program.counters,
      close() {
        attachment.detach();
        program.close();
      },
    };
  } catch (error) {
    program.close();
    throw error;
  }
}
