/**
 * What to measure: a URL, where one request is made on each connection before it idles, or HOST:PORT, where the bare
 * connection is measured. cli/probe-idle.ts parses, connection.ts dials.
 */

export interface Target {
  readonly kind: 'http' | 'https' | 'tcp';
  /** A name or an address, IPv6 without brackets. */
  readonly host: string;
  readonly port: number;
  /** Path and query of a URL. */
  readonly path: string;
}

const DEFAULT_PORT = { 'http:': 80, 'https:': 443 };

/** Undefined for what is neither. A URL with a password in it is neither: it would end up in histories and logs. */
export function parseTarget(text: string): Target | undefined {
  return /^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? parseUrl(text) : parseHostPort(text);
}

function parseUrl(text: string): Target | undefined {
  if (!URL.canParse(text)) return undefined;
  const { protocol, hostname, port, pathname, search, username, password } = new URL(text);
  if ((protocol !== 'http:' && protocol !== 'https:') || username !== '' || password !== '') return undefined;
  return {
    kind: protocol === 'http:' ? 'http' : 'https',
    host: hostname.replace(/^\[(.*)\]$/, '$1'),
    port: port === '' ? DEFAULT_PORT[protocol] : Number(port),
    path: pathname + search,
  };
}

function parseHostPort(text: string): Target | undefined {
  const [, v6, host, digits] = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9._-]+)):(\d{1,5})$/.exec(text) ?? [];
  const port = Number(digits);
  return port >= 1 && port <= 65_535 ? { kind: 'tcp', host: v6 ?? host, port, path: '' } : undefined;
}

/** As in a URL: what the sentences call the server. */
export function hostPort({ host, port }: Pick<Target, 'host' | 'port'>): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
