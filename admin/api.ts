/**
 * Every operation of the admin API, in the order in which its description lists them. admin/server.ts answers by this list;
 * a new topic is a file admin/…-routes.ts and a line here.
 */

import { aboutRoutes } from './about-routes.ts';
import { changeRoutes } from './change-routes.ts';
import { conntrackRoutes } from './conntrack-routes.ts';
import { eventRoutes } from './event-routes.ts';
import { explainRoutes } from './explain-routes.ts';
import { planRoutes } from './plan-routes.ts';
import type { Route } from './route.ts';
import { statusRoutes } from './status-routes.ts';

export const ROUTES: readonly Route[] = [
  ...statusRoutes,
  ...changeRoutes,
  ...conntrackRoutes,
  ...eventRoutes,
  ...explainRoutes,
  ...planRoutes,
  ...aboutRoutes(() => ROUTES),
];
