/**
 * rtnetlink messages, built and taken apart by hand (linux/netlink.h, linux/rtnetlink.h). For links.ts, routes.ts,
 * neighbours.ts and network-watch.ts, which know what the messages mean.
 *
 *   nlmsghdr: length u32 │ type u16 │ flags u16 │ sequence u32 │ port u32 ‖ fixed struct ‖ attributes
 *   attribute: length u16 │ type u16 ‖ payload ‖ padding to 4
 *
 * Lengths come from the other side, so every walk stays within the bytes that were received and stops at the first
 * length that does not fit. Numbers are in host order; hushlb runs on little-endian hosts.
 */
import {
  bindSocket,
  closeDescriptor,
  errno,
  lastErrno,
  openSocket,
  recv,
  SystemCallError,
  sendto,
  setSocketOption,
} from './ffi.ts';

const AF_NETLINK = 16;
const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0o2000000;
const NETLINK_ROUTE = 0;
const SOL_NETLINK = 270;
const NETLINK_CAP_ACK = 10;
const NETLINK_EXT_ACK = 11;
const MSG_TRUNC = 0x20;

const NLM_F_REQUEST = 0x1;
const NLM_F_ACK = 0x4;
const NLM_F_DUMP_INTR = 0x10;
const NLM_F_DUMP = 0x300;
const NLM_F_ACK_TLVS = 0x200;
const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const NLMSGERR_ATTR_MSG = 1;
const NLA_TYPE_MASK = 0x3fff;

const MESSAGE_HEADER = 16;
const ATTRIBUTE_HEADER = 4;
/** The kernel fills at most 32 KiB of a dump at a time. */
const RECEIVE_BUFFER = 65536;
/** How often a dump that the kernel calls inconsistent is asked for again. */
const DUMP_ATTEMPTS = 4;

export const AF_UNSPEC = 0;
export const AF_INET = 2;
export const AF_INET6 = 10;

export interface NetlinkMessage {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  /** What follows the header: a fixed struct, then attributes. */
  readonly body: Buffer;
}

export type Attributes = ReadonlyMap<number, Buffer>;

function align4(length: number): number {
  return (length + 3) & ~3;
}

/** AF_INET or AF_INET6 by the address's length. Throws RangeError for anything but 4 or 16 bytes. */
export function addressFamily(address: Uint8Array): number {
  if (address.length === 4) return AF_INET;
  if (address.length === 16) return AF_INET6;
  throw new RangeError(`address: expected 4 or 16 bytes, got ${address.length}`);
}

/** One attribute with its padding. */
export function attribute(type: number, payload: Uint8Array): Buffer {
  const bytes = Buffer.alloc(align4(ATTRIBUTE_HEADER + payload.length));
  bytes.writeUInt16LE(ATTRIBUTE_HEADER + payload.length, 0);
  bytes.writeUInt16LE(type, 2);
  bytes.set(payload, ATTRIBUTE_HEADER);
  return bytes;
}

/** The attributes from `offset` on, by type without its flag bits, as views of `bytes`. A repeated type: the last. */
export function readAttributes(bytes: Buffer, offset = 0): Attributes {
  const attributes = new Map<number, Buffer>();
  while (offset + ATTRIBUTE_HEADER <= bytes.length) {
    const length = bytes.readUInt16LE(offset);
    if (length < ATTRIBUTE_HEADER || offset + length > bytes.length) break;
    const type = bytes.readUInt16LE(offset + 2) & NLA_TYPE_MASK;
    attributes.set(type, bytes.subarray(offset + ATTRIBUTE_HEADER, offset + length));
    offset += align4(length);
  }
  return attributes;
}

/** A u32 attribute's value; undefined when it is absent or too short. */
export function readU32(attributes: Attributes, type: number): number | undefined {
  const payload = attributes.get(type);
  return payload === undefined || payload.length < 4 ? undefined : payload.readUInt32LE();
}

/** A text attribute's value up to its zero byte. */
export function readText(attributes: Attributes, type: number): string | undefined {
  return attributes.get(type)?.toString('utf8').replace(/\0.*$/s, '');
}

/** A 4 or 16 byte address that outlives the receive buffer; undefined when it is absent or of another length. */
export function readAddress(attributes: Attributes, type: number): Uint8Array | undefined {
  const payload = attributes.get(type);
  return payload?.length === 4 || payload?.length === 16 ? Uint8Array.from(payload) : undefined;
}

/** The whole messages at the beginning of `bytes`, as views of it. */
export function readMessages(bytes: Buffer): NetlinkMessage[] {
  const messages: NetlinkMessage[] = [];
  let offset = 0;
  while (offset + MESSAGE_HEADER <= bytes.length) {
    const length = bytes.readUInt32LE(offset);
    if (length < MESSAGE_HEADER || offset + length > bytes.length) break;
    messages.push({
      type: bytes.readUInt16LE(offset + 4),
      flags: bytes.readUInt16LE(offset + 6),
      sequence: bytes.readUInt32LE(offset + 8),
      body: bytes.subarray(offset + MESSAGE_HEADER, offset + length),
    });
    offset += align4(length);
  }
  return messages;
}

/**
 * A route netlink socket in the network namespace of the calling thread, which also gets the kernel's messages for the
 * multicast groups of the mask `groups` (RTMGRP_… bits). The caller closes it.
 */
export function openNetlink(groups = 0): number {
  const fd = openSocket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  const address = Buffer.alloc(12); // struct sockaddr_nl; port 0: the kernel chooses one
  address.writeUInt16LE(AF_NETLINK, 0);
  address.writeUInt32LE(groups, 8);
  try {
    bindSocket(fd, address);
  } catch (error) {
    closeDescriptor(fd);
    throw error;
  }
  return fd;
}

/** Of this thread; what was received is copied out of it, because of ten thousand answers each would keep 64 KiB. */
const received = Buffer.allocUnsafeSlow(RECEIVE_BUFFER);

/** The messages of one datagram. Throws SystemCallError; EAGAIN when `flags` has MSG_DONTWAIT and there is none. */
export function receiveMessages(fd: number, flags = 0): NetlinkMessage[] {
  const length = Number(recv(fd, received, received.length, flags | MSG_TRUNC));
  if (length < 0) throw new SystemCallError('recv', lastErrno(), 'netlink');
  if (length > received.length) throw new SystemCallError('recv', errno.EMSGSIZE, `netlink, ${length} bytes`);
  return readMessages(Buffer.from(received.subarray(0, length)));
}

function send(fd: number, what: string, type: number, flags: number, sequence: number, body: Uint8Array): void {
  const message = Buffer.alloc(MESSAGE_HEADER + body.length);
  message.writeUInt32LE(message.length, 0);
  message.writeUInt16LE(type, 4);
  message.writeUInt16LE(flags, 6);
  message.writeUInt32LE(sequence, 8);
  message.set(body, MESSAGE_HEADER);
  if (sendto(fd, message, message.length, 0, null, 0) < 0) throw new SystemCallError(what, lastErrno());
}

/** Throws if an NLMSG_ERROR or NLMSG_DONE body carries an errno, with the kernel's own words where it gave some. */
function check(what: string, { type, flags, body }: NetlinkMessage): void {
  const number = body.length < 4 ? 0 : -body.readInt32LE();
  if (number <= 0) return;
  // An error quotes the request's header before its attributes, NETLINK_CAP_ACK leaves out the request's body.
  const start = type === NLMSG_ERROR ? 4 + MESSAGE_HEADER : 4;
  const words = flags & NLM_F_ACK_TLVS ? readText(readAttributes(body, start), NLMSGERR_ATTR_MSG) : undefined;
  throw new SystemCallError(what, number, words);
}

interface Answer {
  readonly messages: NetlinkMessage[];
  /** The kernel's tables changed under a dump, so that entries may be missing. */
  readonly interrupted: boolean;
}

function exchange(fd: number, what: string, type: number, flags: number, sequence: number, body: Uint8Array): Answer {
  send(fd, what, type, NLM_F_REQUEST | flags, sequence, body);
  const messages: NetlinkMessage[] = [];
  let interrupted = false;
  for (;;) {
    for (const message of receiveMessages(fd)) {
      if (message.sequence !== sequence) continue;
      if ((message.flags & NLM_F_DUMP_INTR) !== 0) interrupted = true;
      if (message.type === NLMSG_ERROR || message.type === NLMSG_DONE) {
        check(what, message);
        return { messages, interrupted };
      }
      messages.push(message);
    }
  }
}

function withSocket<T>(work: (fd: number) => T): T {
  const fd = openNetlink();
  try {
    const on = Uint8Array.of(1, 0, 0, 0);
    setSocketOption(fd, SOL_NETLINK, NETLINK_CAP_ACK, on);
    setSocketOption(fd, SOL_NETLINK, NETLINK_EXT_ACK, on);
    return work(fd);
  } finally {
    closeDescriptor(fd);
  }
}

/**
 * One request in the network namespace of the calling thread; returns the messages that came before the kernel's
 * acknowledgement. `what` names the request in errors. Throws SystemCallError with the kernel's errno.
 */
export function request(what: string, type: number, flags: number, body: Uint8Array): NetlinkMessage[] {
  return withSocket((fd) => exchange(fd, what, type, NLM_F_ACK | flags, 1, body).messages);
}

/**
 * All entries of one of the kernel's tables. When the table changed during the dump the kernel says so and it is asked
 * again, a few times; what came last counts, as whoever needs to know of changes listens to them (network-watch.ts).
 */
export function dump(what: string, type: number, body: Uint8Array): NetlinkMessage[] {
  return withSocket((fd) => {
    for (let attempt = 1; ; attempt++) {
      const { messages, interrupted } = exchange(fd, what, type, NLM_F_DUMP, attempt, body);
      if (!interrupted || attempt === DUMP_ATTEMPTS) return messages;
    }
  });
}
