/**
 * Whose certificates an https check believes: anybody's, those of the authorities that Node.js knows, or those of a file of one's
 * own. Called by health/http.ts for each check; a file is read again when it has changed.
 */
import { X509Certificate } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { type ConnectionOptions, createSecureContext, type SecureContext } from 'node:tls';

/** False: any certificate. True: Mozilla's authorities, as Node.js has them, and NODE_EXTRA_CA_CERTS. Else a file of PEM. */
export type Verify = boolean | string;

/** Of an error that says nothing about the backend: the file is this host's. */
export const TRUST_UNKNOWN = 'TRUST_UNKNOWN';

interface Known {
  /** Of the file: another one when it was written or replaced. */
  readonly version: string;
  readonly context: SecureContext;
}

/** A file of a distribution has a hundred authorities and takes milliseconds. */
const known = new Map<string, Known>();

/** Throws an error of code TRUST_UNKNOWN where there is no such file, or no certificate in it. */
export function trustOf(verify: Verify): Pick<ConnectionOptions, 'rejectUnauthorized' | 'secureContext'> {
  if (typeof verify === 'boolean') return { rejectUnauthorized: verify };
  return { rejectUnauthorized: true, secureContext: contextOf(verify) };
}

function contextOf(file: string): SecureContext {
  try {
    const { ino, size, mtimeMs } = statSync(file);
    const version = `${ino} ${size} ${mtimeMs}`;
    const before = known.get(file);
    if (before?.version === version) return before.context;
    const ca = readFileSync(file);
    // A context is made of anything, and then believes nobody.
    new X509Certificate(ca);
    const context = createSecureContext({ ca });
    known.set(file, { version, context });
    return context;
  } catch (error) {
    const { code, syscall } = error as NodeJS.ErrnoException;
    const why = syscall === undefined ? 'there is no certificate in it' : `it cannot be read (${code})`;
    throw Object.assign(new Error(`health.verify: ${file}: ${why}`), { code: TRUST_UNKNOWN });
  }
}
