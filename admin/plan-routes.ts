/**
 * The operation that gives what `hushlb plan` compares a new configuration with. In the list of admin/api.ts. The plan itself
 * is made where it is asked for: tables of a thousand services are not the running balancer's to build.
 */
import * as z from 'zod';
import { type Route, route } from './route.ts';

export const planBase = z.strictObject({
  text: z.string().describe('what runs, as a configuration file would say it'),
  down: z.array(z.string()).describe('backends that health checks found down, as web/b2'),
  entries: z
    .array(z.strictObject({ service: z.string(), backend: z.string(), entries: z.int() }))
    .describe('of the connection tables, of all workers together; backends without any are left out'),
});

export const planRoutes: readonly Route[] = [
  route({
    method: 'GET',
    path: '/v1/plan-base',
    operation: 'getPlanBase',
    summary: 'What a plan compares with: the configuration, who is down, how many entries each backend has',
    result: planBase,
    async handle(_, control) {
      const { counts } = await control.parts.workers.ask({ kind: 'count' });
      return {
        text: control.text(),
        down: [...control.parts.prepared.down],
        entries: counts.map(({ service, backend, entries }) => ({ service, backend, entries })),
      };
    },
  }),
];
