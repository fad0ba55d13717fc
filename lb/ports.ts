/**
 * The ports of a service: one, a range, or all of them, as the configuration writes them and as people read them. Used by
 * lb/config-values.ts, lb/config-rules.ts and whatever shows a service.
 */

/** Both included. One port: both are the same. */
export interface PortRange {
  readonly first: number;
  readonly last: number;
}

/** 0 is no port that anybody listens on. */
const ALL_PORTS: PortRange = { first: 1, last: 65_535 };

/** `80`, `8000-8999` or `all`; undefined for anything else. */
export function parsePorts(value: unknown): PortRange | undefined {
  if (value === 'all') return ALL_PORTS;
  const [, from, to] = (typeof value === 'string' && /^([1-9]\d{0,4})-([1-9]\d{0,4})$/.exec(value)) || [];
  const range = typeof value === 'number' ? { first: value, last: value } : { first: Number(from), last: Number(to) };
  const { first, last } = range;
  return Number.isInteger(first) && first >= 1 && first <= last && last <= ALL_PORTS.last ? range : undefined;
}

export function isSinglePort({ first, last }: PortRange): boolean {
  return first === last;
}

export function isAllPorts({ first, last }: PortRange): boolean {
  return first === ALL_PORTS.first && last === ALL_PORTS.last;
}

export function hasPort({ first, last }: PortRange, port: number): boolean {
  return first <= port && port <= last;
}

/** `80`, `8000-8999`, `all`: as the configuration writes it. */
export function portText(ports: PortRange): string {
  if (isAllPorts(ports)) return 'all';
  return isSinglePort(ports) ? String(ports.first) : `${ports.first}-${ports.last}`;
}

/** `port 80`, `ports 8000-8999`, `all ports`: as a sentence says it. */
export function portPhrase(ports: PortRange): string {
  if (isAllPorts(ports)) return 'all ports';
  return `${isSinglePort(ports) ? 'port' : 'ports'} ${portText(ports)}`;
}

/** `198.18.10.1:80`, `[2001:db8::1]:all`. */
export function socketText(vip: string, ports: PortRange): string {
  return `${vip.includes(':') ? `[${vip}]` : vip}:${portText(ports)}`;
}
