/**
 * The MSS that a backend announces to clients, lowered as it leaves (dsr/syn-ack-clamp-program.ts), for `hushlb decap
 * --mss-clamp`. It lasts until `close` or the end of the process.
 */
import { isDeepStrictEqual } from 'node:util';
import { createTcxLink, replaceProgram } from '../io/bpf-links.ts';
import { closeDescriptor, errno, SystemCallError } from '../io/ffi.ts';
import { readAddresses } from '../io/links.ts';
import { requireLink } from '../io/xdp.ts';
import { GUE_PORT } from '../wire/gue.ts';
import { IPV4_HEADER_LENGTH } from '../wire/ipv4.ts';
import { IPV6_HEADER_LENGTH } from '../wire/ipv6.ts';
import { TCP_HEADER_LENGTH } from '../wire/tcp.ts';
import { type CountingCode, type CountingProgram, loadCountingProgram } from './counting-program.ts';
import type { TunnelEncap } from './decap-program.ts';
import { overhead } from './encap.ts';
import { synAckClampProgram } from './syn-ack-clamp-program.ts';
import { ENCAP_GRE, ENCAP_GUE, ENCAP_IPIP } from './tunnel.ts';

/** The largest MSS that leaves, for clients of IPv4 and of IPv6. */
export interface LargestMss {
  readonly 4: number;
  readonly 6: number;
}

export interface SynAckClampOptions {
  readonly largest: LargestMss;
  /** SYN-ACKs from these, 4 or 16 bytes each, stay as they are. */
  readonly ownAddresses: readonly Uint8Array[];
}

export type SynAckClampProgram = CountingProgram<'clamped'>;

export interface AttachSynAckClampOptions {
  readonly interfaceName: string;
  readonly encap: TunnelEncap;
  /** `auto`: what a tunnel over a path of the interface's MTU has room for. */
  readonly mss: number | 'auto';
}

export interface SynAckClamp extends Pick<SynAckClampProgram, 'counters' | 'close'> {
  readonly largest: LargestMss;
  /** Looks at the interface's MTU and addresses again; true where they are others. Throws SystemCallError. */
  follow(): boolean;
}

/**
 * The MSS that lets a full segment through a tunnel over a path that takes packets of `mtu` bytes. By which family the balancer
 * sends, a backend doesn't know: it is IPv6, with the longer header, if the interface has an address for it beyond its link.
 */
export function fittingMss(mtu: number, encap: TunnelEncap, addresses: readonly Uint8Array[]): LargestMss {
  const outer = addresses.some((address) => address.length === 16 && !isLinkLocal(address)) ? 6 : 4;
  const number = { ipip: ENCAP_IPIP, gue: ENCAP_GUE, gre: ENCAP_GRE }[encap];
  const room = mtu - overhead({ encap: number, gue: { port: GUE_PORT, variant: 0 } }, outer) - TCP_HEADER_LENGTH;
  return { 4: room - IPV4_HEADER_LENGTH, 6: room - IPV6_HEADER_LENGTH };
}

/** fe80::/10 (RFC 4291, section 2.5.6). */
function isLinkLocal(address: Uint8Array): boolean {
  return address[0] === 0xfe && (address[1] & 0xc0) === 0x80;
}

/** Loads the program without attaching it. Throws SystemCallError (EPERM: run as root …). */
export function loadSynAckClamp(options: SynAckClampOptions): SynAckClampProgram {
  return loadCountingProgram('hushlb_mss', 'tcx', ['clamped'], codeOf(options));
}

function codeOf({ largest, ownAddresses }: SynAckClampOptions): CountingCode<'clamped'> {
  return (count) => synAckClampProgram({ largest, ownAddresses, countClamped: count('clamped') });
}

/**
 * Lowers the MSS of SYN-ACKs that leave by `interfaceName` from now on, but not from its own addresses. Throws
 * SystemCallError with advice, where the kernel has no TCX too.
 */
export function attachSynAckClamp({ interfaceName, encap, mss }: AttachSynAckClampOptions): SynAckClamp {
  const { index } = requireLink(interfaceName);
  /** As the interface is now. */
  function lookUp(): SynAckClampOptions {
    const { mtu } = requireLink(index);
    const ownAddresses = readAddresses(index);
    return { largest: mss === 'auto' ? fittingMss(mtu, encap, ownAddresses) : { 4: mss, 6: mss }, ownAddresses };
  }
  let options = lookUp();
  const program = loadSynAckClamp(options);
  try {
    const linkFd = attachAtEgress(program.programFd, index, options.largest);
    return {
      get largest() {
        return options.largest;
      },
      counters: program.counters,
      follow() {
        const next = lookUp();
        if (isDeepStrictEqual(next, options)) return false;
        program.change(codeOf(next), (programFd) => replaceProgram(linkFd, programFd));
        options = next;
        return true;
      },
      close() {
        closeDescriptor(linkFd);
        program.close();
      },
    };
  } catch (error) {
    program.close();
    throw error;
  }
}

/** The link's descriptor. Exported for the test of a kernel without TCX, which is not to be had beside one with it. */
export function attachAtEgress(programFd: number, interfaceIndex: number, largest: LargestMss): number {
  try {
    return createTcxLink(programFd, interfaceIndex, 'egress');
  } catch (error) {
    if (!(error instanceof SystemCallError) || error.errno !== errno.EINVAL) throw error;
    const routes = `ip route replace default via … advmss ${largest[4]}, and ip -6 route … advmss ${largest[6]}`;
    throw new SystemCallError(
      error.call,
      error.errno,
      `this kernel has no TCX (Linux 6.6 has it), so leave --mss-clamp out and have the routes do it: ${routes}`,
    );
  }
}
