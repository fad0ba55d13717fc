/**
 * A subject of case `forwarding`, the wire's limit: an XDP program that swaps the MAC addresses and sends the frame back from
 * within the driver (XDP_TX). Runs inside its namespace until SIGTERM; prints `ready`.
 */
import { loadProgram, XDP_MD_DATA, XDP_MD_DATA_END, XDP_PASS } from '../../io/bpf.ts';
import { alu, assemble, exit, jumpIf, label, load, store } from '../../io/bpf-assembler.ts';
import { attachXdp, requireLink } from '../../io/xdp.ts';

const XDP_TX = 3;
const MACS_LENGTH = 12;

/** r6 packet; r1 and r2 the destination's words, r3 and r4 the source's. */
const programFd = loadProgram(
  'bench_xdp_tx',
  assemble([
    load('u32', 'r6', 'r1', XDP_MD_DATA),
    load('u32', 'r2', 'r1', XDP_MD_DATA_END),
    alu('r3', '=', 'r6'),
    alu('r3', '+=', MACS_LENGTH),
    jumpIf('r3', '>', 'r2', 'too-short'),
    load('u32', 'r1', 'r6', 0),
    load('u16', 'r2', 'r6', 4),
    load('u32', 'r3', 'r6', 6),
    load('u16', 'r4', 'r6', 10),
    store('u32', 'r6', 0, 'r3'),
    store('u16', 'r6', 4, 'r4'),
    store('u32', 'r6', 6, 'r1'),
    store('u16', 'r6', 10, 'r2'),
    alu('r0', '=', XDP_TX),
    exit(),
    label('too-short'),
    alu('r0', '=', XDP_PASS),
    exit(),
  ]),
);
attachXdp({ programFd, interfaceIndex: requireLink('eth0').index, mode: 'native' });
process.once('SIGTERM', () => process.exit(0));
process.stdin.resume();
process.stdout.write('ready\n');
