/** Generic routing encapsulation (RFC 2784) in its shortest form: no checksum, no key, no sequence number. */
// Hot path: no allocation, no throw, no closure, no await.

export const PROTOCOL_GRE = 47;
export const GRE_HEADER_LENGTH = 4;

/** `type` is the EtherType of what follows. Flags and version are 0. */
export function writeHeader(view: DataView, offset: number, type: number): void {
  view.setInt32(offset, type);
}
