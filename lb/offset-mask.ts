/** For the files of the walk (lb/forwarder.ts, lb/arrivals.ts), which read packets at places that devices have written down. */

/**
 * Of any place in a device's frame memory, which is less than 1 GiB. Masked with it, a place is a number of which V8 knows
 * that no sum with a header's length overflows, and the checks of every such sum fall away.
 */
export const OFFSET_MASK = 0x3fff_ffff;
