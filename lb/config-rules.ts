/**
 * What no single value of a configuration shows: duplicates, sizes that depend on each other, and choices that are
 * allowed but will surprise. config-file.ts calls both functions.
 */
import { nextPrime } from '../hashing/lookup-table.ts';
import { MODES, type Mode } from './behaviour.ts';
import type { Config, ServiceConfig } from './config.ts';
import { type Finding, field, listOf } from './config-problems.ts';
import { serviceContradictions } from './config-services.ts';
import { profileOf } from './profiles.ts';

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
  yield* tuningContradictions(raw);
  yield* adminContradictions(raw);
  yield* serviceContradictions(listOf(raw, 'services'));
}

function* tuningContradictions(raw: unknown): Generator<Finding> {
  const afXdp = field(raw, 'afXdp');
  const [ringSize, batchSize] = [field(afXdp, 'ringSize'), field(afXdp, 'batchSize')];
  if (typeof ringSize === 'number' && typeof batchSize === 'number' && batchSize > ringSize) {
    yield { path: ['afXdp', 'batchSize'], expected: `at most the ringSize, ${ringSize}` };
  }
  if (field(afXdp, 'zeroCopy') === 'require' && field(raw, 'xdpMode') === 'generic') {
    yield { path: ['afXdp', 'zeroCopy'], expected: 'auto or off, because xdpMode generic has no zero-copy' };
  }
  const io = field(raw, 'io');
  if (io === 'af-packet' || io === 'portable') {
    // The portable device runs on the main thread, which is one and has other things to do.
    for (const key of ['xdpMode', 'afXdp', ...(io === 'portable' ? ['workers', 'cpus'] : [])]) {
      const value = field(raw, key);
      if (value !== undefined) yield { path: [key], expected: `not to be set, because io is ${io}` };
    }
  }
  const [workers, cpus] = [field(raw, 'workers'), listOf(raw, 'cpus')];
  if (typeof workers === 'number' && cpus.length > 0 && cpus.length !== workers) {
    yield { path: ['cpus'], expected: `a CPU for each worker, ${workers}`, got: `${cpus.length}` };
  }
  for (const [i, cpu] of cpus.entries()) {
    if (typeof cpu === 'number' && cpus.indexOf(cpu) < i) {
      yield { path: ['cpus', i], expected: 'a CPU that no other worker has' };
    }
  }
}

function* adminContradictions(raw: unknown): Generator<Finding> {
  const admin = field(raw, 'admin');
  const [listen, tokenFile] = [field(admin, 'listen'), field(admin, 'tokenFile')];
  if (listen !== undefined && tokenFile === undefined) {
    yield { path: ['admin', 'tokenFile'], expected: 'a file with a token, because admin.listen opens TCP' };
  }
  if (tokenFile !== undefined && listen === undefined) {
    yield { path: ['admin', 'listen'], expected: 'HOST:PORT, because the token is for TCP alone' };
  }
}

/** Choices of a valid configuration that whoever made them should know about. */
export function warningsOf(config: Config): Warning[] {
  const warnings = config.services.flatMap((service, i) => serviceWarnings(service, `services[${i}]`, config));
  if (config.services.some((service) => originOf(service, 'onMiss', config.mode) === 'mode')) {
    warnings.unshift({ path: 'mode', message: `${config.mode} is broken on purpose: ${CONSEQUENCES.onMiss.reset}` });
  }
  return warnings;
}

/**
 * For who is about to forward packets from anybody, `hushlb check` and `hushlb run`: not one of `warningsOf`, which stand beside
 * every change and every simulation.
 */
export function seedWarnings({ hashSeed }: Pick<Config, 'hashSeed'>): Warning[] {
  if (hashSeed !== 0) return [];
  const message =
    'is the default 0: who knows it can aim all of their connections at one backend; set a random number, the same on all balancers';
  return [{ path: 'hashSeed', message }];
}

const CONSEQUENCES = {
  onMiss: {
    forward: null,
    reset: 'connections that outlive their idle timeout are answered with RST',
    drop: 'connections that outlive their idle timeout hang, their packets are dropped',
  },
  onExpiry: { silent: null, reset: 'connections that idle out are ended by an RST to both sides' },
} as const;

/** Where a service has a setting from that breaks connections; null where the setting breaks none. */
function originOf(
  service: ServiceConfig,
  key: 'onMiss' | 'onExpiry',
  mode: Mode,
): 'service' | 'profile' | 'mode' | null {
  const value = service[key];
  if (value === 'forward' || value === 'silent') return null;
  if (service.profile !== null) return profileOf(service.profile)[key].value === value ? 'profile' : 'service';
  return MODES[mode][key] === value ? 'mode' : 'service';
}

function* brokenOnPurpose(service: ServiceConfig, mode: Mode): Generator<readonly [key: string, message: string]> {
  const missConsequence = CONSEQUENCES.onMiss[service.onMiss];
  const expiryConsequence = CONSEQUENCES.onExpiry[service.onExpiry];
  const [onMiss, onExpiry] = [originOf(service, 'onMiss', mode), originOf(service, 'onExpiry', mode)];
  const ofProfile = [onMiss === 'profile' && missConsequence, onExpiry === 'profile' && expiryConsequence].filter(
    Boolean,
  );
  if (ofProfile.length > 0)
    yield ['profile', `${service.profile} breaks connections as it does: ${ofProfile.join('; ')}`];
  if (onMiss === 'service') yield ['onMiss', `${service.onMiss} is broken on purpose: ${missConsequence}`];
  if (onExpiry === 'service') yield ['onExpiry', `${service.onExpiry} is broken on purpose: ${expiryConsequence}`];
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
  for (const [key, message] of brokenOnPurpose(service, mode)) warn(key, message);
  if (service.onMiss !== 'forward' && !service.conntrack.enabled) {
    const cause = originOf(service, 'onMiss', mode) === 'mode' ? `mode ${mode}` : `onMiss ${service.onMiss}`;
    warn('conntrack.enabled', `${cause} without conntrack knows no connection: only SYNs get through`);
  }
  if (service.varySource) {
    warn(
      'varySource',
      'outer sources are no addresses of this host: reverse-path filters on the way drop such packets',
    );
  }
  if (service.onExpiry === 'reset' && !service.conntrack.enabled) {
    warn('conntrack.enabled', 'without conntrack nothing expires: onExpiry reset does nothing');
  }
  const active = service.backends.filter((backend) => backend.state === 'active').length;
  if (active === 0) warn('backends', 'all are draining: new connections are dropped');
  if (service.scheduler === 'maglev' && service.tableSize < active * SLOTS_PER_BACKEND) {
    const better = nextPrime(active * SLOTS_PER_BACKEND);
    warn('tableSize', `small for ${active} backends, shares will be uneven: ${better} or more keeps them within 1 %`);
  }
  return warnings;
}
