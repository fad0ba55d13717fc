/**
 * The operations that change a running balancer, each a `Change` for the control plane, and the one that writes the changes to
 * the file. In the list of admin/api.ts.
 */
import * as z from 'zod';
import type { Change, ChangeReport } from '../lb/change.ts';
import { hexadecimal, mapping, name, oneOf, unicast, wholeNumber } from '../lb/config-values.ts';
import type { ControlPlane } from '../lb/control-plane.ts';
import { type Route, type RouteRequest, route } from './route.ts';

const names = z.array(z.string());

const changeAnswer = z.strictObject({
  id: z.string().describe('of this change, in every log line and event of it'),
  change: z.string().describe('as it is typed on the command line'),
  generation: z.int().describe('of the forwarding state that every worker runs now'),
  added: names.describe('services as web, backends as web/b2'),
  removed: names,
  changed: names,
  moved: z
    .record(z.string(), z.number())
    .describe('by service, where it is not 0: the share of its slots, 0 to 1, that lead to another backend now'),
  warnings: names,
  lost: names.describe('changes at run time that a reload has undone, because the file never had them'),
  unsaved: names.describe('what runs and is not in the file, as the changes that lead there'),
});

const saveAnswer = z.strictObject({
  file: z.string(),
  changes: names.describe('what the file has now and had not before'),
});

const weight = wholeNumber(1, 256);

const modeBody = mapping({ mode: oneOf('stateless', 'stateful') });
const schedulerBody = mapping({ scheduler: oneOf('maglev', 'round-robin') });
const backendBody = mapping({
  name,
  address: unicast.meta({ type: 'string', description: 'IPv4 or IPv6' }),
  weight: weight.optional(),
  serverId: hexadecimal.optional(),
});
/** One at a time: a change is whole or not at all, and two may end differently. */
const backendPatch = mapping({ state: oneOf('active', 'draining').optional(), weight: weight.optional() }).refine(
  (patch) => (patch.state === undefined) !== (patch.weight === undefined),
  'state or weight, one of the two',
);

const SERVICE = '/v1/services/{service}';
const BACKEND = `${SERVICE}/backends/{backend}`;

export const changeRoutes: readonly Route[] = [
  route({
    method: 'POST',
    path: '/v1/reload',
    operation: 'reload',
    summary: 'Takes the configuration file over, whole or not at all',
    result: changeAnswer,
    handle: (request, control) => carryOut({ kind: 'reload' }, request, control),
  }),
  route({
    method: 'POST',
    path: '/v1/save',
    operation: 'save',
    summary: 'Writes what runs to the configuration file, unless somebody edited it meanwhile',
    result: saveAnswer,
    async handle({ by }, control) {
      const { file, changes } = await control.save(by);
      return { file, changes: [...changes] };
    },
  }),
  route({
    method: 'PATCH',
    path: '/v1/balancer',
    operation: 'changeBalancer',
    summary: 'Sets the mode of all services that don’t have a behaviour of their own',
    body: modeBody,
    result: changeAnswer,
    handle: (request, control) => carryOut({ kind: 'mode', mode: request.body.mode }, request, control),
  }),
  route({
    method: 'PATCH',
    path: SERVICE,
    operation: 'changeService',
    summary: 'Sets the scheduler of a service',
    body: schedulerBody,
    result: changeAnswer,
    handle(request, control) {
      const { service } = request.params;
      return carryOut({ kind: 'scheduler', service, scheduler: request.body.scheduler }, request, control);
    },
  }),
  route({
    method: 'POST',
    path: `${SERVICE}/backends`,
    operation: 'addBackend',
    summary: 'Adds a backend to a service',
    body: backendBody,
    result: changeAnswer,
    handle(request, control) {
      return carryOut({ kind: 'add', service: request.params.service, backend: request.body }, request, control);
    },
  }),
  route({
    method: 'PATCH',
    path: BACKEND,
    operation: 'changeBackend',
    summary: 'Drains a backend, takes it back, or sets its weight',
    body: backendPatch,
    result: changeAnswer,
    handle(request, control) {
      const { service, backend } = request.params;
      const { state, weight: set } = request.body;
      if (set !== undefined) return carryOut({ kind: 'weight', service, backend, weight: set }, request, control);
      return carryOut({ kind: state === 'draining' ? 'drain' : 'undrain', service, backend }, request, control);
    },
  }),
  route({
    method: 'DELETE',
    path: BACKEND,
    operation: 'removeBackend',
    summary: 'Removes a backend; its connections are hashed again',
    result: changeAnswer,
    handle(request, control) {
      const { service, backend } = request.params;
      return carryOut({ kind: 'remove', service, backend }, request, control);
    },
  }),
];

type ChangeAnswer = z.infer<typeof changeAnswer>;

/** Not by the client's signal: whoever hangs up after the question has asked it. */
async function carryOut(
  change: Change,
  { by }: RouteRequest<unknown, unknown>,
  control: ControlPlane,
): Promise<ChangeAnswer> {
  const report: ChangeReport = await control.change(change, by);
  return structuredClone(report) as ChangeAnswer;
}
