/**
 * Whatever a file says, the answer is a configuration or a ConfigError, and a configuration says what the file says.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { stringify } from 'yaml';
import type { Config } from '../../lb/config.ts';
import { parseConfig, validateConfig } from '../../lb/config-file.ts';
import { ConfigError } from '../../lb/config-problems.ts';

/** The problems' paths; empty if it was accepted. */
function refused(act: () => { config: Config }): string[] {
  try {
    assert.ok(Object.isFrozen(act().config));
    return [];
  } catch (error) {
    assert.ok(error instanceof ConfigError, error instanceof Error ? error.stack : String(error));
    assert.ok(error.problems.length > 0);
    for (const { message } of error.problems) assert.doesNotMatch(message, /undefined|\[object|[\p{Cc}\p{Cs}]/u);
    return error.problems.map(({ path }) => path);
  }
}

const name = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._:-]{0,62}$/);
/** As the configuration keeps them: one text an address. */
const ipv4 = fc
  .tuple(fc.integer({ min: 1, max: 126 }), fc.nat(255), fc.nat(255), fc.nat(255))
  .map((parts) => parts.join('.'));
const ipv6 = fc.integer({ min: 1, max: 0xffff }).map((group) => `2001:db8:ffff::${group.toString(16)}`);
const address = fc.oneof(ipv4, ipv6);
const vip = fc.constantFrom('198.18.10.1', '2001:db8::a:0:0:1');
const protocol = fc.constantFrom('tcp', 'udp');
const ports = fc.oneof(
  fc.integer({ min: 1, max: 65_535 }).map((port) => ({ port, meant: { first: port, last: port } })),
  // Whole thousands: two that differ do not overlap.
  fc.nat(64).map((n) => ({
    port: `${n * 1000 + 1}-${n * 1000 + 1000}`,
    meant: { first: n * 1000 + 1, last: n * 1000 + 1000 },
  })),
  fc.constant({ port: 'all', meant: { first: 1, last: 65_535 } }),
);

/** Settings, and the configuration that they must become; `undefined` leaves a setting out. */
const backends = fc
  .uniqueArray(fc.tuple(name, address, fc.option(fc.integer({ min: 1, max: 256 }), { nil: undefined })), {
    minLength: 1,
    maxLength: 6,
    selector: ([backendName]) => backendName,
  })
  .filter((rows) => new Set(rows.map(([, own]) => own)).size === rows.length)
  .map((rows) => ({
    written: rows.map(([n, a, w]) => ({ name: n, address: a, ...(w !== undefined && { weight: w }) })),
    meant: rows.map(([n, a, w]) => ({ name: n, address: a, weight: w ?? 1, state: 'active' })),
  }));

const seconds = fc.integer({ min: 1, max: 2_592_000 });
const UNITS = { ms: 1000, s: 1, m: 1 / 60, h: 1 / 3600, d: 1 / 86400 };
const duration = fc
  .tuple(seconds, fc.constantFrom(...(Object.keys(UNITS) as (keyof typeof UNITS)[])))
  .map(([s, unit]) => {
    const exact = Number.isInteger(s * UNITS[unit]);
    return { text: exact ? `${s * UNITS[unit]}${unit}` : `${s}s`, ms: s * 1000 };
  });

const socket = fc
  .record({ vip, protocol, ports })
  .map(({ vip, protocol, ports }) => ({ vip, protocol, port: ports.port, ports: ports.meant }));

const file = fc
  .record({
    services: fc.uniqueArray(fc.tuple(name, socket, backends, duration), {
      minLength: 1,
      maxLength: 4,
      selector: ([serviceName]) => serviceName,
    }),
    seed: fc.nat(2 ** 32 - 1),
  })
  .filter(({ services }) => new Set(services.map(([, { port }]) => port)).size === services.length)
  .map(({ services, seed }) => ({
    written: {
      interface: 'eth0',
      hashSeed: seed,
      services: services.map(([serviceName, { vip, protocol, port }, { written }, { text }]) => ({
        name: serviceName,
        vip,
        protocol,
        port,
        conntrack: { idleTimeout: text },
        backends: written,
      })),
    },
    meant: services.map(([serviceName, { port: _port, ...socket }, { meant }, { ms }]) => ({
      serviceName,
      ...socket,
      meant,
      ms,
    })),
    seed,
  }));

test('a right file is accepted and says what it says', () => {
  fc.assert(
    fc.property(file, ({ written, meant, seed }) => {
      const { config } = parseConfig(stringify(written), 'FILE');
      assert.equal(config.hashSeed, seed);
      assert.deepEqual(
        config.services.map((service) => ({
          serviceName: service.name,
          vip: service.vip,
          protocol: service.protocol,
          ports: service.ports,
          meant: service.backends,
          ms: service.conntrack.idleTimeoutMs,
        })),
        meant,
      );
    }),
  );
});

const garbage = fc.oneof(
  fc.anything({ withBigInt: false, withNullPrototype: true, withSparseArray: false }),
  fc.constantFrom('__proto__', '', '\u0000', -0, Number.NaN, 1e308, '99999999999d', '1e3s', 'af-packet'),
  fc.constantFrom('all', '1-2', '2-1', 'copy', 'off', '::', 'fe80::1', '::ffff:1.2.3.4', 'udp'),
);

test('a right file with one value replaced is accepted, or the problem is at that value or its double', () => {
  fc.assert(
    fc.property(file, fc.nat(), garbage, ({ written }, choice, value) => {
      const places = leavesOf(written);
      const { owner, key, path } = places[choice % places.length];
      const copy = structuredClone(written);
      const target = owner.reduce<Record<string | number, unknown>>((node, step) => node[step] as never, copy as never);
      target[key] = value;
      const paths = refused(() => validateConfig(copy, 'FILE'));
      if (paths.length > 0)
        assert.ok(
          paths.some((found) => isAbout(found, path)),
          `${path}: ${paths}`,
        );
    }),
    { numRuns: 500 },
  );
});

/**
 * At the value, in it or around it. Of two that must differ the later one has the problem, be it the one that was replaced or not:
 * the same place of another service or backend.
 */
function isAbout(found: string, path: string): boolean {
  const [one, other] = [found, path].map((text) => text.replaceAll(/\[\d+\]/g, '[]'));
  return (
    path.startsWith(found) ||
    found.startsWith(path) ||
    one === other ||
    other.replace(/\.(vip|protocol|port)$/, '') === one
  );
}

interface Place {
  readonly owner: readonly (string | number)[];
  readonly key: string | number;
  readonly path: string;
}

function leavesOf(node: unknown, owner: readonly (string | number)[] = [], path = ''): Place[] {
  if (typeof node !== 'object' || node === null) return [];
  return Object.entries(node).flatMap(([text, child]) => {
    const key = Array.isArray(node) ? Number(text) : text;
    const childPath = Array.isArray(node) ? `${path}[${text}]` : path === '' ? text : `${path}.${text}`;
    return [{ owner, key, path: childPath }, ...leavesOf(child, [...owner, key], childPath)];
  });
}

const keys = fc.oneof(
  fc.constantFrom('interface', 'io', 'mode', 'metrics', 'listen', 'services', 'name', 'vip', 'port', 'conntrack'),
  fc.constantFrom(
    'quic',
    'serverId',
    'protocol',
    'encap',
    'gue',
    'varySource',
    'outerTtl',
    'mssClamp',
    'tooBig',
    'ipOptions',
    'echo',
  ),
  fc.constantFrom('backends', 'address', 'weight', 'state', 'tableSize', 'idleTimeout', '__proto__', 'constructor'),
  fc.string(),
);

test('no object makes it throw anything else', () => {
  fc.assert(
    fc.property(
      fc.object({ key: keys, maxDepth: 4, withNullPrototype: true, withDate: true, withMap: true, withSet: true }),
      (raw) => void refused(() => validateConfig(raw, 'FILE')),
    ),
    { numRuns: 500 },
  );
});

const fragments = fc.constantFrom(
  ...[
    'interface: eth0\n',
    'services:\n',
    '  - name: web\n',
    '    port: 80\n',
    '- ',
    ': ',
    '? ',
    '{',
    '}',
    '[',
    ']',
    ',',
  ],
  ...['\n', '  ', '\t', '"', "'", '|', '>-\n', '&a ', '*a', '!!set ', '!x ', '<<: ', '---\n', '...\n', '%YAML 1.1\n'],
  ...['# c\n', 'null', 'true', '.inf', '0x1f', '1e3', '2001-01-01', '@', '`', '\u0000', '\ufeff', '\u2028', 'é', '💡'],
);

test('no text makes it throw anything else', () => {
  const texts = fc.array(fc.oneof(fragments, fc.string()), { maxLength: 40 }).map((parts) => parts.join(''));
  fc.assert(
    fc.property(texts, (text) => void refused(() => parseConfig(text, 'FILE'))),
    { numRuns: 1000 },
  );
});
