/**
 * What a backend is to serve: the services that it is a backend of, by the balancer's configuration or as the command line says.
 */
import type { Encap, Protocol } from '../lb/config.ts';
import { type PortRange, socketText } from '../lb/ports.ts';

export interface Target {
  /** The service's name, or VIP and port. */
  readonly service: string;
  readonly vip: string;
  readonly protocol: Protocol;
  readonly ports: PortRange;
  readonly encap: Encap;
  /** Of GUE; null with the others. */
  readonly guePort: number | null;
  /** Bytes of the headers that come around packets, and their family. */
  readonly overhead: number;
  readonly outer: 4 | 6;
}

export function isIpv6(address: string): boolean {
  return address.includes(':');
}

/** `198.18.10.1/32`, as `ip address` takes it. */
export function withLength(address: string): string {
  return `${address}/${isIpv6(address) ? 128 : 32}`;
}

export function targetText({ vip, ports }: Target): string {
  return socketText(vip, ports);
}

/** The command that takes this target's headers off. */
export function decapCommand(interfaceName: string, { encap, guePort }: Target, clampsMss: boolean): string {
  const port = guePort === null || guePort === 6080 ? '' : ` --port ${guePort}`;
  return `hushlb decap --interface ${interfaceName} --encap ${encap}${port}${clampsMss ? ' --mss-clamp auto' : ''}`;
}
