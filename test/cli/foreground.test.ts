/**
 * The commands that stay: run and decap, in network namespaces of their own. What `run` does to packets is tested with
 * the daemon and in the lab.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { after, before, type TestContext, test } from 'node:test';
import { openPacketSocket } from '../io/packet-socket.ts';
import { until } from '../io/two-hosts.ts';
import { CLIENT_MAC, ethernetFrame, tcpPacket } from '../packets.ts';
import { tunnelPacket } from '../tunnels.ts';
import { CONFIGURATION, follow, MAIN, start, temporaryFolder } from './command.ts';

const NAMESPACE = `hushlb-test-${process.pid}-cli`;
const root = process.getuid?.() === 0;
const options = { skip: !root && 'needs root for a network namespace' };
const ip = (...args: string[]): string => execFileSync('ip', ['-n', NAMESPACE, ...args], { encoding: 'utf8' });

const folder = temporaryFolder();
after(() => folder.remove());
before(() => {
  if (!root) return;
  execFileSync('ip', ['netns', 'add', NAMESPACE]);
  ip('link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'peer0');
  ip('link', 'set', 'eth0', 'up');
  ip('link', 'set', 'peer0', 'up');
  ip('address', 'add', '198.18.99.1/32', 'dev', 'lo');
});
after(() => {
  if (root) execFileSync('ip', ['netns', 'delete', NAMESPACE]);
});

const isAlive = (pid: number): boolean => existsSync(`/proc/${pid}`);

function inNamespace(...command: string[]): ChildProcess {
  return start(['ip', 'netns', 'exec', NAMESPACE, ...command]);
}

const hushlb = (...args: string[]): ChildProcess => inNamespace(process.execPath, MAIN, ...args);

const isAttached = (): boolean => /\bxdp/.test(ip('-details', 'link', 'show', 'eth0'));

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  test(`decap says what it does, ends on ${signal}, and leaves nothing attached`, options, async () => {
    const child = hushlb('decap', '--interface', 'eth0', '--encap', 'ipip');
    const { line, end } = follow(child);
    const ready = JSON.parse(await line(/"ready"/));
    assert.equal(ready.interface, 'eth0');
    assert.equal(ready.encap, 'ipip');
    assert.match(ready.xdp, /^(native|generic)$/);
    assert.ok(isAttached());

    child.kill(signal);
    const { code, lines } = await end;
    assert.equal(code, 0);
    assert.equal(isAttached(), false);
    assert.equal(JSON.parse(lines.at(-1) ?? '').msg, 'stopped');
  });
}

test('decap strips GUE from the port that it was told', options, async () => {
  const child = hushlb('decap', '--interface', 'eth0', '--encap', 'gue', '--port', '4789');
  const { line, end } = follow(child);
  assert.equal(JSON.parse(await line(/"ready"/)).encap, 'gue');
  const [{ address: mac }] = JSON.parse(ip('-j', 'link', 'show', 'eth0'));
  const peer = openPacketSocket(NAMESPACE, 'peer0');
  // Sees what XDP has let through.
  const tap = openPacketSocket(NAMESPACE, 'eth0');
  const syn = tcpPacket({ flags: 'S' });
  const frames = [6080, 4789].map((port) =>
    ethernetFrame(mac, CLIENT_MAC, 0x0800, tunnelPacket(syn, { encap: 'gue', destination: '198.18.99.1', port })),
  );
  for (const frame of frames) peer.send(frame);
  assert.deepEqual(tap.receive(10_000), Buffer.from(frames[0]));
  assert.deepEqual(tap.receive(10_000), Buffer.from(ethernetFrame(mac, CLIENT_MAC, 0x0800, syn)));
  tap.close();
  peer.close();
  child.kill('SIGTERM');
  const { lines } = await end;
  const stopping = lines.map((text) => JSON.parse(text)).find(({ msg }) => msg === 'stopping');
  assert.deepEqual([stopping.stripped, stopping.dropped], [1, 0]);
});

/** One service with one backend, which the kernel knows how to reach (or not). */
const RUNNABLE = `
interface: eth0
metrics: false
admin: false
services:
  - { name: web, vip: 198.18.10.1, port: 80, backends: [{ name: b1, address: 198.18.2.1 }] }
`;

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  test(`run balances until ${signal}, ends within a second, and leaves nothing attached`, options, async () => {
    ip('address', 'replace', '198.18.2.254/24', 'dev', 'eth0');
    ip('neighbour', 'replace', '198.18.2.1', 'lladdr', '02:00:00:00:00:01', 'nud', 'permanent', 'dev', 'eth0');
    const child = hushlb('run', '-c', folder.write('run.yaml', RUNNABLE));
    const { line, end } = follow(child);
    await line(/"msg":"ready"/);
    assert.ok(isAttached());

    child.kill(signal);
    const { code, lines } = await end;
    // Its own clock makes it 1 where that takes too long.
    assert.equal(code, 0, lines.join('\n'));
    assert.equal(isAttached(), false);
    assert.equal(JSON.parse(lines.at(-1) ?? '').msg, 'stopped');
  });
}

/**
 * `run` on a terminal of its own, which goes away with `terminal.kill('SIGKILL')`; `streams` are redirections in the shell.
 * What it logs goes to the file `log` unless they say otherwise.
 */
function onTerminal(
  context: TestContext,
  streams: string,
): { terminal: ChildProcess; log: () => string; pid: () => number } {
  const [pidFile, logFile] = ['pid', 'log'].map((name) => folder.write(`terminal.${name}`, ''));
  const command = [process.execPath, MAIN, 'run', '-c', folder.write('terminal.yaml', RUNNABLE)].join(' ');
  const terminal = start([
    'script',
    '-qec',
    `echo $$ > ${pidFile}; exec ip netns exec ${NAMESPACE} ${command} ${streams.replaceAll('LOG', logFile)}`,
    '/dev/null',
  ]);
  const read = (file: string): string => readFileSync(file, 'utf8');
  const pid = (): number => Number(read(pidFile));
  context.after(() => {
    terminal.kill('SIGKILL');
    if (pid() > 0 && isAlive(pid())) process.kill(pid(), 'SIGKILL');
  });
  return { terminal, log: () => read(logFile), pid };
}

for (const [where, streams] of [
  ['the log on it', ''],
  ['the log in a file', '2> LOG'],
] as const) {
  test(`run ends when its terminal closes, ${where}, and leaves nothing attached`, options, async (context) => {
    ip('address', 'replace', '198.18.2.254/24', 'dev', 'eth0');
    ip('neighbour', 'replace', '198.18.2.1', 'lladdr', '02:00:00:00:00:01', 'nud', 'permanent', 'dev', 'eth0');
    const { terminal, log, pid } = onTerminal(context, streams);
    let screen = '';
    terminal.stdout?.on('data', (chunk) => (screen += chunk));
    await until('it balances', () => `${screen}${log()}`.includes('ready'), 30_000);
    terminal.kill('SIGKILL');
    await until('it has ended', () => !isAlive(pid()), 30_000);
    assert.equal(isAttached(), false);
    const messages = log()
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line).msg);
    // A line that is no JSON would be the stack of an abort.
    if (streams !== '') assert.deepEqual(messages.slice(-3), ['ready', 'stopping', 'stopped']);
  });
}

test('run that has nothing to do with its terminal stays when that closes', options, async (context) => {
  ip('address', 'replace', '198.18.2.254/24', 'dev', 'eth0');
  ip('neighbour', 'replace', '198.18.2.1', 'lladdr', '02:00:00:00:00:01', 'nud', 'permanent', 'dev', 'eth0');
  const { terminal, log, pid } = onTerminal(context, '< /dev/null > /dev/null 2> LOG');
  await until('it balances', () => log().includes('"ready"'), 30_000);
  terminal.kill('SIGKILL');
  // The kernel tells it nonetheless, and it reads its configuration.
  await until('the reload', () => log().includes('"reloaded"'), 30_000);
  process.kill(pid(), 'SIGTERM');
  await until('it has ended', () => !isAlive(pid()), 30_000);
  assert.equal(isAttached(), false);
});

test('run ends as fast while it still waits for its backends', options, async () => {
  ip('address', 'replace', '198.18.2.254/24', 'dev', 'eth0');
  ip('neighbour', 'flush', 'dev', 'eth0', 'nud', 'all');
  const child = hushlb('run', '-c', folder.write('wait.yaml', `${RUNNABLE}mode: stateful\n`));
  const { line, end } = follow(child);
  // The first thing that it says, before it looks at the network.
  await line(/broken on purpose/);
  child.kill('SIGTERM');
  const { code, lines } = await end;
  // 1 where it waits on: none of them will answer.
  assert.equal(code, 0, lines.join('\n'));
  assert.ok(lines.every((text) => !text.includes('"ready"')));
});

test('a killed decap leaves nothing attached either', options, async () => {
  const child = hushlb('decap', '--interface', 'eth0');
  const { line, end } = follow(child);
  await line(/"ready"/);
  child.kill('SIGKILL');
  await end;
  assert.equal(isAttached(), false);
});

test('a second decap on the same interface is refused in one line', options, async () => {
  const first = hushlb('decap', '--interface', 'eth0');
  const { line, end } = follow(first);
  await line(/"ready"/);
  const { code, lines } = await follow(hushlb('decap', '--interface', 'eth0')).end;
  assert.equal(code, 1);
  assert.equal(lines.length, 1);
  assert.match(lines[0], /^hushlb: .*eth0/);
  first.kill('SIGTERM');
  assert.equal((await end).code, 0);
});

test('a missing interface and missing privileges are one line that says what to do', options, async () => {
  const configuration = folder.write('missing.yaml', `hashSeed: 7${CONFIGURATION.replace('eth0', 'missing0')}`);
  for (const args of [
    ['decap', '--interface', 'missing0'],
    ['run', '-c', configuration],
  ]) {
    const { code, lines } = await follow(hushlb(...args)).end;
    assert.equal(code, 1);
    assert.equal(lines.length, 1, lines.join('\n'));
    assert.match(lines[0], /^hushlb: interface missing0\b/);
  }
  const powerless = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', '--inh-caps=-all'];
  const { code, lines } = await follow(inNamespace(...powerless, process.execPath, MAIN, 'decap', '-i', 'eth0')).end;
  assert.equal(code, 1);
  assert.equal(lines.length, 1, lines.join('\n'));
  assert.match(lines[0], /^hushlb: .*\broot\b/);
});

test('run refuses a bad configuration like check does, before it touches anything', options, async () => {
  const bad = folder.write('bad.yaml', CONFIGURATION.replace('port: 80', 'port: 0'));
  const { code, lines } = await follow(hushlb('run', '-c', bad)).end;
  assert.equal(code, 78, 'EX_CONFIG of sysexits.h');
  assert.deepEqual(lines, [
    `hushlb: ${bad}: services[0].port: expected a port from 1 to 65535, a range such as 8000-8999, or all, got 0 (line 6, column 5)`,
  ]);
});

test('logs are JSON in a pipe, and text for people where asked for or on a terminal', options, async () => {
  const log = async (child: ChildProcess): Promise<string> => {
    const { line, end } = follow(child);
    const ready = await line(/ready/);
    child.kill('SIGTERM');
    await end;
    return ready;
  };
  const decap = ['decap', '--interface', 'eth0'];
  const { level, msg } = JSON.parse(await log(hushlb(...decap)));
  assert.deepEqual({ level, msg }, { level: 30, msg: 'ready' });
  assert.match(await log(hushlb(...decap, '--log-format', 'pretty')), /^\[\d\d:\d\d:\d\d\.\d{3}\] INFO: ready$/);

  // A terminal for stderr: script(1) makes one and copies it to its stdout, here sent to our pipe.
  const command = `exec ${process.execPath} ${MAIN} decap --interface eth0`;
  const child = inNamespace('sh', '-c', 'exec script -qec "$0" /dev/null 1>&2', command);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: colours are control characters.
  assert.match(await log(child), /^\[\d\d:\d\d:\d\d\.\d{3}\] \u001b\[32mINFO\u001b\[39m: .*ready/);
});

test('--log-level leaves the lesser lines out', options, async () => {
  const child = hushlb('decap', '--interface', 'eth0', '--log-level', 'error');
  const { end } = follow(child);
  while (!isAttached()) await new Promise((resolve) => setTimeout(resolve, 20));
  child.kill('SIGTERM');
  assert.deepEqual(await end, { code: 0, lines: [] });
});
