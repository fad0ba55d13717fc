/**
 * Tells when the kernel's view of the network changes, so that the daemon follows routes, neighbours and interfaces
 * without asking all the time. Event-driven, on the event loop of the calling thread, in the network namespace that
 * the thread was in when the watch began; a watch alone does not keep the process alive.
 */
import { closeDescriptor, errno, SystemCallError, watchReadable } from './ffi.ts';
import { openNetlink, receiveMessages } from './netlink.ts';

const RTMGRP_LINK = 0x1;
const RTMGRP_NEIGH = 0x4;
const RTMGRP_IPV4_IFADDR = 0x10;
const RTMGRP_IPV4_ROUTE = 0x40;
const RTMGRP_IPV6_IFADDR = 0x100;
const RTMGRP_IPV6_ROUTE = 0x400;
/** RTNLGRP_NEXTHOP: a route's next hop may change without the route itself (ip nexthop). */
const RTMGRP_NEXTHOP = 0x8000_0000;
const GROUPS =
  RTMGRP_LINK +
  RTMGRP_NEIGH +
  RTMGRP_IPV4_IFADDR +
  RTMGRP_IPV4_ROUTE +
  RTMGRP_IPV6_IFADDR +
  RTMGRP_IPV6_ROUTE +
  RTMGRP_NEXTHOP;
const MSG_DONTWAIT = 0x40;
/** Datagrams read before others on the event loop get their turn: a few full queues, which hold some 256. */
const READS_PER_WAKE = 1024;

export type NetworkChange = 'neighbour' | 'route' | 'link' | 'address';

const EVERYTHING: readonly NetworkChange[] = ['link', 'address', 'route', 'neighbour'];

/** RTM_NEW… and RTM_DEL… types (linux/rtnetlink.h). */
const KINDS: Readonly<Record<number, NetworkChange>> = {
  16: 'link',
  17: 'link',
  20: 'address',
  21: 'address',
  24: 'route',
  25: 'route',
  28: 'neighbour',
  29: 'neighbour',
  104: 'route',
  105: 'route',
};

/** The kinds of the messages of one datagram; `lost` when the kernel had to leave some out, undefined when none waits. */
function readChange(fd: number): NetworkChange[] | 'lost' | undefined {
  try {
    return receiveMessages(fd, MSG_DONTWAIT).flatMap(({ type }) => KINDS[type] ?? []);
  } catch (error) {
    return error instanceof SystemCallError && error.errno === errno.EAGAIN ? undefined : 'lost';
  }
}

/**
 * Calls `onChange` once for each kind of change in a burst, until closed. It says that something changed, not what:
 * read the table again. Changes come with the delay of the event loop. Throws SystemCallError.
 */
export function watchNetwork(onChange: (kind: NetworkChange) => void): { close(): void } {
  const fd = openNetlink(GROUPS);
  let open = true;
  let losing = false;

  function readChanges(): Set<NetworkChange> {
    const changes = new Set<NetworkChange>();
    let empty = false;
    for (let i = 0; i < READS_PER_WAKE && !empty; i++) {
      const change = readChange(fd);
      if (change === undefined) empty = true;
      else if (change === 'lost') losing = true;
      else for (const kind of change) changes.add(kind);
    }
    // The kernel says ENOBUFS once and then goes on to drop without a word until the queue was empty, so everything may
    // have changed up to then.
    if (losing) for (const kind of EVERYTHING) changes.add(kind);
    if (empty) losing = false;
    return changes;
  }

  const watch = watchReadable(fd, () => {
    for (const kind of readChanges()) {
      if (open) onChange(kind);
    }
  });
  return {
    close() {
      if (!open) return;
      open = false;
      watch.close();
      closeDescriptor(fd);
    },
  };
}
