/**
 * How a BPF program that looks at IPv4 packets without tags begins, and where the fields stand that it reads: for the
 * backend's programs (dsr/decap-program.ts, dsr/syn-ack-clamp-program.ts). Steering looks at more (io/steering-program.ts).
 */
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
 * With r7 the start of the frame's first 34 bytes, which may be read: goes on with r9 the bytes of the IPv4 header; r1 is free.
 * Jumps to `pass` for what is not IPv4 or says that its header is shorter than 20 bytes.
 */
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
