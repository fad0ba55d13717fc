/**
 * The API's description: every route is in it, its structure is OpenAPI's, and the page for people (docs/admin-api.md) lists the
 * same operations.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { ROUTES } from '../../admin/api.ts';
import { openApi } from '../../admin/openapi.ts';

interface Parameter {
  readonly name: string;
  readonly in: string;
  readonly required: boolean;
  readonly schema: object;
}

interface Operation {
  readonly operationId: string;
  readonly summary: string;
  readonly parameters?: readonly Parameter[];
  readonly requestBody?: { readonly required: boolean; readonly content: Record<string, { schema: object }> };
  readonly responses: Record<string, { description: string; content: Record<string, { schema: object }> }>;
}

interface Description {
  readonly openapi: string;
  readonly info: { readonly title: string; readonly version: string };
  readonly paths: Record<string, Record<string, Operation>>;
  readonly components: { readonly schemas: Record<string, object> };
}

// As a client gets it.
const description = JSON.parse(JSON.stringify(openApi(ROUTES))) as Description;
const operations = Object.entries(description.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
);

test('every route is an operation, and every operation a route', () => {
  assert.deepEqual(
    operations.map(({ path, method, operation }) => `${method.toUpperCase()} ${path} ${operation.operationId}`).sort(),
    ROUTES.map(({ path, method, operation }) => `${method} ${path} ${operation}`).sort(),
  );
});

test('it has what OpenAPI 3.1 requires', () => {
  assert.match(description.openapi, /^3\.1\.\d+$/);
  assert.ok(description.info.title.length > 0 && description.info.version.length > 0);
  const ids = operations.map(({ operation }) => operation.operationId);
  assert.equal(new Set(ids).size, ids.length, 'operation ids are unique');
  for (const { path, method, operation } of operations) {
    assert.match(path, /^\/v1(\/[a-z.-]+|\/\{[a-z]+\})+$/);
    assert.match(operation.operationId, /^[a-z][A-Za-z]+$/);
    assert.match(operation.summary, /^[A-Z].*[^.]$/);
    const inPath = (operation.parameters ?? []).filter((parameter) => parameter.in === 'path');
    assert.deepEqual(
      inPath.map(({ name, required }) => [name, required]),
      [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => [name, true]),
    );
    for (const parameter of operation.parameters ?? []) {
      assert.ok(['path', 'query'].includes(parameter.in));
      assert.equal(typeof parameter.schema, 'object');
    }
    assert.ok(method !== 'get' || operation.requestBody === undefined, 'GET takes no body');
    for (const { description: text, content } of Object.values(operation.responses)) {
      assert.ok(text.length > 0);
      for (const { schema } of Object.values(content)) assert.equal(typeof schema, 'object');
    }
    assert.ok('200' in operation.responses && 'default' in operation.responses);
  }
});

test('every reference leads to a schema, and objects say what they hold', () => {
  const visit = (value: unknown, where: string): void => {
    if (typeof value !== 'object' || value === null) return;
    if ('$ref' in value) {
      const name = /^#\/components\/schemas\/(\w+)$/.exec(String(value.$ref))?.[1] ?? '';
      assert.ok(name in description.components.schemas, `${where}: ${value.$ref}`);
    }
    assert.ok(!('$schema' in value), where);
    if ('type' in value && value.type === 'object') {
      assert.ok('properties' in value || 'additionalProperties' in value, where);
    }
    for (const [key, child] of Object.entries(value)) visit(child, `${where}.${key}`);
  };
  visit(description, 'description');
});

test('what a body may be is said, defaults and bounds too', () => {
  const bodyOf = (path: string, method: string): unknown =>
    description.paths[path]?.[method]?.requestBody?.content['application/json']?.schema;
  assert.deepEqual(bodyOf('/v1/balancer', 'patch'), {
    type: 'object',
    properties: { mode: { type: 'string', enum: ['stateless', 'stateful'] } },
    required: ['mode'],
    additionalProperties: false,
  });
  const add = bodyOf('/v1/services/{service}/backends', 'post') as Record<string, Record<string, object>>;
  assert.deepEqual(add.required, ['name', 'address']);
  assert.deepEqual(add.properties?.weight, { type: 'integer', minimum: 1, maximum: 256 });
  assert.deepEqual(add.properties?.address, { type: 'string', description: 'IPv4 or IPv6' });
});

test('docs/admin-api.md lists the same operations, in the same order', () => {
  // Compiled, this file is two folders further down.
  const page = readFileSync(fileURLToPath(new URL('../../../docs/admin-api.md', import.meta.url)), 'utf8');
  const rows = page.split('\n').filter((line) => /^\| `(GET|POST|PUT|PATCH|DELETE) /.test(line));
  const table = ROUTES.map(({ method, path, summary }) => `| \`${method} ${path}\` | ${summary} |`);
  assert.deepEqual(rows, table, `the table is to be:\n${table.join('\n')}`);
});
