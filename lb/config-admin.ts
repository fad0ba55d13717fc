/**
 * Where a running balancer is asked and told things, as the configuration says it: `admin:`. admin/ listens there.
 *
 * ```yaml
 * admin: { socket: /run/hushlb/eth0.sock, group: netops }
 * admin: { listen: 127.0.0.1:9109, tokenFile: /etc/hushlb/token }
 * admin: false
 * ```
 */
import * as z from 'zod';
import { type ListenAddress, listen, mapping } from './config-values.ts';

export interface AdminConfig {
  /** A Unix socket, of which its owner alone may read and write. */
  readonly socket: string;
  /** Whose members may use the socket, too; null: nobody else. */
  readonly group: string | null;
  /** TCP as well, for whoever knows the token; null: no. */
  readonly tcp: { readonly listen: ListenAddress; readonly tokenFile: string } | null;
}

/** For sockets and for what is to survive an end of the process, not of the machine. */
export const RUNTIME_DIRECTORY = '/run/hushlb';

// sun_path of struct sockaddr_un has 108 bytes with its final 0.
const path = z
  .string('an absolute path')
  .refine((text) => /^\/[^\p{C}]+$/u.test(text) && Buffer.byteLength(text) < 108, 'an absolute path below 108 bytes');

const group = z.string('the name of a group').regex(/^[A-Za-z_][A-Za-z0-9_-]{0,31}$/, 'the name of a group');

export const admin = mapping({
  socket: path.optional(),
  group: group.optional(),
  listen: listen.optional(),
  tokenFile: path.optional(),
});

export function socketOfInterface(name: string): string {
  return `${RUNTIME_DIRECTORY}/${name}.sock`;
}

export function settledAdmin(written: z.output<typeof admin>, interfaceName: string): AdminConfig {
  const { socket = socketOfInterface(interfaceName), group: members = null, listen: address, tokenFile } = written;
  // One without the other is refused by lb/config-rules.ts.
  const tcp = address === undefined || tokenFile === undefined ? null : { listen: address, tokenFile };
  return { socket, group: members, tcp };
}
