/**
 * What a request carries, read and checked: its body, bounded, and its query. Used by admin/answer.ts, `flag` by routes.
 */
import type { IncomingMessage } from 'node:http';
import * as z from 'zod';
import { findingsOf, pathText, problemText } from '../lb/config-problems.ts';
import { RequestError } from './errors.ts';

const MAX_BODY_BYTES = 1024 * 1024;

/** Undefined for an empty body. Throws RequestError 413 or 400. */
export async function readJson(request: IncomingMessage): Promise<unknown> {
  const tooLong = () => new RequestError(413, 'BODY_TOO_LONG', 'expected a body of at most 1 MiB');
  if (Number(request.headers['content-length'] ?? 0) > MAX_BODY_BYTES) throw tooLong();
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request) {
    length += chunk.length;
    if (length > MAX_BODY_BYTES) throw tooLong();
    chunks.push(chunk);
  }
  if (length === 0) return undefined;
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8'));
  } catch {
    throw new RequestError(400, 'BAD_REQUEST', 'expected a body in JSON');
  }
}

/** A switch in a query. */
export const flag = z.enum(['true', 'false'], 'true or false');

/** The last of a key that comes twice. */
export function queryOf(search: string): Record<string, string> {
  return Object.fromEntries(new URLSearchParams(search));
}

/** Throws RequestError 400 with a line for each thing that is wrong; messages of the schema say what was expected. */
export function checked<T>(schema: z.ZodType<T>, value: unknown): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const findings = findingsOf(result.error.issues, value);
  const lines = findings.map((finding) => {
    const path = pathText(finding.path);
    return `${path === '' ? '' : `${path}: `}${problemText(finding, value)}`;
  });
  throw new RequestError(400, 'BAD_REQUEST', lines.join('; '), lines);
}
