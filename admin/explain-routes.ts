/**
 * The operation that tells where a flow goes, by the configuration, next hops and connection tables of the running balancer. In
 * the list of admin/api.ts; the work is explain/explain.ts's, on the main thread: packets don't wait for it.
 */
import { type Answer, explain, type Question, type Subject } from '../explain/explain.ts';
import type { EntryFacts } from '../explain/explanation.ts';
import { type Flow, whyImpossible } from '../explain/flow.ts';
import { narrowed } from '../explain/narrow.ts';
import type { ControlPlane } from '../lb/control-plane.ts';
import { backendAddresses } from '../lb/reachability.ts';
import type { ConntrackEntry } from '../lb/worker-requests.ts';
import { DEFAULT_HOPS, hopsOf } from '../replay/made-up-hops.ts';
import { RequestError } from './errors.ts';
import { explainAnswer, question } from './explain-schema.ts';
import { type Route, route } from './route.ts';

export const explainRoutes: readonly Route[] = [
  route({
    method: 'POST',
    path: '/v1/explain',
    operation: 'explainFlow',
    summary: 'Where a flow goes and why, now and if something were otherwise',
    body: question,
    result: explainAnswer,
    async handle({ body }, control): Promise<Answer> {
      const { client, to, protocol, opens, whatIf } = body;
      const flow = { client, to, protocol };
      const problem = whyImpossible(flow);
      if (problem !== undefined) throw new RequestError(400, 'BAD_REQUEST', problem);
      const { now } = answerTo(control, { flow, opens, entry: null, whatIf: {} });
      const entry = now.service === null ? null : await lookUp(control, now.service.name, flow);
      return answerTo(control, { flow, opens, entry, whatIf });
    },
  }),
];

/** By the services that it is about. What those refuse is asked of all, for the words. */
function answerTo(control: ControlPlane, asked: Question): Answer {
  const whole = subjectOf(control);
  try {
    const running = { prepared: whole.prepared, data: control.data() };
    return explain({ ...whole, ...narrowed(running, asked.flow.to.address, asked.whatIf) }, asked);
  } catch {
    return explain(whole, asked);
  }
}

/** Nobody has asked the network for backends that only a what-if has: their next hops are made up. */
function subjectOf(control: ControlPlane): Subject {
  const { prepared, ownMac, hops } = control.parts;
  const known = new Set(backendAddresses(prepared.config));
  const madeUp = hopsOf(DEFAULT_HOPS);
  return {
    prepared,
    config: prepared.config,
    text: control.text(),
    ownMac,
    hopOf: (address) => (known.has(address) ? hops.hopOf(address) : madeUp(address)),
    isMadeUp: (address) => !known.has(address),
    workers: control.device.queues.length,
  };
}

/** A service on several ports may know a client's port by each of them. */
const MOST_OF_A_CLIENT = 1024;

async function lookUp({ parts }: ControlPlane, service: string, { client, to }: Flow): Promise<EntryFacts | null> {
  const { address, port } = client;
  const { entry: first } = await parts.workers.ask({ kind: 'lookup', service, client: address, port });
  if (first === null || isFor(to.port, first)) return factsOf(first);
  const filter = { service, client: address, port };
  const { entries } = await parts.workers.ask({ kind: 'list', filter, limit: MOST_OF_A_CLIENT });
  return factsOf(entries.find((entry) => isFor(to.port, entry)) ?? null);
}

function isFor(port: number, { servicePort }: ConntrackEntry): boolean {
  return servicePort === undefined || servicePort === port;
}

function factsOf(entry: ConntrackEntry | null): EntryFacts | null {
  if (entry === null) return null;
  const { backend, worker, idleMs, remainingMs } = entry;
  return { backend, isKnown: true, worker, idleMs, remainingMs };
}
