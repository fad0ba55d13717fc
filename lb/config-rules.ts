/**
 * What no single value of a configuration shows: duplicates, sizes that depend on each other, and choices that are
 * allowed but will surprise. config-file.ts calls both functions.
 */
import { nextPrime } from '../hashing/lookup-table.ts';
import { type Config, MAX_BACKENDS, type ServiceConfig } from './config.ts';
import type { Finding, Path } from './config-problems.ts';

/** A choice that works and may not be what its author thinks. */
export interface Warning {
  readonly path: string;
  readonly message: string;
}

/** The paper (section 5.3) asks for a table at least 100 times as large as the backends, for shares within 1 %. */
const SLOTS_PER_BACKEND = 100;

/**
 * Contradictions between values. `raw` is what the file says, right or wrong, so that these are reported in the same go
 * as values that are wrong in themselves.
 */
export function* contradictions(raw: unknown): Generator<Finding> {
  const services = listOf(raw, 'services');
  const place = (i: number): Path => ['services', i];
  yield* repeated(services, 'name', place, 'a name that no other service has');
  yield* repeatedSockets(services);

  let total = 0;
  for (const [i, service] of services.entries()) {
    const backends = listOf(service, 'backends');
    total += backends.length;
    const backendPlace = (j: number): Path => [...place(i), 'backends', j];
    yield* repeated(backends, 'name', backendPlace, 'a name that no other backend of the service has');
    yield* repeated(backends, 'address', backendPlace, 'an address that no other backend of the service has');

    const vip = field(service, 'vip');
    for (const [j, backend] of backends.entries()) {
      if (typeof vip === 'string' && field(backend, 'address') === vip) {
        yield { path: [...backendPlace(j), 'address'], expected: "the backend's own address, not the VIP" };
      }
    }
    const tableSize = field(service, 'tableSize');
    if (typeof tableSize === 'number' && tableSize > 0 && tableSize < backends.length) {
      const expected = `a prime number of at least ${nextPrime(backends.length)}, for ${backends.length} backends`;
      yield { path: [...place(i), 'tableSize'], expected };
    }
  }
  if (total > MAX_BACKENDS) {
    yield { path: ['services'], expected: `at most ${MAX_BACKENDS} backends in all`, got: String(total) };
  }
}

function* repeated(items: unknown[], key: string, place: (i: number) => Path, expected: string): Generator<Finding> {
  const seen = new Set<string>();
  for (const [i, item] of items.entries()) {
    const value = field(item, key);
    if (typeof value !== 'string') continue;
    if (seen.has(value)) yield { path: [...place(i), key], expected };
    seen.add(value);
  }
}

function* repeatedSockets(services: unknown[]): Generator<Finding> {
  const firstByKey = new Map<string, number>();
  for (const [i, service] of services.entries()) {
    const vip = field(service, 'vip');
    const port = field(service, 'port');
    if (typeof vip !== 'string' || typeof port !== 'number') continue;
    const key = `${vip} tcp port ${port}`;
    const first = firstByKey.get(key);
    if (first === undefined) firstByKey.set(key, i);
    else {
      const expected = 'a VIP, protocol and port that no other service has';
      yield { path: ['services', i], expected, got: `${key}, as services[${first}]` };
    }
  }
}

function field(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, key)
    ? (value as Record<string, unknown>)[key]
    : undefined;
}

function listOf(value: unknown, key: string): unknown[] {
  const list = field(value, key);
  return Array.isArray(list) ? list : [];
}

/** Choices of a valid configuration that whoever made them should know about. */
export function warningsOf(config: Config): Warning[] {
  const warnings = config.services.flatMap((service, i) => serviceWarnings(service, `services[${i}]`, config));
  if (config.mode === 'stateful') {
    const message = 'broken on purpose: connections that outlive their idle timeout are answered with RST';
    warnings.unshift({ path: 'mode', message: `stateful is ${message}` });
  }
  return warnings;
}

function serviceWarnings(service: ServiceConfig, path: string, { mode }: Config): Warning[] {
  const warnings: Warning[] = [];
  const warn = (key: string, message: string) => warnings.push({ path: `${path}.${key}`, message });

  if (service.scheduler === 'round-robin') {
    const consequence = service.conntrack.enabled
      ? 'a connection that outlives its idle timeout continues at another backend, which resets it'
      : 'without conntrack every packet goes to another backend and no connection works';
    warn('scheduler', `round-robin is broken on purpose: ${consequence}`);
  }
  if (mode === 'stateful' && !service.conntrack.enabled) {
    warn('conntrack.enabled', 'mode stateful without conntrack knows no connection: only SYNs get through');
  }
  const active = service.backends.filter((backend) => backend.state === 'active').length;
  if (active === 0) warn('backends', 'all are draining: new connections are dropped');
  if (service.scheduler === 'maglev' && service.tableSize < active * SLOTS_PER_BACKEND) {
    const better = nextPrime(active * SLOTS_PER_BACKEND);
    warn('tableSize', `small for ${active} backends, shares will be uneven: ${better} or more keeps them within 1 %`);
  }
  return warnings;
}
