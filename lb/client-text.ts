/**
 * A client as people name it: `198.18.1.7`, `198.18.1.7:40001`, `2001:db8::7`, `[2001:db8::7]:40001`. Used wherever one is asked for.
 */
import { formatAddress, parseAddress } from '../wire/address.ts';
import { HushlbError } from './errors.ts';

export interface ClientAddress {
  /** In canonical text. */
  readonly address: string;
  readonly port?: number;
}

/** Throws HushlbError CLIENT_INVALID. */
export function parseClient(text: string): ClientAddress {
  const whole = parseAddress(text);
  if (whole !== undefined) return { address: formatAddress(whole) };
  const [, bracketed, plain, digits] = /^(?:\[([^\]]+)\]|([^:]+))(?::(\d{1,5}))?$/.exec(text) ?? [];
  const bytes = parseAddress(bracketed ?? plain ?? '');
  const port = digits === undefined ? undefined : Number(digits);
  if (
    bytes === undefined ||
    (bracketed !== undefined && bytes.length !== 16) ||
    (port !== undefined && port > 65_535)
  ) {
    throw new HushlbError('CLIENT_INVALID', `client ${text}: expected ADDRESS, ADDRESS:PORT or [IPV6]:PORT`);
  }
  return { address: formatAddress(bytes), ...(port !== undefined && { port }) };
}

/** As `parseClient` reads it. */
export function clientText(address: string, port: number): string {
  return `${address.includes(':') ? `[${address}]` : address}:${port}`;
}
