/**
 * A port range as the fewest prefixes that cover it, for a map that knows prefixes only (io/service-map.ts). 8000-8999 is
 * 8000/10, 8064/9, 8192/7, 8704/8, 8960/11 and 8992/13.
 */

/** Ports from `first` to `last`, both included, 0 to 65535. */
export interface PortRange {
  readonly first: number;
  readonly last: number;
}

const LAST_PORT = 0xffff;
export const PORT_BITS = 16;

/** With port 0, which nobody uses, or without. */
export function isAllPorts({ first, last }: PortRange): boolean {
  return first <= 1 && last === LAST_PORT;
}

export interface PortPrefix {
  readonly port: number;
  /** Leading bits of the port that count: 16 for one port, 0 for all. */
  readonly bits: number;
}

/** At most 30. Throws RangeError for what is no range of ports. */
export function portPrefixes({ first, last }: PortRange): PortPrefix[] {
  checkRange({ first, last });
  const prefixes: PortPrefix[] = [];
  for (let port = first; port <= last; ) {
    // As large as the port's trailing zeros allow, and as the range has room for.
    let size = port === 0 ? LAST_PORT + 1 : port & -port;
    while (port + size - 1 > last) size /= 2;
    prefixes.push({ port, bits: PORT_BITS - Math.log2(size) });
    port += size;
  }
  return prefixes;
}

export function checkRange({ first, last }: PortRange): void {
  const isPort = (port: number) => Number.isInteger(port) && port >= 0 && port <= LAST_PORT;
  if (!isPort(first) || !isPort(last) || first > last) {
    throw new RangeError(`ports: expected a range within 0 to ${LAST_PORT}, got ${first}-${last}`);
  }
}
