/**
 * A service as the command line says it, for a backend that does not have the balancer's configuration at hand: checked by the
 * same schema, so that it means the same.
 */
import type { Config } from '../lb/config.ts';
import { parseConfig } from '../lb/config-file.ts';
import { readHostAddresses } from './read-host.ts';
import { isIpv6 } from './target.ts';

export interface NamedService {
  readonly vip: string;
  readonly port: string;
  readonly protocol: string;
  readonly encap: string;
  /** Of GUE. */
  readonly guePort: number | undefined;
  readonly interface: string | undefined;
}

/**
 * One service whose only backend is this host, at its first address beyond loopback and link. Throws ConfigError for what is
 * no address, no port and so on.
 */
export function servicesOf({ vip, port, protocol, encap, guePort, interface: name }: NamedService): Config['services'] {
  const own = readHostAddresses().filter(
    (each) =>
      each.text !== vip &&
      each.interface !== 'lo' &&
      !each.text.startsWith('fe80:') &&
      (name ?? each.interface) === each.interface,
  );
  const address = (own.find(({ text }) => !isIpv6(text)) ?? own[0])?.text ?? '192.0.2.1';
  const gue = guePort === undefined ? {} : { gue: { port: guePort } };
  const ports = /^\d+$/.test(port) ? Number(port) : port;
  const service = { name: 'service', vip, port: ports, protocol, encap, ...gue, backends: [{ name: 'this', address }] };
  // YAML takes JSON.
  const text = JSON.stringify({ interface: name ?? 'eth0', services: [service] });
  return parseConfig(text, '--vip, --port').config.services;
}
