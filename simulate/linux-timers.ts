/**
 * Linux' TCP timers at their defaults (Documentation/networking/ip-sysctl), and the schedules that follow from them. The
 * simulated end points (simulate/tcp-connection.ts) wait by these; a test compares them to the figures that Linux states.
 */

/** TCP_RTO_MIN and TCP_RTO_MAX. On a path of a few milliseconds the first timeout of an established connection is the least. */
export const RTO_MIN_MS = 200;
export const RTO_MAX_MS = 120_000;
/** TCP_TIMEOUT_INIT: the first timeout of SYN and SYN-ACK, when nothing is known of the path. */
export const RTO_INITIAL_MS = 1000;

/** Retransmissions before the kernel gives up: of data (tcp_retries2), SYN, SYN-ACK, and of a socket without a program. */
export const RETRIES = { data: 15, syn: 6, synAck: 5, orphan: 8 } as const;

/** How long a closed socket waits for the peer's FIN (tcp_fin_timeout), and then for stragglers (TCP_TIMEWAIT_LEN). */
export const FIN_WAIT_2_MS = 60_000;
export const TIME_WAIT_MS = 60_000;

/** tcp_keepalive_probes. The first probe's time, tcp_keepalive_time, is the user's to set. */
export const KEEPALIVE_PROBES = 9;
/**
 * tcp_keepalive_intvl. After a probe the timer waits for this long even if the probe was answered or data came: with a
 * shorter tcp_keepalive_time probes still come no more often than this (seen on Linux 6.18: time 1 s, interval 4 s, probes
 * after 1, 5, 9 and 13 s; time 2 s, interval 6 s, data at 2.2 s, probes after 2, 8 and 14 s).
 */
export const KEEPALIVE_INTERVAL_MS = 75_000;
/** The kernel counts both in seconds. */
export const LEAST_KEEPALIVE_MS = 1000;

/** The timeout after `retries` retransmissions: doubled each time, up to the most. */
export function retransmissionTimeout(firstMs: number, retries: number): number {
  return Math.min(firstMs * 2 ** retries, RTO_MAX_MS);
}
