/**
 * What the bytes of an answer to an HTTP request (RFC 9112) say so far, for a check that has no HTTP client of Node's:
 * health/tunnel-http.ts. Judges as health/http.ts does.
 *
 * The expected text is looked for in the body's bytes as they come: in a chunked body a text across two chunks isn't found.
 */
import { bodyMissing, type Expectation, MOST_BODY, statusResult } from './http.ts';
import type { CheckResult } from './judge.ts';

export const MOST_HEAD = 64 * 1024;
const HEAD_END = '\r\n\r\n';

/** Undefined: more has to come. `ended`: nothing more will. */
export function judgeAnswer(bytes: Uint8Array, ended: boolean, expectation: Expectation): CheckResult | undefined {
  const all = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let start = 0; ; ) {
    const end = all.indexOf(HEAD_END, start, 'latin1');
    const head = all.toString('latin1', start, end === -1 ? all.length : end);
    if (!looksLikeHttp(head)) return { ok: false, reason: 'no HTTP answer' };
    if (end === -1) {
      if (ended) return { ok: false, reason: 'connection ended before the answer' };
      return all.length - start > MOST_HEAD ? { ok: false, reason: 'endless headers' } : undefined;
    }
    const [, digits] = /^HTTP\/1\.[01] (\d{3})(?: |\r|$)/.exec(head) ?? [];
    if (digits === undefined) return { ok: false, reason: 'no HTTP answer' };
    const status = Number(digits);
    start = end + HEAD_END.length;
    // 100 Continue, 103 Early Hints: the answer comes after it (RFC 9110, 15.2).
    if (status >= 100 && status < 200 && status !== 101) continue;
    const result = statusResult(status, expectation);
    if (!result.ok || expectation.body === null) return result;
    const body = all.subarray(start, start + MOST_BODY);
    if (body.includes(expectation.body)) return result;
    return ended || body.length >= Math.min(lengthOf(head), MOST_BODY)
      ? bodyMissing(status, expectation.body)
      : undefined;
  }
}

const BEGINNING = 'HTTP/1.';

function looksLikeHttp(head: string): boolean {
  return BEGINNING.startsWith(head.slice(0, BEGINNING.length));
}

/** Of the body, where the head says it; Infinity: the connection's end tells. */
function lengthOf(head: string): number {
  const [, digits] = /\r\ncontent-length:[ \t]*(\d+)[ \t]*(?:\r|$)/i.exec(head) ?? [];
  return digits === undefined ? Number.POSITIVE_INFINITY : Number(digits);
}
