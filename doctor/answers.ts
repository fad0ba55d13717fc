/**
 * A backend's answers: a route to clients, an MSS that leaves room for the balancer's headers on the way here, and what the
 * kernel's counters say of packets that came damaged.
 */
import { type Finding, tell } from './finding.ts';
import { FULL_SIZE } from './path.ts';
import { decapCommand, isIpv6, type Target } from './target.ts';

const { ok, warning, error } = tell('answers');

export interface ClientRoute {
  readonly family: 4 | 6;
  /** The client that was asked about. */
  readonly client: string;
  /** Null: there is no route to it. */
  readonly route: {
    readonly interface: string;
    readonly gateway: string | null;
    /** Of the route, or of the interface. */
    readonly mtu: number;
    /** What the route says; null: what the MTU leaves. */
    readonly advmss: number | null;
  } | null;
}

export interface AnswerFacts {
  /** Where packets come in, and what it takes. */
  readonly interface: string;
  readonly mtu: number;
  /** One for each family of the VIPs. */
  readonly clients: readonly ClientRoute[];
  /** `hushlb decap --mss-clamp` is at work; undefined where nobody may tell. */
  readonly clampsMss: boolean | undefined;
  /** What takes headers off: hushlb decap, which could do it, or a device of the kernel's. */
  readonly takesOff: 'decap' | 'device' | 'nothing';
  readonly segments: { readonly received: number; readonly damaged: number };
}

const HEADERS = { 4: 40, 6: 60 } as const;
/** A stray one is chance. */
const DAMAGED_AT_LEAST = 3;

export function judgeAnswers(facts: AnswerFacts, targets: readonly Target[]): Finding[] {
  const findings = facts.clients.map(judgeRoute);
  findings.push(...judgeMss(facts, targets));
  const { received, damaged } = facts.segments;
  if (damaged >= DAMAGED_AT_LEAST && damaged * 100 > received) {
    findings.push(
      warning(
        'damaged-checksums',
        `${damaged} of ${received} TCP segments came with a wrong checksum`,
        'a sender on the same machine leaves checksums to a card that is not there, and XDP forwards them so; counted since ' +
          'the host started: once that is mended, the first number stands still',
        [{ command: 'ethtool -K eth0 tx off', on: 'each sender on the machine' }],
      ),
    );
  }
  return findings;
}

function judgeRoute({ family, client, route }: ClientRoute): Finding {
  if (route === null) {
    return error(
      'no-way-back',
      `no route leads to clients (${client})`,
      'the backend answers clients itself, past the balancer',
      [`ip ${family === 6 ? '-6 ' : ''}route add default via GATEWAY`],
    );
  }
  const { interface: name, gateway } = route;
  return ok('way-back', `answers to clients leave by ${name}${gateway === null ? '' : ` via ${gateway}`}`);
}

function* judgeMss(facts: AnswerFacts, targets: readonly Target[]): Generator<Finding> {
  const { interface: name, mtu, clients, clampsMss } = facts;
  for (const { family, route } of clients) {
    const tunnelled = targets.filter(
      ({ vip, protocol, overhead }) => overhead > 0 && protocol === 'tcp' && isIpv6(vip) === (family === 6),
    );
    if (tunnelled.length === 0 || route === null) continue;
    const most = Math.max(...tunnelled.map(({ overhead }) => overhead));
    const mss = route.advmss ?? route.mtu - HEADERS[family];
    const largest = Math.min(FULL_SIZE, mss + HEADERS[family]) + most;
    if (clampsMss === true) yield ok('mss', 'hushlb decap announces an MSS that leaves room for the headers');
    else if (largest <= mtu) yield ok('mss', `room for full segments and ${most} bytes of headers`);
    else {
      const unseen = clampsMss === undefined ? '. Whether hushlb decap lowers it only root may see' : '';
      const fitting = Math.min(mtu, FULL_SIZE) - most - HEADERS[family];
      yield warning(
        'mss-large',
        `this host announces an MSS of ${mss}: with ${most} bytes of headers packets are ${largest} bytes, ${name} takes ${mtu}`,
        `small requests work and large uploads stall. One of: an MSS of ${fitting}, or an MTU of ${FULL_SIZE + most} on the way${unseen}`,
        [mssCommand(facts, route, family, fitting, tunnelled[0])],
      );
    }
  }
}

function mssCommand(
  { interface: name, takesOff }: AnswerFacts,
  route: NonNullable<ClientRoute['route']>,
  family: 4 | 6,
  fitting: number,
  target: Target,
): { command: string; on: string | null } {
  if (takesOff !== 'device') {
    const on = takesOff === 'decap' ? 'this host, in place of the one that runs' : null;
    return { command: decapCommand(name, target, true), on };
  }
  const via = route.gateway === null ? '' : ` via ${route.gateway}`;
  return {
    command: `ip ${family === 6 ? '-6 ' : ''}route replace default${via} dev ${route.interface} advmss ${fitting}`,
    on: null,
  };
}
