/**
 * BPF links, which attach a program to an interface for as long as their descriptor, and so at most this process, lives:
 * bpf(2)'s commands beside those of bpf.ts. For steering, guards and decapsulation. Every failure is a SystemCallError.
 */
import { ATTACH_TYPE_XDP, command, loadProgram, TCX_NEXT } from './bpf.ts';
import { alu, assemble, exit } from './bpf-assembler.ts';
import { closeDescriptor, errno, SystemCallError } from './ffi.ts';

const LINK_CREATE = 28;
const LINK_UPDATE = 29;
const ATTACH_TYPE_TCX = { ingress: 46, egress: 47 } as const;
const BEFORE_ALL_OTHERS = 8;

/** Attaches an XDP program. */
export function createXdpLink(programFd: number, interfaceIndex: number, flags: number): number {
  return command(LINK_CREATE, 'attach XDP program', (view) => {
    view.setUint32(0, programFd, true);
    view.setUint32(4, interfaceIndex, true);
    view.setUint32(8, ATTACH_TYPE_XDP, true);
    view.setUint32(12, flags, true);
  }).result;
}

/**
 * Attaches a TCX program to what the interface receives (ingress) or sends (egress), before all others that are there (Linux
 * 6.6; EINVAL on an older one).
 */
export function createTcxLink(programFd: number, interfaceIndex: number, direction: 'ingress' | 'egress'): number {
  return command(LINK_CREATE, 'attach TCX program', (view) => {
    view.setUint32(0, programFd, true);
    view.setUint32(4, interfaceIndex, true);
    view.setUint32(8, ATTACH_TYPE_TCX[direction], true);
    view.setUint32(12, BEFORE_ALL_OTHERS, true);
  }).result;
}

/** From one packet to the next, another program of the same type runs in its place. */
export function replaceProgram(linkFd: number, programFd: number): void {
  command(LINK_UPDATE, 'replace bpf program', (view) => {
    view.setUint32(0, linkFd, true);
    view.setUint32(4, programFd, true);
  });
}

/** Whether the kernel has TCX, which Linux 6.6 brought; asked for an interface that cannot be. Throws SystemCallError. */
export function hasTcx(): boolean {
  const programFd = loadProgram('hushlb_probe', assemble([alu('r0', '=', TCX_NEXT), exit()]), 'tcx');
  try {
    return createTcxLink(programFd, 0, 'egress') >= 0;
  } catch (error) {
    if (!(error instanceof SystemCallError)) throw error;
    return error.errno === errno.ENODEV;
  } finally {
    closeDescriptor(programFd);
  }
}
