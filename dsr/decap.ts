/**
 * Decapsulation on a backend: attaches the program of decap-program.ts to an interface and reads its counters.
 *
 * `hushlb decap` calls it. It lasts until `close` or the end of the process.
 */
import { attachXdp, requireLink, type XdpMode } from '../io/xdp.ts';
import { GUE_PORT } from '../wire/gue.ts';
import { type CountingCode, type CountingProgram, loadCountingProgram } from './counting-program.ts';
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

/** `dropped`: marked for congestion on the way, from senders that don't understand such marks. */
type DecapCounter = 'stripped' | 'dropped';

export type DecapProgram = CountingProgram<DecapCounter>;

export interface Decap extends Pick<DecapProgram, 'counters' | 'close'> {
  readonly mode: XdpMode;
  /** Why native mode was not to be had. */
  readonly fallbackReason: string | undefined;
  /** The host's own addresses are others now, at least one. Throws SystemCallError. */
  follow(addresses: readonly Uint8Array[]): void;
}

/** Loads the program without attaching it. Throws SystemCallError (EPERM: run as root …). */
export function loadDecap(options: DecapOptions): DecapProgram {
  return loadCountingProgram('hushlb_decap', 'xdp', ['stripped', 'dropped'], codeOf(options));
}

function codeOf({ encap, port = GUE_PORT, addresses }: DecapOptions): CountingCode<DecapCounter> {
  if (addresses?.length === 0) throw new RangeError('decap: no address of this host was given');
  return (count) =>
    decapProgram({ encap, port, addresses, countStripped: count('stripped'), countDropped: count('dropped') });
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
      follow: (addresses) => program.change(codeOf({ ...options, addresses }), attachment.replace),
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
