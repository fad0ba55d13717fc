/**
 * The API's description for programs, in OpenAPI 3.1, made from the routes themselves, so that it cannot say anything else than
 * they do. Asked for by admin/about-routes.ts. Pure.
 */
import * as z from 'zod';
import { VERSION } from '../lb/version.ts';
import { errorAnswer } from './errors.ts';
import type { Route } from './route.ts';

type Json = Record<string, unknown>;

export function openApi(routes: readonly Route[]): Json {
  const paths: Record<string, Json> = {};
  for (const route of routes) {
    paths[route.path] ??= {};
    paths[route.path][route.method.toLowerCase()] = operationOf(route);
  }
  return {
    openapi: '3.1.1',
    info: {
      title: 'hushlb',
      version: VERSION,
      summary: 'Asks and changes a running balancer',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [
      { url: 'http://hushlb', description: 'Over the Unix socket any host name does; over TCP it is admin.listen' },
    ],
    security: [{}, { token: [] }],
    paths,
    components: {
      schemas: { Error: schemaOf(errorAnswer, 'output') },
      securitySchemes: {
        token: { type: 'http', scheme: 'bearer', description: 'Over TCP only: what admin.tokenFile holds' },
      },
    },
  };
}

function operationOf(route: Route): Json {
  const parameters = [...pathParameters(route.path), ...queryParameters(route)];
  return {
    operationId: route.operation,
    summary: route.summary,
    ...(parameters.length > 0 && { parameters }),
    ...(route.body !== undefined && {
      requestBody: { required: true, content: { 'application/json': { schema: schemaOf(route.body, 'input') } } },
    }),
    responses: {
      200: {
        description: answerText(route),
        content: { [mediaOf(route)]: { schema: schemaOf(route.result, 'output') } },
      },
      default: {
        description: 'It was not done, and nothing has changed',
        content: { 'application/json': { schema: { $ref: '#/components/schemas/Error' } } },
      },
    },
  };
}

function answerText({ streams, media }: Route): string {
  if (streams === true) return 'A line of JSON each, without an end';
  return media === undefined ? 'Done' : 'The text';
}

function mediaOf({ streams, media }: Route): string {
  return streams === true ? 'application/x-ndjson' : (media ?? 'application/json');
}

function pathParameters(path: string): Json[] {
  return [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => ({
    name,
    in: 'path',
    required: true,
    schema: { type: 'string' },
  }));
}

function queryParameters({ query }: Route): Json[] {
  if (query === undefined) return [];
  const { properties = {}, required = [] } = schemaOf(query, 'input') as {
    properties?: Record<string, Json>;
    required?: string[];
  };
  return Object.entries(properties).map(([name, { description, ...schema }]) => ({
    name,
    in: 'query',
    required: required.includes(name),
    ...(description !== undefined && { description }),
    schema,
  }));
}

function schemaOf(schema: z.ZodType, io: 'input' | 'output'): Json {
  // OpenAPI 3.1's own dialect is this one.
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io, unrepresentable: 'any' }) as Json;
  return rest;
}
