/**
 * What `hushlb decap` has attached follows its host: tunnels may end at an address that is new, and an interface that is gone
 * took the programs with it. Called by decap.ts.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Logger } from 'pino';
import type { Decap } from '../dsr/decap.ts';
import type { SynAckClamp } from '../dsr/syn-ack-clamp.ts';
import { errno, SystemCallError } from '../io/ffi.ts';
import { readAllAddresses, readLink } from '../io/links.ts';
import { watchNetwork } from '../io/network-watch.ts';
import { HushlbError } from '../lb/errors.ts';

export interface FollowedHost {
  /** Rejects when the interface is gone, or the programs can't be changed. */
  readonly failed: Promise<never>;
  close(): void;
}

/** The addresses of this host, at each of which a tunnel may end. Throws SystemCallError. */
export function ownAddresses(): Uint8Array[] {
  return readAllAddresses().map(({ address }) => address);
}

/** `addresses` are those that `decap` was attached with. Throws SystemCallError, and HushlbError if the interface is gone. */
export function followHost(
  interfaceName: string,
  interfaceIndex: number,
  addresses: readonly Uint8Array[],
  decap: Decap,
  clamp: SynAckClamp | undefined,
  logger: Logger,
): FollowedHost {
  let followed = addresses;
  const gone = (): HushlbError =>
    new HushlbError('INTERFACE_MISSING', `interface ${interfaceName} is gone, and with it what was attached`);

  /** Between any two of its steps the interface may go. */
  function look(): void {
    try {
      followChanges();
    } catch (error) {
      // ENOLINK: the kernel takes the programs off before the interface is out of its list.
      const isGone = error instanceof SystemCallError && [errno.ENOLINK, errno.ENODEV].includes(error.errno);
      throw isGone ? gone() : error;
    }
  }

  function followChanges(): void {
    if (readLink(interfaceIndex) === undefined) throw gone();
    const now = ownAddresses();
    // Without any address nothing arrives, and the next one is heard of.
    const areOthers = now.length > 0 && !isDeepStrictEqual(now, followed);
    if (areOthers) {
      decap.follow(now);
      followed = now;
    }
    const isClampedOtherwise = clamp?.follow() ?? false;
    if (areOthers || isClampedOtherwise) {
      const mss = clamp && { mss: clamp.largest[4], mss6: clamp.largest[6] };
      logger.info({ addresses: followed.length, ...mss }, 'follows the addresses of this host');
    }
  }

  let fail: (error: unknown) => void = () => {};
  const failed = new Promise<never>((_, reject) => (fail = reject));
  failed.catch(() => {});
  const watch = watchNetwork((kind) => {
    if (kind !== 'link' && kind !== 'address') return;
    try {
      look();
    } catch (error) {
      fail(error);
    }
  });
  try {
    // What changed before the watch began.
    look();
  } catch (error) {
    watch.close();
    throw error;
  }
  return { failed, close: () => watch.close() };
}
