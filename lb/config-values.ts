/**
 * Single values of a configuration: what is accepted for each, and what it becomes. lb/config.ts puts them together. A
 * rule's message is the text that follows "expected" in a problem.
 */
import * as z from 'zod';
import { isPrime, MAX_TABLE_SIZE, nextPrime } from '../hashing/lookup-table.ts';
import { formatAddress, isIpv4Mapped, parseAddress } from '../wire/address.ts';
import { expectedDuration, parseDuration } from './duration.ts';
import { type PortRange, parsePorts } from './ports.ts';

const MIN_TABLE_SIZE = 7;
const MAX_BUSY_POLL_US = 10_000;

export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

export function wholeNumber(min: number, max: number): z.ZodInt {
  const error = `a whole number from ${min} to ${max}`;
  return z.int(error).min(min, error).max(max, error);
}

export function powerOfTwo(min: number, max: number): z.ZodInt {
  const error = `a power of two from ${min} to ${max}`;
  const isRight = (value: number) => value >= min && value <= max && (value & (value - 1)) === 0;
  return z.int(error).refine(isRight, error);
}

export function oneOf<const T extends string>(...values: T[]): z.ZodEnum<{ [K in T]: K }> {
  return z.enum(values, `one of ${values.join(', ')}`);
}

/** A whole number, or one of a few words instead. */
export function numberOr<const T extends string>(
  min: number,
  max: number,
  ...words: T[]
): z.ZodUnion<[z.ZodLiteral<T>, z.ZodInt]> {
  const expected = `${words.join(', ')} or a whole number from ${min} to ${max}`;
  return z.union([z.literal(words), z.int(expected).min(min, expected).max(max, expected)], expected);
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function text(expected: string, isRight: (text: string) => boolean): z.ZodString {
  return z.string(expected).refine(isRight, expected);
}

export const name = text(
  "a name: 1 to 63 letters, digits, '.', '_', ':' or '-', the first a letter or digit",
  (value) => /^[A-Za-z0-9][A-Za-z0-9._:-]{0,62}$/.test(value),
);

/** Whole octets; lower case out. Digits alone are a number to YAML, which loses leading zeros: they need quotes. */
export const hexadecimal = text('whole octets in hexadecimal and in quotes, such as "c4605e"', (value) =>
  /^([0-9a-fA-F]{2})+$/.test(value),
).toLowerCase();

// The kernel's rule (dev_valid_name): no slash, colon or white space, and fewer than IFNAMSIZ = 16 bytes.
export const interfaceName = text(
  'the name of a network interface, such as eth0',
  (value) => /^[^\s/:\p{C}]{1,15}$/u.test(value) && Buffer.byteLength(value) < 16 && value !== '.' && value !== '..',
);

/** Canonical text out (wire/address.ts). */
export const unicast = z.unknown().transform((value, context): string => {
  const bytes = parseAddress(textOf(value));
  const expected = bytes === undefined ? ADDRESS : whyNotUnicast(bytes);
  if (bytes !== undefined && expected === undefined) return formatAddress(bytes);
  context.addIssue({ code: 'custom', message: expected ?? ADDRESS });
  return z.NEVER;
});

const ADDRESS = 'a unicast address, such as 198.18.10.1 or 2001:db8::1';

/** RFC 4291, 2.4 and 2.5; RFC 1122, 3.2.1.3. Undefined for an address that packets can be sent to. */
function whyNotUnicast(bytes: Uint8Array): string | undefined {
  const [first, second] = bytes;
  if (bytes.length === 4) {
    if (first === 0) return 'a unicast address, not an unspecified one';
    if (first === 127) return 'a unicast address, not a loopback one';
    if (first >= 224) return `a unicast address, not a ${first < 240 ? 'multicast' : 'reserved'} one`;
    return undefined;
  }
  if (isIpv4Mapped(bytes)) return `the IPv4 address itself, ${formatAddress(bytes.subarray(12))}`;
  if (first === 0xff) return 'a unicast address, not a multicast one';
  if (first === 0xfe && (second & 0xc0) === 0x80)
    return 'an address that is not link-local, because that names nobody without its interface';
  if (bytes.subarray(0, 15).some((byte) => byte !== 0) || bytes[15] > 1) return undefined;
  return `a unicast address, not ${bytes[15] === 0 ? 'an unspecified' : 'a loopback'} one`;
}

export const ports = z.unknown().transform((value, context): PortRange => {
  const range = parsePorts(value);
  if (range !== undefined) return range;
  context.addIssue({ code: 'custom', message: 'a port from 1 to 65535, a range such as 8000-8999, or all' });
  return z.NEVER;
});

export const duration = z.unknown().transform((value, context) => {
  const ms = parseDuration(textOf(value));
  if (ms !== undefined) return ms;
  context.addIssue({ code: 'custom', message: expectedDuration(value) });
  return z.NEVER;
});

export const tableSize = wholeNumber(MIN_TABLE_SIZE, MAX_TABLE_SIZE).refine(
  (size) => size < MIN_TABLE_SIZE || size > MAX_TABLE_SIZE || isPrime(size),
  { error: ({ input }) => `a prime number (the next one is ${nextPrime(input as number)})` },
);

export const listen = z.unknown().transform((value, context): ListenAddress => {
  const [, v6, host, port] = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9.-]+)):(\d{1,5})$/.exec(textOf(value)) ?? [];
  if (Number(port) >= 1 && Number(port) <= 65_535) return { host: v6 ?? host, port: Number(port) };
  context.addIssue({ code: 'custom', message: 'HOST:PORT, such as 127.0.0.1:9108' });
  return z.NEVER;
});

export const busyPollUs = z.unknown().transform((value, context) => {
  if (value === false) return null;
  const us = Number(/^(\d{1,5})us$/.exec(textOf(value))?.[1]);
  if (us >= 1 && us <= MAX_BUSY_POLL_US) return us;
  context.addIssue({ code: 'custom', message: `false or a time from 1us to ${MAX_BUSY_POLL_US}us, such as 50us` });
  return z.NEVER;
});

/** For an unknown key the message is the list of the known ones, from which config-problems.ts picks the nearest. */
export function mapping<T extends z.ZodRawShape>(shape: T): z.ZodObject<T, z.core.$strict> {
  const keys = Object.keys(shape).join(', ');
  return z.strictObject(shape, { error: (issue) => (issue.code === 'unrecognized_keys' ? keys : 'a mapping') });
}
