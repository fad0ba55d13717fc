/**
 * What the API says of itself and of what runs as a text: its version, its description, the configuration. In the list of
 * admin/api.ts, which it gets, because the description is of all of it.
 */
import * as z from 'zod';
import { VERSION } from '../lb/version.ts';
import { openApi } from './openapi.ts';
import { type Route, route } from './route.ts';

const versionAnswer = z.strictObject({
  version: z.string().describe('of hushlb'),
  api: z.literal('v1').describe('the first step of every path; another one where answers change their meaning'),
  pid: z.int(),
});

export function aboutRoutes(routes: () => readonly Route[]): Route[] {
  return [
    route({
      method: 'GET',
      path: '/v1/version',
      operation: 'getVersion',
      summary: 'Which hushlb this is',
      result: versionAnswer,
      handle: () => ({ version: VERSION, api: 'v1' as const, pid: process.pid }),
    }),
    route({
      method: 'GET',
      path: '/v1/openapi.json',
      operation: 'getDescription',
      summary: 'This description: OpenAPI 3.1',
      result: z.record(z.string(), z.unknown()),
      handle: () => openApi(routes()),
    }),
    route({
      method: 'GET',
      path: '/v1/config',
      operation: 'getConfiguration',
      summary: 'What runs, as a configuration file would say it',
      result: z.string(),
      media: 'application/yaml',
      handle: (_, control) => control.text(),
    }),
  ];
}
