/**
 * The attacker: knows the source and the default seed, chooses addresses and ports, and aims all flows at one backend's slots and
 * at one bucket of the connection table. With a seed that nobody knows the same flows spread evenly.
 */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { connectionHash, FIVE_TUPLE, flowHash, SOURCE_IP, SOURCE_IP_PORT } from '../../hashing/flow-hash.ts';
import { addressDigest, connectionHashIpv6, flowHashIpv6 } from '../../hashing/flow-hash-ipv6.ts';
import { buildLookupTable } from '../../hashing/lookup-table.ts';
import { bound, chiSquare } from './spread.ts';

const DEFAULT_SEED = 0;
const BACKENDS = 10;
const FLOWS = 5000;
const GROUPS = 64;
/** Of a table for 131,072 connections. */
const BUCKETS = 65_536;
/** Drawn by a die, then kept: the test is the same at every run. */
const SECRETS = [0x9d2c5680, 0x1f83d9ab, 0x5be0cd19, 0xc1059ed8];
const VIP = 0x010a_12c6;
const TCP = 6;
const UDP = 17;
const PORT = 443;

/** xorshift32 (Marsaglia 2003): the attacker's own choice of flows. */
function createDie(): () => number {
  let word = 0x2545_f491;
  return () => {
    word ^= word << 13;
    word ^= word >>> 17;
    word ^= word << 5;
    return word;
  };
}

interface Flow {
  readonly words: readonly number[];
  readonly ports: number;
}

interface Kind {
  readonly name: string;
  readonly addressWords: number;
  slotHash(flow: Flow, seed: number): number;
  bucketHash(flow: Flow, seed: number): number;
}

const view = new DataView(new ArrayBuffer(32));

function put({ words }: Flow): void {
  for (const [i, word] of words.entries()) view.setInt32(4 * i, word, true);
}

function ipv6(name: string, kind: number, protocol: number): Kind {
  return {
    name,
    addressWords: 4,
    slotHash(flow, seed) {
      put(flow);
      return flowHashIpv6(kind, view, 0, 16, flow.ports, protocol, seed);
    },
    bucketHash(flow, seed) {
      put(flow);
      return connectionHashIpv6(addressDigest(view, 0, seed), flow.ports) >>> 0;
    },
  };
}

function ipv4(name: string, kind: number, protocol: number): Kind {
  return {
    name,
    addressWords: 1,
    slotHash: ({ words: [source], ports }, seed) => flowHash(kind, source, VIP, ports, protocol, seed),
    bucketHash: ({ words: [source], ports }, seed) => connectionHash(source, ports, seed) >>> 0,
  };
}

const KINDS: readonly Kind[] = [
  ipv4('IPv4, TCP, source-ip-port', SOURCE_IP_PORT, TCP),
  ipv4('IPv4, source-ip', SOURCE_IP, TCP),
  ipv4('IPv4, UDP and QUIC, five-tuple', FIVE_TUPLE, UDP),
  ipv6('IPv6, TCP, source-ip-port', SOURCE_IP_PORT, TCP),
  ipv6('IPv6, source-ip', SOURCE_IP, TCP),
  ipv6('IPv6, UDP and QUIC, five-tuple', FIVE_TUPLE, UDP),
];

const table = buildLookupTable(
  Array.from({ length: BACKENDS }, (_, i) => ({ name: `b${i}`, weight: 1 })),
  65_537,
);
const slotShares = Array.from({ length: BACKENDS }, (_, i) => {
  return table.entries.filter((backend) => backend === i).length / table.tableSize;
});

/** Flows that the attacker has found to be `hit`, by trying. */
function aim(kind: Kind, count: number, isHit: (flow: Flow) => boolean): Flow[] {
  const die = createDie();
  const flows: Flow[] = [];
  while (flows.length < count) {
    const words = Array.from({ length: kind.addressWords }, die);
    // A source port in front of the service's, which nobody chooses.
    const flow = { words, ports: (die() & 0xffff) | (PORT << 16) };
    if (isHit(flow)) flows.push(flow);
  }
  return flows;
}

for (const kind of KINDS) {
  suite(kind.name, () => {
    test("one backend's slots", () => {
      const backendOf = (flow: Flow, seed: number) => table.entries[kind.slotHash(flow, seed) % table.tableSize];
      const victim = 3;
      const flows = aim(kind, FLOWS, (flow) => backendOf(flow, DEFAULT_SEED) === victim);
      for (const seed of SECRETS) {
        const counts = new Array<number>(BACKENDS).fill(0);
        for (const flow of flows) counts[backendOf(flow, seed)]++;
        const found = chiSquare(counts, slotShares);
        assert.ok(found < bound(BACKENDS), `seed ${seed}: chi-square ${found} of ${counts}`);
      }
    });

    test('one bucket of the connection table', () => {
      const bucketOf = (flow: Flow, seed: number) => Math.floor((kind.bucketHash(flow, seed) / 2 ** 32) * BUCKETS);
      const group = (bucket: number) => Math.floor((bucket * GROUPS) / BUCKETS);
      // The attacker has time for one bucket in 64; what counts is how those spread.
      const flows = aim(kind, FLOWS, (flow) => group(bucketOf(flow, DEFAULT_SEED)) === 17);
      for (const seed of SECRETS) {
        const counts = new Array<number>(GROUPS).fill(0);
        for (const flow of flows) counts[group(bucketOf(flow, seed))]++;
        const found = chiSquare(counts, new Array<number>(GROUPS).fill(1 / GROUPS));
        assert.ok(found < bound(GROUPS), `seed ${seed}: chi-square ${found}`);
      }
    });
  });
}

test('the bound is one that aimed flows break', () => {
  assert.ok(chiSquare([FLOWS, ...new Array<number>(BACKENDS - 1).fill(0)], slotShares) > bound(BACKENDS));
  // 99.9999 % of chi-square with 9 degrees of freedom: 46.7 by NIST's handbook's method.
  assert.ok(Math.abs(bound(10) - 45.1) < 2, `${bound(10)}`);
});
