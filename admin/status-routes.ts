/**
 * The operation that tells how a running balancer is. In the list of admin/api.ts.
 */
import * as z from 'zod';
import { mapping } from '../lb/config-values.ts';
import { serviceIndex } from '../lb/edit.ts';
import { type Route, route } from './route.ts';
import { statusOf } from './status.ts';
import { status } from './status-schema.ts';

export const statusRoutes: readonly Route[] = [
  route({
    method: 'GET',
    path: '/v1/status',
    operation: 'getStatus',
    summary: 'How the balancer, its services and their backends are',
    query: mapping({ service: z.string('the name of a service').optional().describe('only this one') }),
    result: status,
    handle({ query: { service } }, control) {
      // Says which there are, where there is none of that name.
      if (service !== undefined) serviceIndex(control.parts.prepared.config, service);
      return statusOf(control, Date.now(), service);
    },
  }),
];
