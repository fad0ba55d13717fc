/** `hushlb decap` as a service that stays for months: what it tells a service manager, and what it makes of a host that changes. */
import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync } from 'node:child_process';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { openPacketSocket } from '../io/packet-socket.ts';
import { needsRoot, until } from '../io/two-hosts.ts';
import { CLIENT_MAC, ethernetFrame, tcpPacket } from '../packets.ts';
import { tunnelPacket } from '../tunnels.ts';
import { follow, MAIN, start } from './command.ts';

const NAMESPACE = `hushlb-test-${process.pid}-decap`;
const RECEIVER = fileURLToPath(new URL('../../../test/lb/notify_receiver.py', import.meta.url));
const options = { skip: needsRoot };
const ip = (...args: string[]): string => execFileSync('ip', ['-n', NAMESPACE, ...args], { encoding: 'utf8' });

before(() => {
  if (needsRoot) return;
  execFileSync('ip', ['netns', 'add', NAMESPACE]);
  ip('link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'peer0');
  for (const name of ['eth0', 'peer0']) ip('link', 'set', name, 'up');
  ip('address', 'add', '198.18.99.1/32', 'dev', 'lo');
});
after(() => {
  if (!needsRoot) execFileSync('ip', ['netns', 'delete', NAMESPACE]);
});

function inNamespace(...command: string[]): ChildProcess {
  return start(['ip', 'netns', 'exec', NAMESPACE, ...command]);
}

const decap = (...args: string[]): string[] => [process.execPath, MAIN, 'decap', '--interface', 'eth0', ...args];

test('decap tells a service manager when it is attached, and of its end', options, async () => {
  const address = `@${NAMESPACE}`;
  const ear = inNamespace('python3', RECEIVER, address);
  const told: string[] = [];
  createInterface(ear.stdout!).on('line', (message) => told.push(JSON.parse(message)));
  await until('it listens', () => told.length === 1, 30_000);
  const child = inNamespace('env', `NOTIFY_SOCKET=${address}`, ...decap());
  await until('it is ready', () => told.length === 2, 30_000);
  assert.ok(/\bxdp/.test(ip('-details', 'link', 'show', 'eth0')));
  const { end } = follow(child);
  child.kill('SIGTERM');
  await end;
  await until('it has told', () => told.length === 3, 30_000);
  ear.kill('SIGKILL');
  assert.deepEqual(told.slice(1), ['READY=1\nSTATUS=ipip on eth0', 'STOPPING=1']);
});

test('decap follows the addresses of its host, and ends when its interface is gone', options, async () => {
  const child = inNamespace(...decap('--mss-clamp', '1400'));
  const { line, end } = follow(child);
  await line(/"ready"/);
  ip('address', 'add', '198.18.99.2/32', 'dev', 'lo');
  await line(/follows the addresses/);
  const [{ address: mac }] = JSON.parse(ip('-j', 'link', 'show', 'eth0'));
  const peer = openPacketSocket(NAMESPACE, 'peer0');
  const tap = openPacketSocket(NAMESPACE, 'eth0');
  const syn = tcpPacket({ flags: 'S' });
  const tunnelled = tunnelPacket(syn, { encap: 'ipip', destination: '198.18.99.2' });
  peer.send(ethernetFrame(mac, CLIENT_MAC, 0x0800, tunnelled));
  assert.deepEqual(tap.receive(10_000), Buffer.from(ethernetFrame(mac, CLIENT_MAC, 0x0800, syn)));
  tap.close();
  peer.close();
  ip('address', 'delete', '198.18.99.2/32', 'dev', 'lo');
  ip('link', 'delete', 'eth0');
  const { code, lines } = await end;
  assert.equal(code, 1);
  assert.match(lines.at(-1) ?? '', /^hushlb: interface eth0 is gone\b/);
});
