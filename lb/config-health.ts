/**
 * A service's health checks, as the configuration says them: `health:`. lb/config.ts puts it into the service; lb/health.ts
 * makes targets of it for health/.
 *
 * ```yaml
 * health: { check: http, path: /healthz, host: www.example.com, status: 200-399, interval: 2s, timeout: 1s }
 * health: { check: command, command: [/usr/local/bin/check-db, --quick] }
 * health: { check: http, through: tunnel }
 * health: { check: https, host: www.example.com, verify: /etc/ssl/certs/own.pem }
 * ```
 */
import * as z from 'zod';
import { duration, mapping, oneOf, wholeNumber } from './config-values.ts';

export type HealthCheck = 'tcp' | 'http' | 'https' | 'icmp' | 'command';
/** `direct`: to the backend's own address. `tunnel`: encapsulated, with the VIP as destination, as a client's packets; tcp, http, https. */
export type HealthWay = 'direct' | 'tunnel';

export interface HealthConfig {
  readonly check: HealthCheck;
  /** Of the backend; null: the service's own, which is a single one then. */
  readonly port: number | null;
  readonly through: HealthWay;
  readonly intervalMs: number;
  /** A check that takes longer than the interval has the next one begin when it is over. */
  readonly timeoutMs: number;
  /** After its first sight failures of a backend don't count for so long, unless it has succeeded once. */
  readonly graceMs: number;
  /** Checks in a row that have to succeed before a backend is up, and to fail before it is down. */
  readonly rise: number;
  readonly fall: number;
  /** Null unless `check` is http or https. */
  readonly http: HttpExpectation | null;
  /** Program and arguments; null unless `check` is command. */
  readonly command: readonly string[] | null;
}

export interface HttpExpectation {
  readonly method: 'GET' | 'HEAD' | 'OPTIONS';
  readonly path: string;
  /** The Host header and the TLS server name; null: the address that is asked. */
  readonly host: string | null;
  /** Status codes that mean health, first to last. */
  readonly status: { readonly first: number; readonly last: number };
  /** Text that the body has to hold within its first 64 KiB; null: any body. */
  readonly body: string | null;
  /** Of https: whether the certificate has to be right, and by which authorities: Node's, or those of a file. */
  readonly verify: boolean | string;
}

const status = z.unknown().transform((value, context): { first: number; last: number } => {
  const [, first, last = first] = /^(\d{3})(?:-(\d{3}))?$/.exec(String(value)) ?? [];
  if (Number(first) >= 100 && Number(first) <= Number(last) && Number(last) <= 599) {
    return { first: Number(first), last: Number(last) };
  }
  context.addIssue({ code: 'custom', message: 'an HTTP status from 100 to 599, or a range such as 200-399' });
  return z.NEVER;
});

const trustWords = 'true, false or a file of authorities by its absolute path';
const verify = z.union([z.boolean(), z.string().regex(/^\/[^\p{C}]+$/u, trustWords)], trustWords);

const line = (expected: string, isRight: (text: string) => boolean) => z.string(expected).refine(isRight, expected);

export const health = mapping({
  check: oneOf('tcp', 'http', 'https', 'icmp', 'command').default('tcp'),
  port: wholeNumber(1, 65_535).optional(),
  through: oneOf('direct', 'tunnel').default('direct'),
  interval: duration.default(2000),
  timeout: duration.default(1000),
  grace: duration.default(3000),
  rise: wholeNumber(1, 100).default(2),
  fall: wholeNumber(1, 100).default(3),
  method: oneOf('GET', 'HEAD', 'OPTIONS').default('GET'),
  path: line('a path, such as /healthz', (text) => /^\/[\x21-\x7e]*$/.test(text)).default('/'),
  host: line('a host name, such as www.example.com', (text) => /^[A-Za-z0-9.:[\]_-]{1,255}$/.test(text)).optional(),
  status: status.default({ first: 200, last: 399 }),
  body: z.string('text that the answer holds').min(1, 'text that the answer holds').optional(),
  verify: verify.default(false),
  command: z
    .array(z.string('words').min(1, 'words that are not empty'), 'a program and its arguments, such as [/bin/true]')
    .min(1, 'at least a program')
    .optional(),
}).transform(
  ({
    interval,
    timeout,
    grace,
    method,
    path,
    host = null,
    status: codes,
    body = null,
    verify: trusted,
    port = null,
    command = null,
    ...rest
  }) =>
    ({
      ...rest,
      port,
      intervalMs: interval,
      timeoutMs: timeout,
      graceMs: grace,
      http:
        rest.check === 'http' || rest.check === 'https'
          ? { method, path, host, status: codes, body, verify: trusted }
          : null,
      command,
    }) satisfies HealthConfig,
);
