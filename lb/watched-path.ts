/**
 * A packet path and the interface that it was opened on, told apart from all others: one that was deleted and made anew may have
 * its name and even its index, and has neither its sockets nor its programs. Opened by lb/path-keeper.ts.
 */
import { SystemCallError } from '../io/ffi.ts';
import { type InterfaceSentinel, openInterfaceSentinel } from '../io/interface-sentinel.ts';
import type { Link } from '../io/links.ts';
import { openPacketPath, type PacketPath, type PacketPathInput } from './packet-path.ts';

export interface WatchedPath extends PacketPath {
  /** Whether it leads through what has the name now. */
  isOn(now: Link | undefined): boolean;
}

/** Packets flow when it resolves. Throws as `openPacketPath`. */
export async function openWatchedPath(input: PacketPathInput): Promise<WatchedPath> {
  const { index } = input.link;
  // First, so that no part of the path is on an interface that nobody watches.
  const sentinel = sentinelOn(index);
  try {
    const path = await openPacketPath(input);
    return {
      ...path,
      isOn: (now) => now?.index === index && sentinel?.isGone() !== true,
      async close() {
        await path.close();
        sentinel?.close();
      },
    };
  } catch (error) {
    sentinel?.close();
    throw error;
  }
}

/** Where it is refused, so is the path, with a better word for why. */
function sentinelOn(interfaceIndex: number): InterfaceSentinel | undefined {
  try {
    return openInterfaceSentinel(interfaceIndex);
  } catch (error) {
    if (error instanceof SystemCallError) return undefined;
    throw error;
  }
}
