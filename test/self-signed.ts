/** A certificate that nobody signed, for other.example and 127.0.0.1, made by openssl. Not a test. */
import { execFileSync } from 'node:child_process';

export interface SelfSigned {
  /** PEM, as Node's TLS servers take them. */
  readonly key: string;
  readonly cert: string;
}

export function selfSigned(): SelfSigned {
  const words = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  const names = ['-subj', '/CN=other.example', '-addext', 'subjectAltName=DNS:other.example,IP:127.0.0.1'];
  const both = ['-keyout', '-', '-out', '-', '-days', '1', ...names];
  const pem = execFileSync('openssl', [...words, ...both], { encoding: 'latin1', stdio: ['ignore', 'pipe', 'ignore'] });
  const [key, cert] = pem.match(/-----BEGIN [^-]+-----[^-]+-----END [^-]+-----\n/g) ?? [];
  if (key === undefined || cert === undefined) throw new Error(`openssl printed no key and certificate: ${pem}`);
  return { key, cert };
}
