/** One GET of a balancer's metrics, bounded in time and bytes. `hushlb agree` calls it. */
import { once } from 'node:events';
import { get, type IncomingMessage } from 'node:http';

/** A configuration of the largest size has some 20 MB of metrics. */
const MOST_BYTES = 64 * 1024 * 1024;
const PATIENCE_MS = 10_000;

const REASONS: Record<string, string> = {
  ECONNREFUSED: 'connection refused: is hushlb running, and does metrics.listen reach beyond loopback?',
  ENOTFOUND: 'no such host',
  EAI_AGAIN: 'the name cannot be resolved now',
  EHOSTUNREACH: 'no way to this host',
  ENETUNREACH: 'no way to this network',
  ETIMEDOUT: 'no answer',
};

/** No metrics from there; the message says why, in half a line. */
export class ScrapeError extends Error {
  override readonly name = 'ScrapeError';
  readonly code = 'SCRAPE';
}

/** The text of `GET /metrics` at `authority`, which is `host:port`. Throws ScrapeError. */
export async function scrape(authority: string): Promise<string> {
  // Not fetch, which refuses some ports because browsers do.
  const asked = get(`http://${authority}/metrics`, { signal: AbortSignal.timeout(PATIENCE_MS), agent: false });
  // Those after the first are of a request that was given up.
  asked.on('error', () => {});
  try {
    const [response] = (await once(asked, 'response')) as [IncomingMessage];
    if (response.statusCode !== 200) throw new ScrapeError(`GET /metrics is answered ${response.statusCode}`);
    return await boundedText(response);
  } catch (error) {
    if (error instanceof ScrapeError) throw error;
    const { code = '' } = error as NodeJS.ErrnoException;
    const reason = code === 'ABORT_ERR' ? `no answer in ${PATIENCE_MS / 1000} s` : REASONS[code];
    throw new ScrapeError(reason ?? `no HTTP answer (${code})`, { cause: error });
  } finally {
    asked.destroy();
  }
}

async function boundedText(body: AsyncIterable<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of body) {
    length += chunk.byteLength;
    if (length > MOST_BYTES) throw new ScrapeError(`more than ${MOST_BYTES / 1024 / 1024} MiB of metrics`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}
