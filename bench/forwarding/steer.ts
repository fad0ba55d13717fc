/** The steering programs for the benchmark's one service on `eth0`: the same for the reflectors as for `hushlb run`. */
import type { Link } from '../../io/links.ts';
import { attachTapGuard } from '../../io/tap-guard.ts';
import { createTapSteering } from '../../io/tap-steering.ts';
import { attachXdp, requireLink } from '../../io/xdp.ts';
import { createSteering } from '../../io/xdp-steering.ts';
import { ipv4Bytes, parseIpv4 } from '../../wire/address.ts';
import { PROTOCOL_TCP } from '../../wire/ipv4.ts';
import { PORT, VIP } from '../balancer.ts';

const SERVICE = { address: ipv4Bytes(parseIpv4(VIP) ?? 0), protocol: PROTOCOL_TCP, ports: { first: PORT, last: PORT } };

export interface SteeredService {
  readonly link: Link;
  /** XSKMAP that the socket of queue 0 enters itself into. */
  readonly socketMapFd: number;
  /** Once that has happened. Ends with the process. */
  attach(): void;
}

export function steerService(): SteeredService {
  const link = requireLink('eth0');
  const steering = createSteering({ queueCount: 1 });
  steering.setServices([SERVICE]);
  return {
    link,
    socketMapFd: steering.socketMapFd,
    attach: () => void attachXdp({ programFd: steering.programFd, interfaceIndex: link.index, mode: 'native' }),
  };
}

/** For packet sockets, the guard attached; it ends with the process. */
export async function tapService(): Promise<{ readonly link: Link; readonly filterFd: number }> {
  const link = requireLink('eth0');
  const { guardFd, filterFd, setServices } = createTapSteering();
  setServices([SERVICE]);
  const guard = await attachTapGuard({ programFd: guardFd, interfaceIndex: link.index });
  guard.setServices([SERVICE]);
  return { link, filterFd };
}
