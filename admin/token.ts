/**
 * The token that lets TCP clients in: read from its file at the start, compared in constant time, written nowhere. Used by
 * admin/server.ts.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { HushlbError } from '../lb/errors.ts';

const SHORTEST = 16;
const OF_OTHERS = 0o007;
const WRITABLE_BY_GROUP = 0o020;

export interface Token {
  /** `header`: of the request, `Authorization`. */
  admits(header: string | undefined): boolean;
}

/** Throws HushlbError ADMIN_TOKEN: no such file, too many who may read it, or nothing in it that is hard to guess. */
export function readToken(file: string): Token {
  const refuse = (message: string) => new HushlbError('ADMIN_TOKEN', `admin.tokenFile: ${file} ${message}`);
  let mode: number;
  let text: string;
  try {
    ({ mode } = statSync(file));
    text = readFileSync(file, 'utf8').trim();
  } catch (error) {
    throw refuse(`cannot be read (${(error as NodeJS.ErrnoException).code})`);
  }
  if ((mode & (OF_OTHERS | WRITABLE_BY_GROUP)) !== 0) throw refuse(`may be used by others: chmod 600 ${file}`);
  if (!/^[\x21-\x7e]+$/.test(text) || text.length < SHORTEST) {
    throw refuse(`holds no token of ${SHORTEST} or more characters: openssl rand -hex 32 > ${file}`);
  }
  const known = digest(text);
  return {
    admits(header) {
      const [, given = ''] = /^Bearer +([\x21-\x7e]+) *$/i.exec(header ?? '') ?? [];
      // Digests are of one length, whatever was given, and tell nothing of how much of it was right.
      return timingSafeEqual(digest(given), known);
    },
  };
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
