/**
 * What the steering programs say of a packet, in instructions that they share: to the workers' sockets, or the kernel's.
 * io/xdp-steering.ts and io/tap-steering.ts put around it how bytes are read and what becomes of the packet.
 *
 * ```
 *   up to two VLAN tags ─► IPv4 ─────────────────────────────► TCP, UDP: the port is a service's   ─► socket
 *                          IPv6, up to six extension headers      another port of a VIP            ─► kernel, counted
 *                                                              a later fragment to a VIP           ─► socket
 *                                                              ICMP error to a VIP; echo request,
 *                                                                where the kernel isn't to answer  ─► socket
 *                          all else, and what can't be read                                        ─► kernel
 * ```
 *
 * Lengths that headers claim are not judged here: the forwarder does, and counts. A VIP's fragments of ICMP are the
 * kernel's: an error is never so long, and who answers a fragmented echo request has to put it together first.
 *
 * r6 is the context, r9 the bytes of the frame that were walked; r7 and r8 are the surrounding program's until `service`.
 */
import { MAP_LOOKUP_ELEM } from './bpf.ts';
import { alu, type Code, call, jump, jumpIf, label, load, loadMap, networkOrder16, store } from './bpf-assembler.ts';
import { ALL_PORTS, ECHO, KEY, PORT_RANGES, SERVICE, TRIE_BITS_SIZE, TRIE_KEY_BITS } from './service-map.ts';

export interface SteeringProgram {
  readonly hashFd: number;
  readonly trieFd: number;
  /** Has r1 point to `length` bytes, 40 at most, from byte r9 of the frame on, or jumps to `pass`; may change r0 to r5. */
  readonly reach: (length: number) => Code;
  /** Jumps to `second-tag` where the kernel took the first tag off the frame; may change r2. */
  readonly passTakenTag: Code;
  /** Counts a packet for a VIP that is for none of its services; may change r1 and r2. */
  readonly countOtherPort: Code;
}

/** The stack: the trie's key, whose end is the hash's; whether the packet is a fragment. Below it is the programs' own. */
const KEY_AT = -24;
const TRIE_KEY_AT = KEY_AT - TRIE_BITS_SIZE;
const IS_FRAGMENT_AT = KEY_AT + KEY.size;
export const STEERING_STACK_AT = -32;

const ETHERNET_LENGTH = 14;
const ETHERTYPE_AT = 12;
const TAG_LENGTH = 4;
const IPV4 = { minLength: 20, fragment: 6, protocol: 9, destination: 16 } as const;
const IPV6 = { length: 40, nextHeader: 6, destination: 24 } as const;
const PORTS = { length: 4, destination: 2 } as const;
const ICMP_LENGTH = 8;

const TCP = 6;
const UDP = 17;
const ICMP = 1;
const ICMPV6 = 58;
const HOP_BY_HOP = 0;
const ROUTING = 43;
const FRAGMENT = 44;
const DESTINATION_OPTIONS = 60;
const EXTENSION_HEADERS = 6;
const EXTENSION = { minLength: 8, length: 1, segmentsLeft: 3, fragment: 2 } as const;

/** Of the word of flags and offset: the offset, and with the flag of more fragments. */
const IPV4_OFFSET = 0x1fff;
const IPV4_FRAGMENT = 0x3fff;
const IPV6_OFFSET = 0xfff8;
const IPV6_MORE = 0x0001;

/** Goes on behind it, at `service`, for a packet to the sockets; jumps to `pass` for all others. */
export function steeringProgram(program: SteeringProgram): Code {
  return [
    alu('r9', '=', 0),
    walkTags(program),
    walkIpv4(program),
    label('ipv6'),
    walkIpv6(program),
    label('icmp'),
    findVip(program),
    label('ports'),
    findPort(program),
    label('fragment'),
    lookUp(program.hashFd, KEY_AT),
    jumpIf('r0', '==', 0, 'pass'),
    label('service'),
  ];
}

/** Goes on with r9 the IP header's offset and r3 its EtherType. */
function walkTags({ reach, passTakenTag }: SteeringProgram): Code {
  const tag = (whenNone: string): Code => [
    jumpIf('r3', '==', networkOrder16(0x8100), `${whenNone}-tag`),
    jumpIf('r3', '!=', networkOrder16(0x88a8), 'untagged'),
    label(`${whenNone}-tag`),
    reach(TAG_LENGTH),
    load('u16', 'r3', 'r1', 2),
    alu('r9', '+=', TAG_LENGTH),
  ];
  return [
    reach(ETHERNET_LENGTH),
    load('u16', 'r3', 'r1', ETHERTYPE_AT),
    alu('r9', '+=', ETHERNET_LENGTH),
    passTakenTag,
    tag('first'),
    label('second-tag'),
    tag('inner'),
    label('untagged'),
  ];
}

/** The key's address from `address + at` on, of `words` words; its other bytes are zero. r2 is free. */
function storeAddress(version: number, at: number, words: number): Code {
  const copies = Array.from({ length: KEY.version / 4 }, (_, i) =>
    i < words
      ? [load('u32', 'r2', 'r1', at + 4 * i), store('u32', 'r10', KEY_AT + 4 * i, 'r2')]
      : [store('u32', 'r10', KEY_AT + 4 * i, 0)],
  );
  return [
    copies,
    store('u8', 'r10', KEY_AT + KEY.version, version),
    store('u16', 'r10', KEY_AT + KEY.port, 0),
    store('u32', 'r10', IS_FRAGMENT_AT, 0),
  ];
}

/** Goes on at `ports`, `fragment` or `icmp`; the key is without its port. */
function walkIpv4({ reach }: SteeringProgram): Code {
  return [
    jumpIf('r3', '==', networkOrder16(0x86dd), 'ipv6'),
    jumpIf('r3', '!=', networkOrder16(0x0800), 'pass'),
    reach(IPV4.minLength),
    load('u8', 'r3', 'r1', 0),
    alu('r2', '=', 'r3'),
    alu('r2', '>>=', 4),
    jumpIf('r2', '!=', 4, 'pass'),
    alu('r3', '&=', 0x0f),
    jumpIf('r3', '<', IPV4.minLength / 4, 'pass'),
    alu('r3', '<<=', 2),
    alu('r9', '+=', 'r3'),
    storeAddress(4, IPV4.destination, 1),
    load('u8', 'r3', 'r1', IPV4.protocol),
    store('u8', 'r10', KEY_AT + KEY.protocol, 'r3'),
    load('u16', 'r2', 'r1', IPV4.fragment),
    jumpIf('r3', '==', ICMP, 'icmpv4'),
    jumpIf('r3', '==', TCP, 'ipv4-ports'),
    jumpIf('r3', '!=', UDP, 'pass'),
    label('ipv4-ports'),
    jumpIf('r2', '&', networkOrder16(IPV4_OFFSET), 'fragment'),
    jump('ports'),

    label('icmpv4'),
    jumpIf('r2', '&', networkOrder16(IPV4_FRAGMENT), 'pass'),
    reach(ICMP_LENGTH),
    load('u8', 'r1', 'r1', 0),
    alu('r9', '=', SERVICE),
    ...[3, 11, 12].map((error) => jumpIf('r1', '==', error, 'icmp')),
    alu('r9', '=', ECHO),
    jumpIf('r1', '==', 8, 'icmp'),
    jump('pass'),
  ];
}

/** The same for IPv6. */
function walkIpv6({ reach }: SteeringProgram): Code {
  return [
    reach(IPV6.length),
    load('u8', 'r2', 'r1', 0),
    alu('r2', '>>=', 4),
    jumpIf('r2', '!=', 6, 'pass'),
    storeAddress(6, IPV6.destination, 4),
    load('u8', 'r3', 'r1', IPV6.nextHeader),
    alu('r9', '+=', IPV6.length),
    Array.from({ length: EXTENSION_HEADERS }, (_, i) => walkExtension(reach, i)),

    label('upper'),
    store('u8', 'r10', KEY_AT + KEY.protocol, 'r3'),
    jumpIf('r3', '==', TCP, 'ports'),
    jumpIf('r3', '==', UDP, 'ports'),
    jumpIf('r3', '!=', ICMPV6, 'pass'),
    load('u32', 'r1', 'r10', IS_FRAGMENT_AT),
    jumpIf('r1', '!=', 0, 'pass'),
    reach(ICMP_LENGTH),
    load('u8', 'r1', 'r1', 0),
    alu('r9', '=', ECHO),
    jumpIf('r1', '==', 128, 'icmp'),
    jumpIf('r1', '==', 0, 'pass'),
    jumpIf('r1', '>', 4, 'pass'),
    alu('r9', '=', SERVICE),
    jump('icmp'),

    label('later-fragment'),
    store('u8', 'r10', KEY_AT + KEY.protocol, 'r3'),
    jumpIf('r3', '==', TCP, 'fragment'),
    jumpIf('r3', '==', UDP, 'fragment'),
    // What follows its options is told in the first fragment only.
    jumpIf('r3', '!=', DESTINATION_OPTIONS, 'pass'),
    store('u8', 'r10', KEY_AT + KEY.protocol, 0),
    jump('fragment'),
  ];
}

/** One extension header (RFC 8200, section 4), whose number is r3; r3 is the next one's behind it. */
function walkExtension(reach: SteeringProgram['reach'], i: number): Code {
  return [
    // Right behind the IPv6 header only.
    i === 0 ? jumpIf('r3', '==', HOP_BY_HOP, `extension-${i}`) : [],
    jumpIf('r3', '==', DESTINATION_OPTIONS, `extension-${i}`),
    jumpIf('r3', '==', ROUTING, `extension-${i}`),
    jumpIf('r3', '!=', FRAGMENT, 'upper'),
    label(`extension-${i}`),
    // On the stack while registers are not ours.
    store('u8', 'r10', KEY_AT + KEY.protocol, 'r3'),
    reach(EXTENSION.minLength),
    load('u8', 'r4', 'r10', KEY_AT + KEY.protocol),
    load('u8', 'r3', 'r1', 0),
    jumpIf('r4', '==', FRAGMENT, `fragment-header-${i}`),
    load('u8', 'r5', 'r1', EXTENSION.segmentsLeft),
    load('u8', 'r2', 'r1', EXTENSION.length),
    alu('r2', '+=', 1),
    alu('r2', '<<=', 3),
    alu('r9', '+=', 'r2'),
    jumpIf('r4', '!=', ROUTING, `walked-${i}`),
    // The VIP is not where it ends.
    jumpIf('r5', '!=', 0, 'pass'),
    jump(`walked-${i}`),

    label(`fragment-header-${i}`),
    load('u16', 'r2', 'r1', EXTENSION.fragment),
    jumpIf('r2', '&', networkOrder16(IPV6_OFFSET), 'later-fragment'),
    alu('r2', '&=', networkOrder16(IPV6_MORE)),
    store('u32', 'r10', IS_FRAGMENT_AT, 'r2'),
    alu('r9', '+=', EXTENSION.minLength),
    label(`walked-${i}`),
  ];
}

/** r0 = the value in the map for the key at `keyAt` of the stack, 0 when there is none. */
function lookUp(mapFd: number, keyAt: number): Code {
  return [loadMap('r1', mapFd), alu('r2', '=', 'r10'), alu('r2', '+=', keyAt), call(MAP_LOOKUP_ELEM)];
}

/** A VIP of any protocol that has one of the flags in r9. */
function findVip({ hashFd }: SteeringProgram): Code {
  return [
    store('u8', 'r10', KEY_AT + KEY.protocol, 0),
    lookUp(hashFd, KEY_AT),
    jumpIf('r0', '==', 0, 'pass'),
    load('u32', 'r1', 'r0', 0),
    jumpIf('r1', '&', 'r9', 'service'),
    jump('pass'),
  ];
}

/** r9 keeps the port: the offset is no longer needed. */
function findPort({ hashFd, trieFd, reach, countOtherPort }: SteeringProgram): Code {
  return [
    reach(PORTS.length),
    load('u16', 'r9', 'r1', PORTS.destination),
    // A packet to port 0 must not match the key that marks a VIP.
    jumpIf('r9', '==', 0, 'no-single-port'),
    store('u16', 'r10', KEY_AT + KEY.port, 'r9'),
    lookUp(hashFd, KEY_AT),
    jumpIf('r0', '!=', 0, 'service'),

    label('no-single-port'),
    store('u16', 'r10', KEY_AT + KEY.port, 0),
    lookUp(hashFd, KEY_AT),
    jumpIf('r0', '==', 0, 'pass'),
    load('u32', 'r1', 'r0', 0),
    jumpIf('r1', '&', ALL_PORTS, 'service'),
    alu('r1', '&=', PORT_RANGES),
    jumpIf('r1', '==', 0, 'other-port'),
    store('u16', 'r10', KEY_AT + KEY.port, 'r9'),
    store('u32', 'r10', TRIE_KEY_AT, TRIE_KEY_BITS),
    lookUp(trieFd, TRIE_KEY_AT),
    jumpIf('r0', '!=', 0, 'service'),
    label('other-port'),
    countOtherPort,
    jump('pass'),
  ];
}
