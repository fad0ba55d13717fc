/**
 * How commands find the balancer that they ask: in a mount namespace of its own, where /run holds what the test puts there.
 */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { needsRoot } from '../io/two-hosts.ts';
import { hushlb, MAIN } from './command.ts';

const run = mkdtempSync(join(tmpdir(), 'hushlb-test-run-'));
const at = (name: string): string => join(run, name);
const servers: Server[] = [];

before(async () => {
  // A dead one and a file are no balancers.
  const script = `require('node:net').createServer().listen(${JSON.stringify(at('dead.sock'))}, () => process.kill(process.pid, 'SIGKILL'))`;
  await once(spawn(process.execPath, ['-e', script]), 'exit');
  writeFileSync(at('eth0.sock.unsaved'), '[]');
});
after(() => {
  for (const server of servers) server.close();
  rmSync(run, { recursive: true });
});

async function listen(name: string): Promise<void> {
  const answer = { version: '1', api: 'v1', pid: 1 };
  const server = createServer((client) => {
    client.on('error', () => {});
    client.once('data', () => {
      const body = JSON.stringify({ ...answer, file: name, changes: [] });
      client.end(`HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`);
    });
  });
  await once(server.listen(at(name)), 'listening');
  servers.push(server);
}

/** `hushlb save` where /run/hushlb is the test's directory; the server is in this process, so nothing may block it. */
async function save(user: readonly string[] = []): Promise<{ code: number; stdout: string; stderr: string }> {
  const script = 'mount -t tmpfs none /run && mkdir /run/hushlb && mount --bind "$1" /run/hushlb && shift && exec "$@"';
  const command = ['-m', 'sh', '-c', script, 'sh', run, ...user, process.execPath, MAIN, 'save', '--json'];
  const child = spawn('unshare', command, {
    env: { ...process.env, COLUMNS: '160' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (chunk) => (stdout += chunk));
  child.stderr.on('data', (chunk) => (stderr += chunk));
  const [code] = await once(child, 'close');
  return { code, stdout, stderr };
}

test('the only living socket of /run/hushlb is asked, several want a choice', { skip: needsRoot }, async () => {
  assert.deepEqual(await save(), {
    code: 1,
    stdout: '',
    stderr:
      'hushlb: no hushlb runs on this host: hushlb run -c FILE starts one; -c FILE or --socket find one whose socket is elsewhere\n',
  });
  await listen('eth0.sock');
  assert.equal(JSON.parse((await save()).stdout).file, 'eth0.sock');
  await listen('eth1.sock');
  assert.deepEqual(await save(), {
    code: 1,
    stdout: '',
    stderr:
      'hushlb: several balancers run here: say which one with --socket: /run/hushlb/eth0.sock, /run/hushlb/eth1.sock\n',
  });
});

test('who may not use the socket is told so', { skip: needsRoot }, async () => {
  spawnSync('chmod', ['755', run]);
  spawnSync('chmod', ['600', at('eth0.sock'), at('eth1.sock')]);
  const nobody = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'];
  const { code, stderr } = await save(nobody);
  assert.equal(code, 1);
  assert.match(
    stderr,
    /^hushlb: permission to use \/run\/hushlb\/\w+\.sock is missing: run as root, or as a member .*\n$/,
  );
});

test('a configuration says where, or that there is none', async () => {
  const file = at('hushlb.yaml');
  const services =
    'services: [{ name: web, vip: 198.18.10.1, port: 80, backends: [{ name: b1, address: 198.18.2.1 }] }]';
  const ask = async (admin: string): Promise<string> => {
    writeFileSync(file, `interface: eth0\n${admin}\n${services}\n`);
    return (await hushlb(['save', '-c', file])).stderr;
  };
  assert.match(await ask(`admin: { socket: ${at('none.sock')} }`), /^hushlb: no hushlb answers at \S+none\.sock: /);
  assert.match(await ask('admin: false'), /^hushlb: \S+ says admin: false: such a balancer cannot be asked, /);
  assert.match(
    (await hushlb(['save', '-c', file, '--socket', 'x'])).stderr,
    /mutually exclusive|not both|; see hushlb save/,
  );
});
