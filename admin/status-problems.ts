/**
 * What is wrong with a running balancer, in lines that say what to do, worst first. Called by admin/status.ts. Pure.
 */
import type { BackendStatus, ServiceStatus, StatusProblem } from './status-schema.ts';

export function problemsIn(services: readonly ServiceStatus[], unsaved: readonly string[]): StatusProblem[] {
  const problems = services.flatMap(serviceProblems);
  const errors = problems.filter(({ severity }) => severity === 'error');
  const warnings = problems.filter(({ severity }) => severity === 'warning');
  return [...errors, ...warnings, ...unsavedProblem(unsaved)];
}

function serviceProblems(service: ServiceStatus): StatusProblem[] {
  const { name, backends, allDown } = service;
  const problems: StatusProblem[] = [];
  const active = backends.filter(({ state }) => state === 'active');
  const of = { service: name, backend: null };
  if (active.length === 0) {
    const message = `${name}: all backends are draining, new connections are dropped: hushlb undrain ${name} ${backends[0].name}`;
    problems.push({ ...of, severity: 'error', kind: 'none-active', message });
  } else if (active.every(isDown)) {
    const consequence =
      allDown === 'keep' ? 'forwarded as before (allDown: keep)' : 'new connections are dropped (allDown: drop)';
    problems.push({
      ...of,
      severity: 'error',
      kind: 'all-down',
      message: `${name}: all backends are down, ${consequence}`,
    });
  }
  for (const backend of backends) problems.push(...backendProblems(name, backend));
  return problems;
}

function isDown({ health }: BackendStatus): boolean {
  return health.state === 'down';
}

function backendProblems(service: string, backend: BackendStatus): StatusProblem[] {
  const { name, health, reachable, nextHop, serving } = backend;
  const of = { service, backend: name };
  const problems: StatusProblem[] = [];
  if (isDown(backend)) {
    const message = `${service}/${name} is down since ${health.since}: ${health.reason}`;
    problems.push({ ...of, severity: serving ? 'error' : 'warning', kind: 'down', message });
  }
  if (!reachable) {
    const message = `${service}/${name} is unreachable, its packets are dropped: ${nextHop}`;
    problems.push({ ...of, severity: 'error', kind: 'unreachable', message });
  }
  if (health.flapping) {
    const message = `${service}/${name} goes up and down: ${health.reason}`;
    problems.push({ ...of, severity: 'warning', kind: 'flapping', message });
  }
  return problems;
}

const MOST_NAMED = 3;

function unsavedProblem(unsaved: readonly string[]): StatusProblem[] {
  if (unsaved.length === 0) return [];
  const named = unsaved.slice(-MOST_NAMED).join(', ');
  const more = unsaved.length > MOST_NAMED ? ` and ${unsaved.length - MOST_NAMED} before` : '';
  const message = `not saved, a restart would lose it: ${named}${more}; hushlb save writes it to the file`;
  return [{ service: null, backend: null, severity: 'warning', kind: 'unsaved', message }];
}
