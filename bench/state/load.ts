/**
 * The made-up packets of case `stateful-stateless`, a process inside the router's namespace: the kernel's generator sends them
 * straight onto a balancer's cable, TCP checksums right, source address and port varying. Reads lines
 * `HOST MAC VIP KIND FLOWS COUNT` from stdin and answers each, when the last of COUNT packets went out, with the seconds that
 * took. Kinds: `spoofed` SYNs; `open`, the SYNs of the flows that `traffic` has ACKs of.
 */
import { createInterface } from 'node:readline';
import { createGenerator, type Generator } from '../../io/packet-generator.ts';
import { requireLink } from '../../io/xdp.ts';
import { parseMac } from '../../wire/address.ts';
import { ACK, SYN } from '../../wire/tcp.ts';
import { ackFrame } from '../balancer.ts';

export type LoadKind = 'spoofed' | 'open' | 'traffic';

const KINDS: Readonly<Record<LoadKind, { readonly source: readonly number[]; readonly flags: number }>> = {
  spoofed: { source: [198, 19, 0, 0], flags: SYN },
  open: { source: [198, 19, 1, 0], flags: SYN },
  traffic: { source: [198, 19, 1, 0], flags: ACK },
};

const SOURCE_AT = 26;
const DESTINATION_AT = 30;
const FLAGS_AT = 47;
const WINDOW_AT = 48;

/** Each goes on where it stopped: no spoofed source comes twice. */
const generators = new Map<string, Generator>();

process.stdout.write('ready\n');
for await (const line of createInterface({ input: process.stdin })) {
  const [host, mac, vip, kind, flows, count] = line.split(' ');
  const name = [host, kind, flows].join(' ');
  const generator = generators.get(name) ?? createLoad(host, mac, vip, kind as LoadKind, Number(flows));
  generators.set(name, generator);
  const start = performance.now();
  generator.run(Number(count));
  process.stdout.write(`${(performance.now() - start) / 1000}\n`);
}

/** The router's end of a host's cable has the host's name. */
function createLoad(host: string, mac: string, vip: string, kind: LoadKind, flows: number): Generator {
  const { source, flags } = KINDS[kind];
  const frame = ackFrame(parseMac(mac) ?? new Uint8Array(6));
  frame.set(source, SOURCE_AT);
  frame.set(vip.split('.').map(Number), DESTINATION_AT);
  frame[FLAGS_AT] = flags;
  frame.set([0xff, 0xff], WINDOW_AT);
  const { index: interfaceIndex } = requireLink(host);
  return createGenerator({ interfaceIndex, frame, flows, tcpChecksum: true });
}
