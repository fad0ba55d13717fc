/**
 * Who forwards what an interface receives: one process, where packet sockets would hand every packet to each that asks.
 *
 * The claim is the name of a Unix socket in the abstract namespace, of which each network namespace has its own: it goes
 * away with the process, however that ends.
 */
import { once } from 'node:events';
import { createServer } from 'node:net';

/** Resolves to what gives the claim back; to undefined where another process has it. */
export async function claimInterface(index: number): Promise<(() => void) | undefined> {
  const server = createServer((connection) => void connection.destroy()).unref();
  server.listen(`\0hushlb/interface/${index}`);
  try {
    await once(server, 'listening');
    return () => void server.close();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EADDRINUSE') return undefined;
    throw error;
  }
}
