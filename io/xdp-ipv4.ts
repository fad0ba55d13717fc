/**
 * How a BPF program that looks at IPv4 packets begins, and where the fields stand that it reads. The steering programs
 * (io/xdp-steering.ts, io/tap-steering.ts) and the decapsulation program (dsr/decap-program.ts) start with it.
 */
import { XDP_MD_DATA, XDP_MD_DATA_END } from './bpf.ts';
import { alu, type Code, jumpIf, load, networkOrder16 } from './bpf-assembler.ts';

export const ETHERNET_LENGTH = 14;
export const IPV4_MIN_LENGTH = 20;
const ETHERTYPE_AT = 12;

/** From the start of the frame. */
export const VERSION_AT = 14;
export const FRAGMENT_AT = 20;
export const PROTOCOL_AT = 23;
export const DESTINATION_AT = 30;

/**
 * For XDP. Goes on with r6 the context, r7 the start of the frame, r8 its end and r9 the bytes of the IPv4 header, whose
 * first 20 may be read; r1 is free. Jumps to `pass` for what is not IPv4 or says that its header is shorter than 20 bytes.
 */
export function ipv4Prologue(pass: string): Code {
  return [
    alu('r6', '=', 'r1'),
    load('u32', 'r7', 'r6', XDP_MD_DATA),
    load('u32', 'r8', 'r6', XDP_MD_DATA_END),
    alu('r1', '=', 'r7'),
    alu('r1', '+=', ETHERNET_LENGTH + IPV4_MIN_LENGTH),
    jumpIf('r1', '>', 'r8', pass),
    ipv4HeaderLength(pass),
  ];
}

/** The same from where r7 is the start of the first 34 bytes, which may be read. */
export function ipv4HeaderLength(pass: string): Code {
  return [
    load('u16', 'r1', 'r7', ETHERTYPE_AT),
    jumpIf('r1', '!=', networkOrder16(0x0800), pass),
    load('u8', 'r9', 'r7', VERSION_AT),
    alu('r1', '=', 'r9'),
    alu('r1', '>>=', 4),
    jumpIf('r1', '!=', 4, pass),
    alu('r9', '&=', 0x0f),
    jumpIf('r9', '<', IPV4_MIN_LENGTH / 4, pass),
    alu('r9', '<<=', 2),
  ];
}
