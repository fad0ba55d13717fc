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

/** '02:00:00:00:00:0a' as its six bytes; undefined where it is no MAC address. */
export function parseMac(text: string): Uint8Array | undefined {
  if (!/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/i.test(text)) return undefined;
  return Uint8Array.from(text.split(':'), (part) => Number.parseInt(part, 16));
}

export function formatMac(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(':');
}
