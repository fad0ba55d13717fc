/**
 * Why a connection could not be had, in one line that says what to do. dial.ts calls it.
 */
import { ProbeError } from './errors.ts';
import { hostPort, type Target } from './target.ts';

/** An error of node:net or node:tls as a ProbeError. */
export function dialError({ code = '', message }: NodeJS.ErrnoException, target: Target): ProbeError {
  const where = hostPort(target);
  if (code === 'ENOTFOUND') return new ProbeError('PROBE_NO_HOST', `${target.host}: no such host, check the name`);
  if (code === 'EAI_AGAIN') {
    return new ProbeError('PROBE_NO_HOST', `${target.host}: no name server answers, try its address`);
  }
  if (code === 'ECONNREFUSED') {
    return new ProbeError('PROBE_REFUSED', `${where} refuses the connection: is the server up, and is the port right?`);
  }
  if (code === 'ETIMEDOUT' || code === 'EHOSTUNREACH' || code === 'ENETUNREACH') {
    return new ProbeError(
      'PROBE_UNREACHABLE',
      `${where} cannot be reached (${code}): is there a route, and no filter?`,
    );
  }
  if (code === 'ECONNRESET') {
    const hint = target.kind === 'https' ? ': is this port TLS?' : '';
    return new ProbeError('PROBE_REFUSED', `${where} ends the connection before it was of use${hint}`);
  }
  if (CERTIFICATE.test(code)) {
    return new ProbeError('PROBE_CERTIFICATE', `${where}: ${message}: to measure all the same use --insecure`);
  }
  if (target.kind === 'https' && /^(EPROTO|ERR_SSL_)/.test(code)) {
    return new ProbeError('PROBE_NOT_TLS', `${where} does not speak TLS as we do (${code}): is it an http:// server?`);
  }
  return new ProbeError('PROBE_FAILED', `${where}: ${message}`);
}

const CERTIFICATE = /CERT|SELF_SIGNED|UNABLE_TO_|ERR_TLS_CERT|HOSTNAME_MISMATCH|INVALID_CA|INVALID_PURPOSE/;
