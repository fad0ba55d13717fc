/**
 * Attaching an XDP program to an interface, for steering and decapsulation.
 *
 * The attachment is a BPF link: it ends with `detach()` or with the process, however that ends, so that a crash leaves
 * nothing attached. Native mode runs in the driver, before the kernel allocates anything for the packet; generic mode
 * works on every interface, later and slower.
 */
import { createXdpLink, replaceProgram } from './bpf-links.ts';
import { closeDescriptor, errno, SystemCallError } from './ffi.ts';
import { type Link, readLink } from './links.ts';

export type XdpMode = 'native' | 'generic';

export interface XdpAttachment {
  readonly mode: XdpMode;
  /** Why native mode was not to be had, when `auto` came to generic mode. */
  readonly fallbackReason: string | undefined;
  /** From one packet to the next, another program runs. Throws SystemCallError. */
  replace(programFd: number): void;
  detach(): void;
}

export interface AttachXdpOptions {
  readonly programFd: number;
  readonly interfaceIndex: number;
  /** `auto` tries native mode first. */
  readonly mode: XdpMode | 'auto';
}

/** XDP_FLAGS_DRV_MODE and XDP_FLAGS_SKB_MODE of linux/if_link.h. */
const FLAGS = { native: 4, generic: 2 } as const;

/** What the kernel says no to in native mode although generic mode works. */
const NATIVE_REFUSALS: Record<number, string> = {
  [errno.EOPNOTSUPP]: 'the driver has no native XDP',
  [errno.ENOSPC]: 'too few queues: a veth end needs as many receive queues as its peer has transmit queues',
  [errno.ERANGE]: 'the MTU is too large for native XDP',
  [errno.EINVAL]: 'the driver refused it in its present settings: see the kernel log',
  [errno.ENOMEM]: 'the driver has no memory for its XDP queues',
};

/**
 * Attaches the program. Throws SystemCallError, with advice: EBUSY or EEXIST when the interface has an XDP program
 * already, EPERM without the privilege, ENODEV without the interface, any other when the mode asked for is refused.
 */
export function attachXdp({ programFd, interfaceIndex, mode }: AttachXdpOptions): XdpAttachment {
  if (mode !== 'auto') return attach(programFd, interfaceIndex, mode, undefined);
  try {
    return attach(programFd, interfaceIndex, 'native', undefined);
  } catch (error) {
    if (!(error instanceof SystemCallError) || NATIVE_REFUSALS[error.errno] === undefined) throw error;
    return attach(programFd, interfaceIndex, 'generic', `${error.code}: ${NATIVE_REFUSALS[error.errno]}`);
  }
}

/** The interface, or ENODEV. */
export function requireLink(nameOrIndex: string | number): Link {
  const link = readLink(nameOrIndex);
  if (link === undefined) throw new SystemCallError(`interface ${nameOrIndex}`, errno.ENODEV, '`ip link` shows them');
  return link;
}

function attach(programFd: number, index: number, mode: XdpMode, fallbackReason: string | undefined): XdpAttachment {
  const { name } = requireLink(index);
  let linkFd: number;
  try {
    linkFd = createXdpLink(programFd, index, FLAGS[mode]);
  } catch (error) {
    if (!(error instanceof SystemCallError) || error.errno === errno.EPERM) throw error;
    throw new SystemCallError(
      `attach XDP program to ${name} in ${mode} mode`,
      error.errno,
      advice(error.errno, name, mode),
    );
  }
  return {
    mode,
    fallbackReason,
    replace: (next) => replaceProgram(linkFd, next),
    detach() {
      if (linkFd >= 0) closeDescriptor(linkFd);
      linkFd = -1;
    },
  };
}

function advice(number: number, name: string, mode: XdpMode): string {
  if (number === errno.EBUSY || number === errno.EEXIST) {
    return `another XDP program is attached (\`ip -d link show dev ${name}\` names it): stop its process or detach it`;
  }
  return (mode === 'native' && NATIVE_REFUSALS[number]) || '';
}
