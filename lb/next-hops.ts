/**
 * Where each backend is right now: the kernel's route to it, and the MAC of that route's next hop. Runs on the main thread
 * beside the packets; follows the kernel by its notifications, and has it ask again for neighbours that it would let go
 * stale, because frames sent through AF_XDP don't tell the kernel that a neighbour is in use. Used by lb/daemon.ts.
 */
import { SystemCallError } from '../io/ffi.ts';
import type { Link } from '../io/links.ts';
import { type Neighbour, probeNeighbour, readNeighbours } from '../io/neighbours.ts';
import { watchNetwork } from '../io/network-watch.ts';
import { lookupRoute, type Route } from '../io/routes.ts';
import { addressBytes, formatAddress, formatMac } from '../wire/address.ts';
import type { Hop } from './forwarding-state.ts';

/** A backend's way: a hop, or why there is none. `waiting` for a neighbour may end by itself, a wrong route will not. */
export type Way =
  /** `fixed`: an administrator's entry. The kernel would forget it if it were told to use it (Linux 6.18). */
  | { readonly kind: 'hop'; readonly hop: Hop; readonly via: string; readonly fixed: boolean }
  | { readonly kind: 'waiting'; readonly why: string }
  | { readonly kind: 'unreachable'; readonly why: string };

export interface NextHopTable {
  way(address: string): Way;
  /** The hop alone, for lb/forwarding-state.ts. */
  hopOf(address: string): Hop | undefined;
  /** Follows these from now on, and no others; new ones are looked up at once. Throws SystemCallError, then nothing changed. */
  follow(addresses: readonly string[]): void;
  /** All ways lead through this interface from now on: it was made anew, or its MTU is another. */
  through(link: Link): void;
  close(): void;
}

/** Changes come in bursts (a link that comes up brings dozens): one look at the kernel serves them all. */
const SETTLE_MS = 20;
/** How often unresolved neighbours are asked for. */
const RETRY_MS = 1000;
/** How often resolved ones are asked again; the kernel's own base_reachable_time is 30 s. */
const REFRESH_MS = 30_000;

/**
 * Looks up all `initial` addresses through `link` and keeps looking; calls `onChange` with those whose way has changed.
 * Throws SystemCallError where netlink is refused.
 */
export function followNextHops(
  initialLink: Link,
  initial: readonly string[],
  onChange: (changed: readonly string[]) => void,
): NextHopTable {
  let link = initialLink;
  let addresses = initial;
  let ways = new Map<string, Way>();
  let settling: NodeJS.Timeout | undefined;

  /** As they were looked up, until the kernel says that something of them has changed. */
  const routes: Routes = new Map();

  const look = (): void => {
    settling = undefined;
    const before = ways;
    ways = lookUpWays(link, addresses, routes);
    const changed = addresses.filter((address) => !isSame(before.get(address), ways.get(address)));
    for (const address of changed) if (ways.get(address)?.kind === 'waiting') askAgain(address);
    if (changed.length > 0) onChange(changed);
  };
  const retry = (kind: Way['kind']): void => {
    for (const address of addresses) {
      const way = ways.get(address);
      if (way?.kind === kind && !(way.kind === 'hop' && way.fixed)) askAgain(address);
    }
  };

  ways = lookUpWays(link, addresses, routes);
  for (const [address, { kind }] of ways) if (kind === 'waiting') askFor(address);
  const watch = watchNetwork((kind) => {
    if (kind !== 'neighbour') routes.clear();
    settling ??= setTimeout(look, SETTLE_MS);
  });
  const retrying = setInterval(() => {
    retry('waiting');
    // A neighbour's route is asked for anew while it does not answer; those that are in use are watched.
    for (const [address, { kind }] of ways) if (kind !== 'hop') routes.delete(address);
    look();
  }, RETRY_MS).unref();
  const refreshing = setInterval(() => retry('hop'), REFRESH_MS).unref();

  return {
    way: (address) => ways.get(address) ?? { kind: 'unreachable', why: 'nobody asked for it' },
    hopOf(address) {
      const way = ways.get(address);
      return way?.kind === 'hop' ? way.hop : undefined;
    },
    follow(wanted) {
      const added = wanted.filter((address) => !ways.has(address));
      const found = added.length === 0 ? new Map<string, Way>() : lookUpWays(link, added, routes);
      for (const [address, { kind }] of found) if (kind === 'waiting') askFor(address);
      addresses = wanted;
      ways = new Map(
        addresses.flatMap((address) => {
          const way = found.get(address) ?? ways.get(address);
          return way === undefined ? [] : [[address, way] as const];
        }),
      );
    },
    through(next) {
      link = next;
      routes.clear();
      look();
    },
    close() {
      watch.close();
      clearTimeout(settling);
      clearInterval(retrying);
      clearInterval(refreshing);
    },
  };
}

/** By destination. A look-up takes 65 µs: ten thousand of them, at every change of a neighbour, would be all that is done. */
type Routes = Map<string, Route | undefined>;

function lookUpWays(link: Link, addresses: readonly string[], routes: Routes): Map<string, Way> {
  const neighbours = new Map<string, Neighbour>();
  for (const neighbour of readNeighbours()) {
    if (neighbour.interfaceIndex === link.index) neighbours.set(formatAddress(neighbour.address), neighbour);
  }
  return new Map(addresses.map((address) => [address, lookUpWay(link, address, neighbours, routes)]));
}

function lookUpWay(link: Link, address: string, neighbours: ReadonlyMap<string, Neighbour>, routes: Routes): Way {
  if (!routes.has(address)) routes.set(address, lookupRoute(addressBytes(address)));
  const route = routes.get(address);
  const wrong = whatIsWrong(link, route);
  if (route === undefined || wrong !== undefined)
    return { kind: 'unreachable', why: wrong ?? 'there is no route to it' };
  const via = nextHopOf(address, route);
  const neighbour = neighbours.get(via);
  if (neighbour?.usable !== true || neighbour.mac === undefined || route.source === undefined) {
    const question = via.includes(':') ? 'neighbour solicitations' : 'ARP';
    return { kind: 'waiting', why: `${via} does not answer ${question} on ${link.name}` };
  }
  const hop = { mac: neighbour.mac, source: route.source, mtu: route.mtu ?? link.mtu };
  return { kind: 'hop', hop, via, fixed: neighbour.state === 'PERMANENT' };
}

function whatIsWrong(link: Link, route: Route | undefined): string | undefined {
  if (route === undefined || route.unreachable) return 'there is no route to it';
  if (route.local) return 'it is an address of this host';
  if (route.interfaceIndex !== link.index) return `its route does not lead through ${link.name}`;
  return undefined;
}

/** Of an IPv4 backend too the gateway may have an IPv6 address (RFC 5549): only its MAC counts. */
function nextHopOf(address: string, route: Route): string {
  return route.gateway === undefined ? address : formatAddress(route.gateway);
}

/** The interface may go away at any moment; the next look tells. */
function askAgain(address: string): void {
  try {
    askFor(address);
  } catch (error) {
    if (!(error instanceof SystemCallError)) throw error;
  }
}

function askFor(address: string): void {
  const route = lookupRoute(addressBytes(address));
  if (route !== undefined && !route.local && !route.unreachable) {
    probeNeighbour(route.interfaceIndex, addressBytes(nextHopOf(address, route)));
  }
}

/** As `describe` would say it: ten thousand texts a second would be most of what the main thread does. */
function isSame(one: Way | undefined, other: Way | undefined): boolean {
  if (one === undefined || other === undefined || one.kind !== 'hop' || other.kind !== 'hop') {
    return describe(one) === describe(other);
  }
  const [a, b] = [one.hop, other.hop];
  return one.via === other.via && a.mtu === b.mtu && areEqual(a.mac, b.mac) && areEqual(a.source, b.source);
}

function areEqual(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

/** One line a way, the same for equal ways: what is compared, and what the log says. */
export function describe(way: Way | undefined): string {
  if (way === undefined) return 'unknown';
  if (way.kind !== 'hop') return way.why;
  const { mac, source, mtu } = way.hop;
  return `via ${way.via} at ${formatMac(mac)} from ${formatAddress(source)}, mtu ${mtu}`;
}
