/**
 * Generic UDP encapsulation (draft-ietf-intarea-gue-09; Linux's `fou` with `gue`), without options:
 *
 * ```
 * variant 0   IP │ UDP │ 2 bits 0 │ control 0 │ 5 bits length 0 │ protocol │ 16 bits flags 0 │ inner packet
 * variant 1   IP │ UDP │ inner packet, whose version, 4 or 6, starts with the bits 01
 * ```
 */
// Hot path: no allocation, no throw, no closure, no await.

/** What stands between UDP and the inner packet of variant 0. */
export const GUE_HEADER_LENGTH = 4;
/** IANA's `gue`. */
export const GUE_PORT = 6080;

/** Variant 0's header; `protocol` is of the inner packet: 4 or 41. */
export function writeHeader(view: DataView, offset: number, protocol: number): void {
  view.setInt32(offset, protocol << 16);
}

/**
 * The source port of a flow: one of the 16,384 dynamic ports, so that what looks at ports (routers with several paths, a
 * backend's network card with several queues) tells flows apart and keeps each in order.
 */
export function sourcePortOf(hash: number): number {
  return 0xc000 | (hash >>> 18);
}
