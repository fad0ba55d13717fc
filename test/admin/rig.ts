/**
 * The admin server on a socket of its own, over a control plane that only notes what it is asked. Each file of tests that imports
 * this has its own directory, which goes with it. Not a test.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { after, afterEach } from 'node:test';
import { pino } from 'pino';
import { type AdminServer, openAdmin } from '../../admin/server.ts';
import type { AdminConfig } from '../../lb/config-admin.ts';
import type { ControlPlane } from '../../lb/control-plane.ts';

export const directory = mkdtempSync(join(tmpdir(), 'hushlb-test-admin-'));
export const socket = join(directory, 'a.sock');
after(() => rmSync(directory, { recursive: true }));

export const logLines: string[] = [];
const log = new Writable({
  write(chunk, _, done) {
    logLines.push(String(chunk));
    done();
  },
});
const logger = pino({ level: 'debug' }, log);

export const open: AdminServer[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((server) => server.close()));
  logLines.splice(0);
});

export const REPORT = {
  id: 'abcd0123',
  change: 'reload',
  generation: 2,
  added: [],
  removed: [],
  changed: [],
  moved: {},
  warnings: [],
  lost: [],
  unsaved: [],
};

export interface Fake {
  readonly control: ControlPlane;
  /** What was asked, with who asked. */
  readonly asked: [change: unknown, by: string][];
}

export function fakeControl(change: () => Promise<unknown> = async () => REPORT): Fake {
  const asked: [unknown, string][] = [];
  const control = {
    text: () => 'interface: eth0\n',
    change(wanted: unknown, by: string) {
      asked.push([wanted, by]);
      return change();
    },
  } as unknown as ControlPlane;
  return { control, asked };
}

export async function serve(
  { control }: Fake = fakeControl(),
  more: Partial<AdminConfig> = {},
  patienceMs?: number,
): Promise<AdminServer> {
  const server = await openAdmin(control, { socket, group: null, tcp: null, ...more }, logger, patienceMs);
  open.push(server);
  return server;
}

export interface Answer {
  readonly status: number | undefined;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly body: string;
}

export function ask(
  method: string,
  path: string,
  { body, headers = {}, at = { socketPath: socket } }: { body?: string; headers?: object; at?: object } = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const asked = request({ ...at, agent: false, method, path, headers: { ...headers } }, async (response) => {
      let text = '';
      for await (const chunk of response) text += chunk;
      resolve({ status: response.statusCode, headers: response.headers, body: text });
    });
    asked.on('error', reject);
    asked.end(body);
  });
}

export const codeOf = ({ body }: Answer): string => JSON.parse(body).error.code;
