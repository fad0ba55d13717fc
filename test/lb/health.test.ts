/**
 * Health checks on a real network: what a verdict does to traffic. Backends serve on port 80 all the time; their health is
 * told by a second server, so that a test can have one "die" and yet see who still gets packets.
 */
import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, test } from 'node:test';
import { waitForListener } from '../../lab/backends.ts';
import { type HostProcess, labProgram } from '../../lab/processes.ts';
import { backendNames, VIP } from '../../lab/topology.ts';
import { needsRoot, until } from '../io/two-hosts.ts';
import { selfSigned } from '../self-signed.ts';
import { backendYaml, configuration, never, PATIENCE_MS, ready, useLan } from './lan.ts';

const BACKENDS = backendNames(2);
const BACKENDS_YAML = BACKENDS.map((name) => backendYaml(name));
const HEALTH_PORT = 81;
/** The timeout is long: on a busy machine an answer may be late, and a refusal never is. */
const OFTEN = 'interval: 50ms, timeout: 5s, grace: 1ms, rise: 2, fall: 2';
const CHECKED = `health: { check: http, port: ${HEALTH_PORT}, ${OFTEN} }`;

describe('health checks', { skip: needsRoot }, () => {
  const lan = useLan(BACKENDS);

  async function serve(name: string): Promise<HostProcess> {
    const words = ['--name', name, '--port', `${HEALTH_PORT}`];
    const server = lan.start(name, [process.execPath, labProgram('http-server'), ...words]);
    await waitForListener(lan.namespace(name), HEALTH_PORT, name, never);
    return server;
  }

  /** Lines of the log are told once: `next` is the first after those that it has told before. */
  async function start(
    service: string,
    more = '',
  ): Promise<{ next(what: RegExp): Promise<string>; lines: readonly string[]; balancer: HostProcess }> {
    lan.write(configuration(BACKENDS_YAML, { service, more }));
    const lines: string[] = [];
    let read = 0;
    const balancer = lan.startBalancer((line) => void lines.push(line));
    await ready(balancer);
    async function next(what: RegExp): Promise<string> {
      const deadline = performance.now() + PATIENCE_MS;
      for (;;) {
        for (; read < lines.length; read++) if (what.test(lines[read]!)) return lines[read++]!;
        assert.ok(performance.now() < deadline, `no line ${what} in\n${lines.join('\n')}`);
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    }
    return { next, lines, balancer };
  }

  const down = (name: string) => new RegExp(`"service":"web","backend":"${name}".*"backend down"`);
  const up = (name: string) => new RegExp(`"service":"web","backend":"${name}".*"backend up"`);
  const newConnections = (count = 16) => lan.ask('client', `http://${VIP}/`, count, 400);
  const metrics = async (...lines: string[]): Promise<number[]> => {
    const [text = ''] = await lan.ask('lb', 'http://127.0.0.1:9108/metrics');
    return lines.map((line) => {
      const [, value] = new RegExp(`^${line.replace(/[{}]/g, '\\$&')} (\\S+)$`, 'm').exec(text) ?? [];
      assert.ok(value !== undefined, `${line} is exposed`);
      return Number(value);
    });
  };

  // First: the last words of other tests' connections would be counted here.
  test('through the tunnel: a VIP missing on lo, a missing decapsulation and, by http and https, a sick server are found', async () => {
    const rest = `backends: [${BACKENDS_YAML.join(', ')}]`;
    const through =
      'health: { check: tcp, port: 80, through: tunnel, interval: 50ms, timeout: 500ms, grace: 1ms, fall: 4 }';
    const direct = `  - { name: direct, vip: "${VIP}", port: 82, health: { check: tcp, port: 80, ${OFTEN} }, ${rest} }\n`;
    // Nobody takes GRE off there: once is enough.
    const inVain = through.replace('fall: 4', 'fall: 1');
    const gre = `  - { name: gre, vip: "${VIP}", port: 83, encap: gre, ${inVain}, ${rest} }\n`;
    // By http: servers that are well, one that is not, and the missing decapsulation.
    const asks = through.replace('tcp', 'http');
    const spoken = `  - { name: spoken, vip: "${VIP}", port: 84, ${asks}, ${rest} }\n`;
    const greSpoken = `  - { name: gre-spoken, vip: "${VIP}", port: 85, encap: gre, ${inVain.replace('tcp', 'http')}, ${rest} }\n`;
    // What is told of them is what an answer said, never that it was late.
    const patient = through.replace('interval: 50ms, timeout: 500ms', 'interval: 200ms, timeout: 5s');
    const sick = ['tcp', 'http', 'https'].map((check, i) => {
      const sickCheck = patient.replace('tcp, port: 80', `${check}, port: ${HEALTH_PORT}`);
      return `  - { name: sick-${check}, vip: "${VIP}", port: ${86 + i}, ${sickCheck}, backends: [${BACKENDS_YAML[0]}] }\n`;
    });
    const sickServer = `require('http').createServer((_, answer) => answer.writeHead(503).end()).listen(${HEALTH_PORT})`;
    lan.start('b1', [process.execPath, '-e', sickServer]);
    await waitForListener(lan.namespace('b1'), HEALTH_PORT, 'b1', never);
    // By https: one server, whose certificate nobody signed, and none.
    const signed = selfSigned();
    const tlsServer = `require('https').createServer(${JSON.stringify(signed)}, (_, answer) => answer.end()).listen(443)`;
    const safeServer = lan.start('b1', [process.execPath, '-e', tlsServer]);
    await waitForListener(lan.namespace('b1'), 443, 'b1', never);
    const safe = `  - { name: safe, vip: "${VIP}", port: 89, ${patient.replace('tcp, port: 80', 'https, port: 443')}, ${rest} }\n`;
    // The same, asked who vouches for it, and for which name.
    const authorities = join(dirname(lan.file()), 'authorities.pem');
    writeFileSync(authorities, signed.cert);
    const verified = [
      ['known', 'verify: true, host: other.example'],
      ['proven', `verify: ${authorities}, host: other.example`],
      ['mistaken', `verify: ${authorities}, host: www.example.com`],
    ].map(([name, how], i) => {
      const check = patient.replace('tcp, port: 80', `https, port: 443, ${how}`);
      return `  - { name: ${name}, vip: "${VIP}", port: ${90 + i}, ${check}, backends: [${BACKENDS_YAML[0]}] }\n`;
    });
    const { next, lines } = await start(through, [direct, gre, spoken, greSpoken, ...sick, safe, ...verified].join(''));
    const has = (what: RegExp) => until(`a line ${what}`, () => lines.some((line) => what.test(line)));
    await has(/all backends of gre are down/);
    await has(/all backends of gre-spoken are down/);
    await has(/"service":"sick-http".*"reason":"status 503, expected 200-399"/);
    await has(/"service":"sick-https".*"reason":"TLS: wrong version number"/);
    await has(/"service":"safe","backend":"b2".*"reason":"connection to the VIP refused"/);
    await has(/"service":"known".*"reason":"TLS: self-signed certificate"/);
    await has(/"service":"mistaken".*"reason":"TLS: the certificate is not for www.example.com"/);
    const [checks, proofs, ...others] = await metrics(
      'hushlb_backend_health_checks_total{service="web",backend="b1"}',
      'hushlb_backend_health_checks_total{service="proven",backend="b1"}',
      // Up, and not without a single failure: on a busy machine an answer may be late.
      'hushlb_backend_up{service="proven",backend="b1"}',
      'hushlb_backend_up{service="web",backend="b1"}',
      'hushlb_backend_up{service="web",backend="b2"}',
      'hushlb_backend_up{service="spoken",backend="b1"}',
      'hushlb_backend_up{service="spoken",backend="b2"}',
      'hushlb_backend_up{service="sick-tcp",backend="b1"}',
      'hushlb_backend_up{service="sick-http",backend="b1"}',
      'hushlb_backend_up{service="sick-https",backend="b1"}',
      'hushlb_backend_up{service="safe",backend="b1"}',
      'hushlb_backend_up{service="safe",backend="b2"}',
      // The kernel here stayed quiet: none of its RSTs came back as a packet of the service.
      'hushlb_conntrack_misses_total{service="web",kind="non_syn"}',
    );
    assert.ok(checks! > 2 && proofs! > 2);
    assert.deepEqual(others, [1, 1, 1, 1, 1, 1, 0, 0, 1, 0, 0]);
    await safeServer.stop();
    await has(/"service":"safe","backend":"b1".*"reason":"connection to the VIP refused"/);

    lan.inHost('b1', 'ip', 'address', 'del', `${VIP}/32`, 'dev', 'lo');
    try {
      assert.match(await next(down('b1')), /"reason":"no answer within 500 ms"/);
      await has(/"service":"spoken","backend":"b1".*"reason":"no answer within 500 ms"/);
      const ups = await metrics(
        'hushlb_backend_up{service="direct",backend="b1"}',
        'hushlb_backend_up{service="web",backend="b2"}',
      );
      assert.deepEqual(ups, [1, 1]);
      assert.deepEqual(new Set(await newConnections()), new Set(['b2']));
    } finally {
      lan.inHost('b1', 'ip', 'address', 'add', `${VIP}/32`, 'dev', 'lo');
    }
    assert.match(await next(up('b1')), /"reason":"the VIP answered through the tunnel"/);
    await has(/"service":"spoken","backend":"b1".*"reason":"status 200".*"backend up"/);
  });

  test('who is down gets no new connection, who is up again does, and a reload forgets nothing; all down', async () => {
    const [first, second] = await Promise.all(BACKENDS.map(serve));
    const { next, balancer } = await start(CHECKED);
    assert.deepEqual(new Set(await newConnections()), new Set(BACKENDS));
    await first!.stop();
    const line = JSON.parse(await next(down('b1')));
    assert.equal(line.reason, 'connection refused');
    assert.equal(line.level, 40);
    assert.ok(line.wasUpMs > 0);
    assert.deepEqual(new Set(await newConnections()), new Set(['b2']));
    const [upB1, upB2, failures] = await metrics(
      'hushlb_backend_up{service="web",backend="b1"}',
      'hushlb_backend_up{service="web",backend="b2"}',
      'hushlb_backend_health_check_failures_total{service="web",backend="b1"}',
    );
    assert.deepEqual([upB1, upB2], [0, 1]);
    assert.ok(failures! >= 2);

    balancer.hangUp();
    await next(/"reloaded"/);
    assert.deepEqual(new Set(await newConnections()), new Set(['b2']));

    const again = await serve('b1');
    assert.match(await next(up('b1')), /"reason":"status 200"/);
    assert.deepEqual(new Set(await newConnections()), new Set(BACKENDS));

    // All down: their packets still come to them, by the last table to whoever was found down last, or to both.
    await Promise.all([again.stop(), second!.stop()]);
    assert.equal(JSON.parse(await next(/all backends of web are down/)).level, 50);
    assert.deepEqual(
      (await newConnections()).filter((answer) => !BACKENDS.includes(answer)),
      [],
    );

    // Or new connections are dropped.
    lan.write(configuration(BACKENDS_YAML, { service: `${CHECKED}\n    allDown: drop` }));
    balancer.hangUp();
    await next(/"reloaded"/);
    assert.deepEqual(new Set(await newConnections(2)), new Set(['failed: TimeoutError']));
    const [dropped] = await metrics('hushlb_packets_total{service="web",verdict="drop",reason="no-backend"}');
    assert.ok(dropped! > 0);

    await serve('b2');
    await next(up('b2'));
    await next(/web has a backend again/);
    assert.deepEqual(new Set(await newConnections()), new Set(['b2']));
  });

  /** Holds connections to port 80 open from the client's host and, for each line that it reads, asks on each of them. */
  const HOLDER = `
    const net = require('node:net');
    const sockets = Array.from({ length: 16 }, () => net.connect(80, '${VIP}'));
    const ask = (socket) => new Promise((resolve) => {
      if (socket.destroyed) return resolve('gone');
      socket.once('data', (data) => resolve(String(data).trim().split('\\n').at(-1)));
      socket.once('error', (error) => resolve(error.code));
      socket.write('GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n');
    });
    require('node:readline').createInterface({ input: process.stdin }).on('line', async () => {
      console.log('asked', JSON.stringify(await Promise.all(sockets.map(ask))));
    });`;

  test('onDown: a connection of the backend that is down is reset by another one, or stays', async () => {
    let [first] = await Promise.all(BACKENDS.map(serve));
    const { next, balancer } = await start(`${CHECKED}\n    onDown: rehash`);

    async function assertMeets(ofDead: string): Promise<void> {
      const asked: string[] = [];
      const holder = lan.start('client', [process.execPath, '-e', HOLDER], (line) => void asked.push(line));
      const ask = async (count: number): Promise<string[]> => {
        holder.write('ask');
        await holder.waitForLine(() => asked.length === count, PATIENCE_MS, never);
        return JSON.parse(asked.at(-1)!.replace('asked ', ''));
      };
      const before = await ask(1);
      assert.deepEqual(new Set(before), new Set(BACKENDS));
      await first!.stop();
      await next(down('b1'));
      assert.deepEqual(
        await ask(2),
        before.map((name) => (name === 'b1' ? ofDead : name)),
      );
    }

    await assertMeets('ECONNRESET');
    first = await serve('b1');
    await next(up('b1'));
    lan.write(configuration(BACKENDS_YAML, { service: `${CHECKED}\n    onDown: keep` }));
    balancer.hangUp();
    await next(/"reloaded"/);
    await assertMeets('b1');
  });

  test('the balancer stops at once, and so does whatever checks', async () => {
    const pidFile = `${lan.file()}.pid`;
    // The pid is there whole, or not at all; both backends' checks write one.
    const script = `echo $$ > ${pidFile}.$$; mv ${pidFile}.$$ ${pidFile}; exec sleep 60`;
    const command = JSON.stringify(['/bin/sh', '-c', script]);
    const { balancer } = await start(`health: { check: command, command: ${command}, interval: 50ms, timeout: 60s }`);
    await until('a check is under way', () => existsSync(pidFile));
    const pid = Number(readFileSync(pidFile, 'utf8'));
    await balancer.stop();
    // SIGKILL would have come after a while.
    assert.equal(await balancer.ended, 0);
    await until('its program is gone', () => !existsSync(`/proc/${pid}`));
  });
});
