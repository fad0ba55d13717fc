/**
 * The rows of the matrix: what stands between client and server, and what must become of connections in each ordering of
 * the three idle timeouts. lab/matrix-run.ts puts it up, lab/matrix-verdict.ts holds the promise against what happened.
 */
import type { BalancerBehaviour, Encap } from './balancer.ts';
import type { CellOutcome } from './matrix.ts';

/**
 * `nothing`: client and server talk directly. `hushlb`: with these settings. `nginx`: in layer 7, its second idle timeout,
 * the one of its connections to the servers, being half the servers' or twice as long. `nft`: the kernel's NAT, by a hash
 * of the client's address and port or by chance, with nf_conntrack_tcp_loose on or off.
 */
export type Between =
  | { readonly kind: 'nothing' }
  | ({ readonly kind: 'hushlb' } & BalancerBehaviour)
  | { readonly kind: 'nginx'; readonly toServers: 'half' | 'twice' }
  | { readonly kind: 'nft'; readonly pick: 'hash' | 'chance'; readonly loose: boolean };

export interface MatrixRow {
  readonly name: string;
  readonly summary: string;
  readonly between: Between;
  /** What a request meets whose connection the balancer has forgotten. */
  readonly forgotten: CellOutcome;
  /** Some are kept by chance: the next backend was the old one. */
  readonly byChance: boolean;
  /** The worst outcome of each cell, in the order of ORDERINGS. */
  readonly promised: readonly CellOutcome[];
}

type Six = readonly [CellOutcome, CellOutcome, CellOutcome, CellOutcome, CellOutcome, CellOutcome];

/** The race with the server's FIN is lost with any balancer or none, wherever the server closes before the client. */
const RACE = 'closed-by-server';

/** Layer 4: c<b<s, c<s<b, then those two in which the balancer forgets a connection that both ends still have. */
function layer4(forgottenInTime: CellOutcome, forgottenAtFin: CellOutcome): Six {
  return ['kept', 'kept', forgottenInTime, forgottenAtFin, RACE, RACE];
}

const PLAIN = { kind: 'hushlb', mode: 'stateless', scheduler: 'maglev' } as const;
const ALIKE = { forgotten: 'kept', byChance: false } as const satisfies Partial<MatrixRow>;

export const MATRIX_ROWS: readonly MatrixRow[] = [
  {
    ...ALIKE,
    name: 'direct',
    summary: 'nothing between client and server; b means nothing',
    between: { kind: 'nothing' },
    promised: layer4('kept', RACE),
  },
  {
    ...ALIKE,
    name: 'L7, well ordered',
    summary: 'nginx; it keeps connections to the servers for half as long as they do',
    between: { kind: 'nginx', toServers: 'half' },
    promised: ['kept', 'kept', 'closed-by-balancer', 'closed-by-balancer', 'kept', 'closed-by-balancer'],
  },
  {
    ...ALIKE,
    name: 'L7, badly ordered',
    summary: 'nginx; it keeps connections to the servers for twice as long as they do',
    between: { kind: 'nginx', toServers: 'twice' },
    promised: ['bad-gateway', 'bad-gateway', 'bad-gateway', 'bad-gateway', 'bad-gateway', 'bad-gateway'],
  },
  {
    ...ALIKE,
    name: 'stateless',
    summary: 'hushlb as it is meant to be',
    between: PLAIN,
    promised: layer4('kept', RACE),
  },
  {
    ...ALIKE,
    name: 'stateless, no table',
    summary: 'hushlb by hash alone; b means nothing',
    between: { ...PLAIN, conntrack: false },
    promised: layer4('kept', RACE),
  },
  {
    name: 'round-robin',
    summary: 'hushlb; a forgotten connection goes to the next backend',
    between: { ...PLAIN, scheduler: 'round-robin' },
    forgotten: 'reset-by-backend',
    byChance: true,
    promised: layer4('reset-by-backend', 'reset-by-backend'),
  },
  {
    ...ALIKE,
    name: 'SYN-only',
    summary: 'hushlb, mode: stateful; a forgotten connection is answered with RST',
    between: { ...PLAIN, mode: 'stateful' },
    forgotten: 'reset-by-balancer',
    promised: layer4('reset-by-balancer', 'reset-by-balancer'),
  },
  {
    ...ALIKE,
    name: 'silent drop',
    summary: 'hushlb, onMiss: drop; packets of a forgotten connection vanish',
    between: { ...PLAIN, onMiss: 'drop' },
    forgotten: 'hung',
    promised: layer4('hung', 'hung'),
  },
  {
    name: 'NAT, by chance',
    summary: "the kernel's stateful NAT (nftables), backend by numgen random",
    between: { kind: 'nft', pick: 'chance', loose: true },
    forgotten: 'reset-by-backend',
    byChance: true,
    promised: layer4('reset-by-backend', 'reset-by-backend'),
  },
  {
    ...ALIKE,
    name: 'NAT, by hash',
    summary: 'the same, backend by jhash of the source',
    between: { kind: 'nft', pick: 'hash', loose: true },
    promised: layer4('kept', 'reset-by-backend'),
  },
  {
    ...ALIKE,
    name: 'NAT, not loose',
    summary: 'the same with nf_conntrack_tcp_loose = 0',
    between: { kind: 'nft', pick: 'hash', loose: false },
    forgotten: 'reset-by-balancer',
    promised: layer4('reset-by-balancer', 'reset-by-balancer'),
  },
];

/** The same row; hushlb, where it takes part, sends packets on in another way. */
export function withEncap(row: MatrixRow, encap: Encap): MatrixRow {
  return row.between.kind === 'hushlb' ? { ...row, between: { ...row.between, encap } } : row;
}

/** As a row is called on the command line: 'L7, well ordered' is l7-well-ordered. */
export function slugOf(name: string): string {
  return name.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-');
}
