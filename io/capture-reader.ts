/**
 * Reads a capture file, pcap or pcapng, whatever its byte order and the precision of its times: the one door for everyone
 * who is given a capture (`hushlb replay`, the pcap device).
 */
import type { ByteSource } from './byte-source.ts';
import { PcapError, readPcap } from './pcap.ts';
import { type PcapngReadOptions, type ReadPacket, readPcapng } from './pcapng-reader.ts';

const PCAPNG = 0x0a0d0d0a;

/**
 * The packets of a capture, one at a time; `bytes` of each are good until the next, or for ever where the source is in
 * memory. Throws PcapError, and the errors of the source: for a file header before the first packet, for what is damaged
 * later after the packets in front of it.
 */
export function* readCapture(
  source: ByteSource,
  options: PcapngReadOptions = {},
): Generator<ReadPacket, void, undefined> {
  if (source.want(4) === 4 && source.view.getUint32(source.at) === PCAPNG) {
    yield* readPcapng(source, options);
    return;
  }
  if (options.interface !== undefined) {
    throw new PcapError(source.name, 0, 'only pcapng files name their interfaces, and this is none');
  }
  for (const packet of readPcap(source)) yield { ...packet, direction: undefined };
}
