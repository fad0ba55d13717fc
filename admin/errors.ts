/**
 * What the admin API says when it cannot do what was asked: an HTTP status, and `{ error: { code, message, lines? } }` with the
 * same stable code and line that the command line prints. Used by admin/answer.ts.
 */
import { STATUS_CODES } from 'node:http';
import * as z from 'zod';
import { HushlbError, isExpected } from '../lb/errors.ts';

/** The request itself is wrong, before any part of the balancer has seen it. */
export class RequestError extends HushlbError {
  readonly status: number;
  readonly lines?: readonly string[];

  constructor(status: number, code: string, message: string, lines?: readonly string[]) {
    super(code, message);
    this.status = status;
    if (lines !== undefined) this.lines = lines;
  }
}

export const errorAnswer: z.ZodObject<{ error: z.ZodType<Problem> }> = z.strictObject({
  error: z.strictObject({
    code: z.string().describe('stable, for programs'),
    message: z.string().describe('what to do, for people'),
    lines: z.array(z.string()).optional().describe('every problem, where there are several'),
  }),
});

interface Problem {
  code: string;
  message: string;
  lines?: string[] | undefined;
}

/** Of errors that come from below; all others that have a code are conflicts with what runs. */
const STATUSES: Readonly<Record<string, number>> = {
  UNKNOWN_SERVICE: 404,
  UNKNOWN_BACKEND: 404,
  CONFIG_INVALID: 400,
};

export interface ErrorAnswer {
  readonly status: number;
  readonly body: { readonly error: Problem };
  /** Nobody expected it: the log should have its stack. */
  readonly isBug: boolean;
}

export function answerOf(error: unknown): ErrorAnswer {
  const answer = (status: number, code: string, message: string, lines?: readonly string[]): ErrorAnswer => ({
    status,
    body: { error: { code, message, ...(lines !== undefined && lines.length > 1 && { lines: [...lines] }) } },
    isBug: status === 500,
  });
  if (error instanceof Error && error.name === 'AbortError') {
    return answer(503, 'STOPPING', 'the balancer is stopping: nothing was changed');
  }
  if (!isExpected(error)) return answer(500, 'BUG', `${STATUS_CODES[500]}: hushlb's log has the details`);
  const status = error instanceof RequestError ? error.status : (STATUSES[error.code] ?? 409);
  return answer(status, error.code, error.message, error.lines);
}
