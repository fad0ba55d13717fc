/**
 * Facts about a balancer's host and its configuration: the ways to its backends beside what read-host.ts knows. Asks the
 * network one thing, as hushlb does at its start: the MAC address of next hops that the kernel doesn't know yet (ARP, NDP).
 */
import { readFileSync } from 'node:fs';
import { overhead } from '../dsr/encap.ts';
import { type Link, readLink } from '../io/links.ts';
import { probeNeighbour, readNeighbours } from '../io/neighbours.ts';
import { lookupRoute, type Route } from '../io/routes.ts';
import type { Config, ServiceConfig } from '../lb/config.ts';
import { encapsulationOf } from '../lb/forwarding-state.ts';
import { addressBytes, formatAddress } from '../wire/address.ts';
import type { BackendPath, PathFacts, Way } from './path.ts';
import { type HostAddress, inNetworkOf, unlessRefused } from './read-host.ts';

const PATIENCE_MS = 1500;
const AGAIN_AFTER_MS = 300;
const LOOK_EVERY_MS = 20;

/** The ways to backends, with what a packet on them is made of. */
export interface Ways extends PathFacts {
  readonly link: Link;
  /** Of this host. */
  readonly addresses: readonly HostAddress[];
  /** Of next hops that answer. */
  macOf(hop: string): Uint8Array | undefined;
}

export function readWays(config: Pick<Config, 'services'>, link: Link, addresses: readonly HostAddress[]): Ways {
  const own = addresses.filter(({ interface: name }) => name === link.name);
  const isOnLink = (address: string) => inNetworkOf(addressBytes(address), own);
  const backends = [...new Set(config.services.flatMap((service) => service.backends.map((each) => each.address)))];
  const routes = new Map(backends.map((address) => [address, unlessRefused(() => lookupRoute(addressBytes(address)))]));
  const silent = askFor(link, hopsOf(routes, link));
  const ways = new Map(
    backends.map((address) => [address, wayOf(address, routes.get(address), link, silent, isOnLink(address))]),
  );
  const macs = macsBehind(link);
  const gateways = [...routes.values()].flatMap((route) => route?.gateway ?? []).map((each) => formatAddress(each));
  const ofService = (service: ServiceConfig): BackendPath[] =>
    service.backends.map(({ name, address }) => ({
      service: service.name,
      backend: name,
      address,
      encap: service.encap,
      overhead: overhead(encapsulationOf(service), address.includes(':') ? 6 : 4),
      protocol: service.protocol,
      way: ways.get(address) ?? { kind: 'none' },
    }));
  return {
    interface: link.name,
    isOnLink,
    gatewayFor: (address) =>
      gateways.find((gateway) => gateway.includes(':') === address.includes(':')) ??
      (address.includes(':') ? undefined : gatewayBehind(link.name)),
    backends: config.services.flatMap(ofService),
    link,
    addresses,
    macOf: (hop) => macs.get(hop),
  };
}

/** Where frames for these backends go, as text: each is a neighbour to be. */
function hopsOf(routes: ReadonlyMap<string, Route | undefined>, link: Link): Set<string> {
  const hops = [...routes].flatMap(([address, route]) =>
    route === undefined || route.local || route.unreachable || route.interfaceIndex !== link.index
      ? []
      : [route.gateway === undefined ? address : formatAddress(route.gateway)],
  );
  return new Set(hops);
}

/** The MAC address of a next hop, asked for where the kernel doesn't know it; undefined where nobody answers. */
export function macOf(hop: string, link: Link): Uint8Array | undefined {
  askFor(link, new Set([hop]));
  return macsBehind(link).get(hop);
}

function macsBehind(link: Link): ReadonlyMap<string, Uint8Array> {
  const known = unlessRefused(readNeighbours) ?? [];
  return new Map(
    known.flatMap(({ interfaceIndex, address, usable, mac }): [string, Uint8Array][] =>
      interfaceIndex === link.index && usable && mac !== undefined ? [[formatAddress(address), mac]] : [],
    ),
  );
}

/** Has the kernel resolve what it doesn't know, and returns what became of each. */
function askFor(link: Link, hops: ReadonlySet<string>): Map<string, 'silent' | 'unasked'> {
  const missing = (): string[] => {
    const known = macsBehind(link);
    return [...hops].filter((hop) => !known.has(hop));
  };
  const ask = (hop: string): 'silent' | 'unasked' => {
    const mayAsk = unlessRefused(() => {
      probeNeighbour(link.index, addressBytes(hop));
      return true;
    });
    return mayAsk === true ? 'silent' : 'unasked';
  };
  const asked = new Map(missing().map((hop) => [hop, ask(hop)]));
  const mayAnswer = [...asked.values()].includes('silent');
  const begun = performance.now();
  let askedAt = begun;
  for (let left = missing(); mayAnswer && left.length > 0; left = missing()) {
    const now = performance.now();
    if (now - begun > PATIENCE_MS) break;
    // The kernel may have been asking already, and have given up meanwhile.
    if (now - askedAt > AGAIN_AFTER_MS) {
      askedAt = now;
      left.forEach(ask);
    }
    pause(LOOK_EVERY_MS);
  }
  const left = new Set(missing());
  return new Map([...asked].filter(([hop]) => left.has(hop)));
}

/** Without the event loop: doctor does nothing else meanwhile, and stays in the network namespace of its caller. */
function pause(milliseconds: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
}

function wayOf(
  address: string,
  route: Route | undefined,
  link: Link,
  silent: ReadonlyMap<string, 'silent' | 'unasked'>,
  onLink: boolean,
): Way {
  if (route === undefined || route.unreachable) return { kind: 'none' };
  if (route.local) return { kind: 'local' };
  if (route.interfaceIndex !== link.index) {
    return { kind: 'elsewhere', interface: readLink(route.interfaceIndex)?.name ?? 'another interface' };
  }
  const via = route.gateway === undefined ? address : formatAddress(route.gateway);
  return { kind: 'link', via, neighbour: silent.get(via) ?? 'answers', mtu: route.mtu ?? link.mtu, onLink };
}

/** /proc/net/route: interface, destination, gateway, … as 32-bit words in the host's order, in hex. The default route first. */
function gatewayBehind(name: string): string | undefined {
  try {
    const rows = readFileSync('/proc/net/route', 'latin1')
      .split('\n')
      .map((line) => line.split('\t'))
      .filter(([on, , gateway]) => on === name && gateway !== undefined && gateway !== '00000000')
      .sort(([, a], [, b]) => a.localeCompare(b));
    const gateway = rows[0]?.[2];
    return gateway === undefined ? undefined : formatAddress(Uint8Array.from(Buffer.from(gateway, 'hex').reverse()));
  } catch {
    return undefined;
  }
}
