/**
 * Who has which address in the lab, in IPv4 and in IPv6: the same network in either family. lab/topology.ts describes it,
 * and whoever talks to a host asks here.
 */

export type Family = 4 | 6;

export interface Addresses {
  readonly family: Family;
  readonly vip: string;
  readonly client: string;
  /** The client's default gateway, and everybody else's on the LAN: both are the router. */
  readonly clientGateway: string;
  readonly lanGateway: string;
  /** Length of a network's prefix, and of a single address's. */
  readonly network: number;
  readonly single: number;
  /** Its own, not the VIP: lb, and a second balancer, lb2. A layer-7 balancer listens there. */
  balancer(name: string): string;
  /** b1 to b9. */
  backend(name: string): string;
}

const BALANCER_NUMBERS: Readonly<Record<string, number>> = { lb: 10, lb2: 11 };

export const IPV4: Addresses = {
  family: 4,
  vip: '198.18.10.1',
  client: '198.18.0.2',
  clientGateway: '198.18.0.1',
  lanGateway: '198.18.2.254',
  network: 24,
  single: 32,
  balancer: (name) => `198.18.2.${BALANCER_NUMBERS[name]}`,
  backend: (name) => `198.18.2.${name.slice(1)}`,
};

export const IPV6: Addresses = {
  family: 6,
  vip: '2001:db8:10::1',
  client: '2001:db8::2',
  clientGateway: '2001:db8::1',
  lanGateway: '2001:db8:2::254',
  network: 64,
  single: 128,
  balancer: (name) => `2001:db8:2::${BALANCER_NUMBERS[name]}`,
  backend: (name) => `2001:db8:2::${name.slice(1)}`,
};

export function addressesOf(family: Family): Addresses {
  return family === 6 ? IPV6 : IPV4;
}

/** A host and a port, as URLs and configurations of web servers write them. */
export function hostPort(host: string, port: number): string {
  return `${bracketed(host)}:${port}`;
}

/** As a URL writes a host. */
export function bracketed(host: string): string {
  return host.includes(':') ? `[${host}]` : host;
}
