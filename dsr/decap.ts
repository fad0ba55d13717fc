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
import { GUE_PORT } from '../wire/gue.ts';
import { decapProgram, type TunnelEncap } from './decap-program.ts';

export interface DecapOptions {
  readonly encap: TunnelEncap;
  /** UDP destination port of GUE. Default: 6080. */
  readonly port?: number;
  /** The host's own addresses, 4 or 16 bytes each, at least one: what is tunnelled to others stays as it is. Default: all. */
  readonly addresses?: readonly Uint8Array[];
}

export interface AttachDecapOptions extends DecapOptions {
  readonly interfaceName: string;
}

export interface DecapCounters {
  stripped: number;
  /** Marked for congestion on the way, from senders that don't understand such marks. */
  dropped: number;
}

export interface Decap {
  readonly mode: XdpMode;
  /** Why native mode was not to be had. */
  readonly fallbackReason: string | undefined;
  counters(): DecapCounters;
  close(): void;
}

export interface DecapProgram {
  readonly programFd: number;
  counters(): DecapCounters;
  close(): void;
}

/** Loads the program without attaching it. Throws SystemCallError (EPERM: run as root …). */
export function loadDecap({ encap, port = GUE_PORT, addresses }: DecapOptions): DecapProgram {
  if (addresses?.length === 0) throw new RangeError('decap: no address of this host was given');
  const counters = createBpfCounters('hushlb_decap', ['stripped', 'dropped']);
  const code = decapProgram({
    encap,
    port,
    addresses,
    countStripped: counters.increment('stripped'),
    countDropped: counters.increment('dropped'),
  });
  let programFd: number;
  try {
    programFd = loadProgram('hushlb_decap', assemble(code));
  } catch (error) {
    counters.close();
    throw error;
  }
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
 * Strips the headers of one encapsulation on `interfaceName` from now on, in native mode where the driver has it. Throws
 * SystemCallError with advice, as `attachXdp` does.
 */
export function attachDecap({ interfaceName, ...options }: AttachDecapOptions): Decap {
  const { index } = requireLink(interfaceName);
  const program = loadDecap(options);
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
