/** What stands in for the backends where only the balancer is to be measured: an XDP program that counts IPv4 and drops it. */
import { loadProgram, XDP_DROP, XDP_MD_DATA, XDP_MD_DATA_END, XDP_PASS } from '../../io/bpf.ts';
import { alu, assemble, exit, jumpIf, label, load } from '../../io/bpf-assembler.ts';
import { createBpfCounters } from '../../io/bpf-counters.ts';
import { closeDescriptor } from '../../io/ffi.ts';
import { inNamespace } from '../../io/namespace.ts';
import { attachXdp, requireLink } from '../../io/xdp.ts';

const ETHERNET_HEADER = 14;
const ETHERTYPE_AT = 12;
/** As a little-endian load has it. */
const IPV4 = 0x0008;

export interface Sink {
  arrived(): number;
  close(): void;
}

/** At eth0 of a namespace. What is not IPv4, as ARP, passes. */
export function startSink(namespace: string): Sink {
  const counters = createBpfCounters('bench_sink', ['arrived']);
  const programFd = loadProgram(
    'bench_sink',
    assemble([
      load('u32', 'r6', 'r1', XDP_MD_DATA),
      load('u32', 'r2', 'r1', XDP_MD_DATA_END),
      alu('r3', '=', 'r6'),
      alu('r3', '+=', ETHERNET_HEADER),
      jumpIf('r3', '>', 'r2', 'pass'),
      load('u16', 'r6', 'r6', ETHERTYPE_AT),
      jumpIf('r6', '!=', IPV4, 'pass'),
      counters.increment('arrived'),
      alu('r0', '=', XDP_DROP),
      exit(),
      label('pass'),
      alu('r0', '=', XDP_PASS),
      exit(),
    ]),
  );
  const attachment = inNamespace(namespace, () =>
    attachXdp({ programFd, interfaceIndex: requireLink('eth0').index, mode: 'native' }),
  );
  return {
    arrived: () => counters.read().arrived,
    close() {
      attachment.detach();
      closeDescriptor(programFd);
      counters.close();
    },
  };
}
