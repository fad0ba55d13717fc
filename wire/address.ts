/**
 * Addresses as text, as numbers and as bytes. Cold code: configuration, logs and tests call it, packets never do.
 */

const DECIMAL_OCTET = /^(0|[1-9]\d{0,2})$/;

/** '198.18.0.1' as 0xc6120001; undefined where it is no dotted quad (leading zeros are refused: they read as octal). */
export function parseIpv4(text: string): number | undefined {
  const parts = text.split('.');
  if (parts.length !== 4) return undefined;
  let value = 0;
  for (const part of parts) {
    if (!DECIMAL_OCTET.test(part) || Number(part) > 255) return undefined;
    value = value * 256 + Number(part);
  }
  return value;
}

export function formatIpv4(address: number): string {
  return `${address >>> 24}.${(address >>> 16) & 255}.${(address >>> 8) & 255}.${address & 255}`;
}

/** The four bytes in network order. */
export function ipv4Bytes(address: number): Uint8Array {
  return Uint8Array.of(address >>> 24, (address >>> 16) & 255, (address >>> 8) & 255, address & 255);
}

export function ipv4FromBytes(bytes: Uint8Array): number {
  if (bytes.length !== 4) throw new RangeError(`expected 4 bytes of an IPv4 address, got ${bytes.length}`);
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(0);
}

const IPV6_GROUPS = 8;

/** Sixteen bytes; undefined where it is none of the three forms of RFC 4291, 2.2. An address with a zone (`%eth0`) is none. */
export function parseIpv6(text: string): Uint8Array | undefined {
  const halves = text.split('::');
  if (halves.length > 2) return undefined;
  const front = groupsOf(halves[0], halves.length === 1);
  const back = halves.length === 1 ? [] : groupsOf(halves[1], true);
  if (front === undefined || back === undefined) return undefined;
  const missing = IPV6_GROUPS - front.length - back.length;
  // '::' stands for one group or more.
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined;
  const groups = [...front, ...new Array<number>(missing).fill(0), ...back];
  return Uint8Array.from(groups.flatMap((group) => [group >> 8, group & 255]));
}

/** The 16-bit groups of one side of '::'; only the end of an address may be a dotted quad. */
function groupsOf(half: string, isEnd: boolean): number[] | undefined {
  if (half === '') return [];
  const parts = half.split(':');
  const groups: number[] = [];
  for (const [i, part] of parts.entries()) {
    const quad = isEnd && i === parts.length - 1 ? parseIpv4(part) : undefined;
    if (quad !== undefined) groups.push(quad >>> 16, quad & 0xffff);
    else if (/^[0-9a-f]{1,4}$/i.test(part)) groups.push(Number.parseInt(part, 16));
    else return undefined;
  }
  return groups;
}

/** The one text that RFC 5952 recommends: lower case, the first of the longest runs of zero groups left out. */
export function formatIpv6(bytes: Uint8Array): string {
  if (bytes.length !== 16) throw new RangeError(`expected 16 bytes of an IPv6 address, got ${bytes.length}`);
  if (isIpv4Mapped(bytes)) return `::ffff:${formatIpv4(ipv4FromBytes(bytes.subarray(12)))}`;
  const groups = Array.from({ length: IPV6_GROUPS }, (_, i) => (bytes[2 * i] << 8) | bytes[2 * i + 1]);
  let [from, length] = [0, 0];
  for (let i = 0; i < IPV6_GROUPS; i++) {
    let end = i;
    while (groups[end] === 0) end++;
    if (end - i > length) [from, length] = [i, end - i];
  }
  const text = (some: number[]) => some.map((group) => group.toString(16)).join(':');
  // A single zero group is written out (RFC 5952, 4.2.2).
  return length < 2 ? text(groups) : `${text(groups.slice(0, from))}::${text(groups.slice(from + length))}`;
}

/** ::ffff:0:0/96 (RFC 4291, 2.5.5.2): an IPv4 address as sockets show it, never one of a packet. */
export function isIpv4Mapped(bytes: Uint8Array): boolean {
  return bytes.length === 16 && bytes.subarray(0, 12).every((byte, i) => byte === (i < 10 ? 0 : 255));
}

/** Four or sixteen bytes in network order; undefined for what is no address. */
export function parseAddress(text: string): Uint8Array | undefined {
  const ipv4 = parseIpv4(text);
  return ipv4 === undefined ? parseIpv6(text) : ipv4Bytes(ipv4);
}

/** The bytes of a text that is known to be an address, of a checked configuration for example. */
export function addressBytes(text: string): Uint8Array {
  const bytes = parseAddress(text);
  if (bytes === undefined) throw new TypeError(`not an IP address: ${text}`);
  return bytes;
}

export function formatAddress(bytes: Uint8Array): string {
  return bytes.length === 4 ? formatIpv4(ipv4FromBytes(bytes)) : formatIpv6(bytes);
}

/** '02:00:00:00:00:0a' as its six bytes; undefined where it is no MAC address. */
export function parseMac(text: string): Uint8Array | undefined {
  if (!/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/i.test(text)) return undefined;
  return Uint8Array.from(text.split(':'), (part) => Number.parseInt(part, 16));
}

export function formatMac(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(':');
}
