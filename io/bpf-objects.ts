/**
 * BPF programs and links that are there already, whoever put them there: found by their ids, and what hangs on an interface.
 * For checks of a host (doctor/), which change nothing. bpf(2) wants CAP_BPF or CAP_SYS_ADMIN for most of it.
 *
 * Layouts: union bpf_attr, struct bpf_prog_info, struct bpf_link_info of linux/bpf.h; IFLA_XDP_… of linux/if_link.h.
 */
import { bpf, closeDescriptor, errno, mapAnonymous, SystemCallError } from './ffi.ts';
import { attribute, readAttributes, readU32, request } from './netlink.ts';

const PROG_GET_FD_BY_ID = 13;
const OBJ_GET_INFO_BY_FD = 15;
const PROG_QUERY = 16;
const LINK_GET_FD_BY_ID = 30;
const LINK_GET_NEXT_ID = 31;
const LINK_TYPE_XDP = 6;
const ATTACH_TYPE_TCX = { ingress: 46, egress: 47 } as const;

const ATTRIBUTES_LENGTH = 128;
const INFO_AT = 256;
const INFO_LENGTH = 256;
const NAME_AT = 64;
const NAME_LENGTH = 16;
const IDS_AT = 1024;
const MOST_IDS = 256;
const MEMORY = 4096;

const RTM_NEWLINK = 16;
const RTM_GETLINK = 18;
const IFINFOMSG = 16;
const IFLA_EXT_MASK = 29;
const IFLA_XDP = 43;
const IFLA_XDP_PROG_ID = 4;
const IFLA_XDP_DRV_PROG_ID = 5;
const IFLA_XDP_SKB_PROG_ID = 6;
const IFLA_XDP_HW_PROG_ID = 7;

export interface AttachedProgram {
  readonly id: number;
  /** As bpftool shows it, up to 15 letters; undefined where the kernel doesn't say it to us. */
  readonly name: string | undefined;
}

export interface XdpProgram extends AttachedProgram {
  /** Of the BPF link that holds it, which `bpftool link detach` takes; undefined where it was attached by netlink. */
  readonly linkId: number | undefined;
}

/** Writes the attributes with `fill`, calls the kernel, and lets `read` look at what it wrote. */
function call<T>(
  number: number,
  what: string,
  fill: (view: DataView, address: bigint) => void,
  read: (result: number, view: DataView) => T,
): T {
  const memory = mapAnonymous(MEMORY);
  try {
    const view = new DataView(memory.buffer);
    fill(view, memory.address);
    return read(bpf(number, memory.address, ATTRIBUTES_LENGTH, what), view);
  } finally {
    memory.unmap();
  }
}

function byId(number: number, what: string, id: number): number {
  return call(
    number,
    what,
    (view) => view.setUint32(0, id, true),
    (fd) => fd,
  );
}

function info<T>(fd: number, read: (view: DataView) => T): T {
  return call(
    OBJ_GET_INFO_BY_FD,
    'ask for a bpf object',
    (view, address) => {
      view.setUint32(0, fd, true);
      view.setUint32(4, INFO_LENGTH, true);
      view.setBigUint64(8, address + BigInt(INFO_AT), true);
    },
    (_result, view) => read(new DataView(view.buffer, INFO_AT, INFO_LENGTH)),
  );
}

/** A descriptor of the program, for `testRun`; the caller closes it. Throws SystemCallError: EPERM, ENOENT. */
export function openProgram(id: number): number {
  return byId(PROG_GET_FD_BY_ID, 'open a bpf program', id);
}

/** Undefined where the program has gone, or we may not know. */
function programName(id: number): string | undefined {
  return unlessRefused(() => {
    const fd = openProgram(id);
    try {
      return info(fd, (view) => {
        const bytes = Buffer.from(view.buffer, view.byteOffset + NAME_AT, NAME_LENGTH);
        return bytes.toString('latin1').replace(/\0.*$/s, '') || undefined;
      });
    } finally {
      closeDescriptor(fd);
    }
  });
}

function unlessRefused<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch (error) {
    if (error instanceof SystemCallError) return undefined;
    throw error;
  }
}

/**
 * The XDP programs on an interface; more than one where native and generic are both in use. Anybody may ask for the ids,
 * names and links want rights. Throws SystemCallError: ENODEV.
 */
export function readXdpPrograms(interfaceIndex: number): XdpProgram[] {
  const header = Buffer.alloc(IFINFOMSG);
  header.writeInt32LE(interfaceIndex, 4);
  const body = Buffer.concat([header, attribute(IFLA_EXT_MASK, new Uint8Array(4))]);
  const [answer] = request('RTM_GETLINK', RTM_GETLINK, 0, body).filter(({ type }) => type === RTM_NEWLINK);
  const xdp = answer && readAttributes(answer.body, IFINFOMSG).get(IFLA_XDP);
  if (xdp === undefined) return [];
  const attributes = readAttributes(xdp);
  const types = [IFLA_XDP_PROG_ID, IFLA_XDP_DRV_PROG_ID, IFLA_XDP_SKB_PROG_ID, IFLA_XDP_HW_PROG_ID];
  const ids = new Set(types.flatMap((type) => readU32(attributes, type) || []));
  return [...ids].map((id) => ({ id, name: programName(id), linkId: xdpLinkOf(id, interfaceIndex) }));
}

function xdpLinkOf(programId: number, interfaceIndex: number): number | undefined {
  return unlessRefused(() => {
    for (let id = nextLink(0); id !== undefined; id = nextLink(id)) {
      const current = id;
      const found = unlessRefused(() => isXdpLink(current, programId, interfaceIndex));
      if (found === true) return id;
    }
    return undefined;
  });
}

function nextLink(id: number): number | undefined {
  try {
    return call(
      LINK_GET_NEXT_ID,
      'list bpf links',
      (view) => view.setUint32(0, id, true),
      (_result, view) => view.getUint32(4, true),
    );
  } catch (error) {
    if (error instanceof SystemCallError && error.errno === errno.ENOENT) return undefined;
    throw error;
  }
}

function isXdpLink(linkId: number, programId: number, interfaceIndex: number): boolean {
  const fd = byId(LINK_GET_FD_BY_ID, 'open a bpf link', linkId);
  try {
    return info(
      fd,
      (view) =>
        view.getUint32(0, true) === LINK_TYPE_XDP &&
        view.getUint32(8, true) === programId &&
        view.getUint32(16, true) === interfaceIndex,
    );
  } finally {
    closeDescriptor(fd);
  }
}

/** The TCX programs on an interface, in their order; undefined where the kernel has no TCX or refuses to tell. */
export function readTcxPrograms(
  interfaceIndex: number,
  direction: keyof typeof ATTACH_TYPE_TCX,
): AttachedProgram[] | undefined {
  return unlessRefused(() =>
    call(
      PROG_QUERY,
      'ask for TCX programs',
      (view, address) => {
        view.setUint32(0, interfaceIndex, true);
        view.setUint32(4, ATTACH_TYPE_TCX[direction], true);
        view.setBigUint64(16, address + BigInt(IDS_AT), true);
        view.setUint32(24, MOST_IDS, true);
      },
      (_result, view) => {
        const count = view.getUint32(24, true);
        return Array.from({ length: count }, (_, i) => view.getUint32(IDS_AT + 4 * i, true));
      },
    ).map((id) => ({ id, name: programName(id) })),
  );
}
