/**
 * One operation of the admin API as data: where it is found, what it takes and gives (zod, from which the OpenAPI description
 * is made), and what it does. Files named admin/…-routes.ts hold them; admin/api.ts lists them all.
 */
import type * as z from 'zod';
import type { ControlPlane } from '../lb/control-plane.ts';

export interface RouteRequest<Query, Body> {
  /** By the names in the path's braces. */
  readonly params: Readonly<Record<string, string>>;
  readonly query: Query;
  readonly body: Body;
  /** Who asks, for the log and the events: `admin socket`, `admin 192.0.2.7`. */
  readonly by: string;
  /** Aborts when the client has gone or the balancer stops. */
  readonly signal: AbortSignal;
}

export interface Route<Query = unknown, Body = unknown, Result = unknown> {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** Such as `/v1/services/{service}/backends/{backend}`. */
  readonly path: string;
  /** The operation's id, in camel case. */
  readonly operation: string;
  /** One line without a full stop. */
  readonly summary: string;
  readonly query?: z.ZodType<Query>;
  readonly body?: z.ZodType<Body>;
  /** Of the answer, or of each line of a stream. */
  readonly result: z.ZodType<Result>;
  /** True: `handle` gives an endless answer, sent as a line of JSON each (application/x-ndjson). */
  readonly streams?: boolean;
  /** Of the answer where it is a text and no JSON. */
  readonly media?: 'application/yaml';
  handle(request: RouteRequest<Query, Body>, control: ControlPlane): Result | Promise<Result> | AsyncIterable<Result>;
}

/** Keeps a route's own types while it is written, and forgets them for the list. */
export function route<Query, Body, Result>(definition: Route<Query, Body, Result>): Route {
  return definition as unknown as Route;
}
