/**
 * A server on the VIP: somebody who listens on each service's port, on the VIP or on any address.
 */
import type { Listener } from '../io/listeners.ts';
import { hasPort, isSinglePort } from '../lb/ports.ts';
import { formatAddress } from '../wire/address.ts';
import { type Finding, tell } from './finding.ts';
import { isIpv6, type Target, targetText } from './target.ts';

const { ok, warning, error } = tell('listener');

export interface ListenerFacts {
  readonly tcp: readonly Listener[];
  readonly udp: readonly Listener[];
}

export function judgeListeners(facts: ListenerFacts, targets: readonly Target[]): Finding[] {
  return targets.map((target) => judgeTarget(facts[target.protocol], target));
}

function judgeTarget(listeners: readonly Listener[], target: Target): Finding {
  const { protocol, ports, vip } = target;
  const onPort = listeners.filter(({ port }) => hasPort(ports, port));
  const serving = onPort.find((listener) => serves(listener, vip));
  const what = `${targetText(target)} ${protocol}`;
  if (serving !== undefined) {
    const { address, port } = serving;
    const where = isAny(address) ? 'any address' : 'the VIP';
    return ok('listener', `${what}: a server listens on ${where}, port ${port}`);
  }
  const answer = protocol === 'tcp' ? 'a RST' : 'ICMP port unreachable';
  if (onPort.length > 0) {
    const where = [...new Set(onPort.map(({ address, port }) => `${formatAddress(address)} port ${port}`))].join(', ');
    return error(
      'listener-elsewhere',
      `${what}: a server listens, but only on ${where}`,
      `the kernel answers packets for the VIP with ${answer}. Have the server listen on the VIP or on any address`,
      [showCommand(target)],
    );
  }
  // Of many ports some may be without a server on purpose.
  const bad = isSinglePort(ports) ? error : warning;
  return bad(
    'no-listener',
    `${what}: no server listens`,
    `the kernel answers packets for the VIP with ${answer}. Start the server; this shows what it listens on`,
    [showCommand(target)],
  );
}

function showCommand({ protocol, ports: { first } }: Target): string {
  return `ss -ln${protocol === 'tcp' ? 't' : 'u'}p 'sport = :${first}'`;
}

function isAny(address: Uint8Array): boolean {
  return address.every((byte) => byte === 0);
}

/** A socket on :: takes IPv4 as well, unless it said otherwise, which /proc does not show. */
function serves({ address }: Listener, vip: string): boolean {
  if (isAny(address)) return address.length === 16 || !isIpv6(vip);
  const text = formatAddress(address);
  return text === vip || text === `::ffff:${vip}`;
}
