/**
 * The tcp, http and https checks through a tunnel between two hosts, one of which has the VIP on lo. What lb/ puts around a packet is an
 * Ethernet header here; test/lb/health.test.ts has the real tunnels.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer as createHttpServer, type RequestListener } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { createServer, type Server, type Socket } from 'node:net';
import { after, before, describe, test } from 'node:test';
import type { Expectation } from '../../health/http.ts';
import type { CheckResult } from '../../health/judge.ts';
import type { Check } from '../../health/monitor.ts';
import { createTunnels, type Tunnels, type TunnelTarget } from '../../health/tunnel.ts';
import { type FrameSender, openFrameSender } from '../../io/frame-sender.ts';
import { readLink } from '../../io/links.ts';
import { inNamespace } from '../../io/namespace.ts';
import { addressBytes, ip, ipJson, macBytes, makeTwoHosts, needsRoot, type TwoHosts, until } from '../io/two-hosts.ts';
import { selfSigned } from '../self-signed.ts';

/** More than the window that is announced, so that the kernel there has to be told again and again what came. */
const LONG = 100_000;
const PATIENCE_MS = 10_000;
const LONG_PATH = `/${'p'.repeat(3000)}`;
const ASK: Expectation = {
  method: 'GET',
  path: '/',
  host: null,
  status: { first: 200, last: 399 },
  body: null,
  verify: false,
};

describe('tcp, http and https through a tunnel', { skip: needsRoot }, () => {
  let hosts: TwoHosts;
  let tunnels: Tunnels;
  let sender: FrameSender;
  let server: Server;
  let httpServer: Server;
  let httpsServer: Server;
  let port: number;
  let httpPort: number;
  let httpsPort: number;
  const hostHeaders: string[] = [];
  const serverNames: unknown[] = [];
  // Raw sockets keep no process alive; in the balancer timers do.
  let alive: NodeJS.Timeout;
  before(async () => {
    alive = setInterval(() => {}, 1000);
    hosts = makeTwoHosts();
    tunnels = createTunnels();
    for (const vip of ['198.18.10.1/32', '2001:db8:a::1/128'])
      ip('-n', hosts.right, 'address', 'add', vip, 'dev', 'lo');
    sender = inNamespace(hosts.left, () => openFrameSender(readLink('left')!.index));
    server = createServer((socket) => socket.on('error', () => {}));
    // Without a host: the look-up of one would end after we are back.
    inNamespace(hosts.right, () => void server.listen(0));
    await once(server, 'listening');
    port = (server.address() as { port: number }).port;
    const answer: RequestListener = ({ url = '', headers }, response) => {
      hostHeaders.push(headers.host ?? '');
      const status = Number(url.slice(1)) || 200;
      response.writeHead(status).end(status === 206 ? `${'x'.repeat(60_000)}last words${'x'.repeat(LONG)}` : 'fine');
    };
    httpServer = createHttpServer(answer);
    httpsServer = createHttpsServer(selfSigned(), answer);
    httpsServer.on('secureConnection', ({ servername }) => serverNames.push(servername));
    inNamespace(hosts.right, () => {
      httpServer.listen(0);
      httpsServer.listen(0);
    });
    await Promise.all([once(httpServer, 'listening'), once(httpsServer, 'listening')]);
    httpPort = (httpServer.address() as { port: number }).port;
    httpsPort = (httpsServer.address() as { port: number }).port;
  });
  after(() => {
    clearInterval(alive);
    tunnels.close();
    sender.close();
    server.close();
    httpServer.close();
    httpsServer.close();
    hosts.remove();
  });

  const mac = (side: 'left' | 'right') => macBytes(ipJson(hosts[side], 'link', 'show', side)[0].address);

  /** `loses` says of each packet, the first is 0, that it never arrives. */
  function targetOf(
    vip: string,
    own: string,
    toPort: number,
    loses: (packet: number) => boolean,
    lane = 0,
  ): TunnelTarget {
    const header = [...mac('right'), ...mac('left'), ...(vip.includes(':') ? [0x86, 0xdd] : [0x08, 0x00])];
    let sent = 0;
    return {
      vip: addressBytes(vip),
      port: toPort,
      lane,
      source: () => addressBytes(own),
      send(packet) {
        if (!loses(sent++)) sender.send(Uint8Array.from([...header, ...packet]));
      },
    };
  }

  const losesNothing = (): boolean => false;
  const told = ({ ok, reason }: CheckResult): string => `${ok ? 'up' : 'down'}: ${reason}`;

  /** Its sockets are opened there with the first check. */
  function there(check: Check): () => Promise<CheckResult> {
    return async () => {
      const over = new AbortController();
      let result: Promise<CheckResult> | undefined;
      inNamespace(hosts.left, () => {
        result = check(over.signal).catch(({ message }) => ({ ok: false, reason: message }));
      });
      let patience: NodeJS.Timeout | undefined;
      const late = new Promise<CheckResult>((resolve) => {
        patience = setTimeout(() => resolve({ ok: false, reason: 'no answer' }), PATIENCE_MS);
      });
      try {
        return await Promise.race([result!, late]);
      } finally {
        clearTimeout(patience);
        over.abort();
      }
    };
  }

  const checkOf = (vip: string, own: string, toPort: number) =>
    there(tunnels.check(targetOf(vip, own, toPort, losesNothing)));

  /** Of both families: the kernel counts them together. */
  function resetsSent(namespace: string): number {
    const [names, values] = inNamespace(namespace, () => readFileSync('/proc/thread-self/net/snmp', 'latin1'))
      .split('\n')
      .filter((line) => line.startsWith('Tcp:'))
      .map((line) => line.split(' '));
    return Number(values![names!.indexOf('OutRsts')]);
  }

  for (const [vip, own] of [
    ['198.18.10.1', '198.18.0.1'],
    ['2001:db8:a::1', '2001:db8::1'],
  ] as const) {
    test(`${vip}: answered, again and again, and our kernel says nothing`, async () => {
      const check = checkOf(vip, own, port);
      for (let i = 0; i < 3; i++) {
        assert.deepEqual(await check(), { ok: true, reason: 'the VIP answered through the tunnel' });
      }
      assert.equal(resetsSent(hosts.left), 0);
    });

    test(`${vip}: nobody listens there`, async () => {
      assert.deepEqual(await checkOf(vip, own, 9)(), { ok: false, reason: 'connection to the VIP refused' });
    });

    test(`${vip}: http: the status and the text decide`, async () => {
      const ask = (
        expectation: Partial<Expectation>,
        loses: (packet: number) => boolean = losesNothing,
      ): Promise<CheckResult> =>
        there(tunnels.checkHttp(targetOf(vip, own, httpPort, loses), { ...ASK, ...expectation }, false))();
      assert.deepEqual(await ask({}), { ok: true, reason: 'status 200' });
      assert.equal(hostHeaders.at(-1), `${vip.includes(':') ? `[${vip}]` : vip}:${httpPort}`);
      // One after the other: a backend is asked one thing at a time, for all of it comes from one port.
      for (const [expected, expectation, loses] of [
        ['down: status 503, expected 200-399', { path: '/503' }],
        ['up: status 200', { body: 'fine' }],
        ['down: status 200, but no "well" in the body', { body: 'well', path: LONG_PATH }],
        ['up: status 206', { path: '/206', body: 'last words' }],
        ['down: status 206, but no "first words" in the body', { path: '/206', body: 'first words' }],
        // The SYN, then the request, never arrives at first.
        ['up: status 200', {}, (packet: number) => packet === 0],
        ['up: status 200', { path: LONG_PATH }, (packet: number) => packet === 1],
      ] as const) {
        assert.equal(told(await ask(expectation, loses)), expected);
      }
      assert.deepEqual(await there(tunnels.checkHttp(targetOf(vip, own, 9, losesNothing), ASK, false))(), {
        ok: false,
        reason: 'connection to the VIP refused',
      });
      assert.equal(resetsSent(hosts.left), 0);
    });

    test(`${vip}: https: as a direct check, whoever signed the certificate`, async () => {
      const ask = (
        expectation: Partial<Expectation>,
        toPort = httpsPort,
        loses: (packet: number) => boolean = losesNothing,
      ): Promise<CheckResult> =>
        there(tunnels.checkHttp(targetOf(vip, own, toPort, loses), { ...ASK, ...expectation }, true))();
      assert.deepEqual(await ask({}), { ok: true, reason: 'status 200' });
      assert.equal(hostHeaders.at(-1), `${vip.includes(':') ? `[${vip}]` : vip}:${httpsPort}`);
      assert.equal(serverNames.at(-1), false);
      assert.deepEqual(await ask({ host: 'www.example.com' }), { ok: true, reason: 'status 200' });
      assert.equal(hostHeaders.at(-1), 'www.example.com');
      assert.equal(serverNames.at(-1), 'www.example.com');
      for (const [expected, expectation, toPort, loses] of [
        ['down: status 503, expected 200-399', { path: '/503' }],
        ['down: status 200, but no "well" in the body', { body: 'well', path: LONG_PATH }],
        ['up: status 206', { path: '/206', body: 'last words' }],
        ['down: connection to the VIP refused', {}, 9],
        ['down: TLS: wrong version number', {}, httpPort],
        ['down: more to send than a check through the tunnel can, 49151 bytes', { path: `/${'p'.repeat(60_000)}` }],
        // The client's hello, then what follows it, never arrives at first.
        ['up: status 200', {}, httpsPort, (packet: number) => packet === 1],
        ['up: status 200', {}, httpsPort, (packet: number) => packet === 3],
      ] as const) {
        assert.equal(told(await ask(expectation, toPort, loses)), expected);
      }
      assert.equal(resetsSent(hosts.left), 0);
    });

    test(`${vip}: http and https: the connection ends, or is reset, and there was no answer`, async () => {
      for (const tls of [false, true]) {
        const check = there(tunnels.checkHttp(targetOf(vip, own, port, losesNothing), ASK, tls));
        server.once('connection', (socket) => socket.once('data', () => socket.end()));
        assert.deepEqual(await check(), { ok: false, reason: 'connection ended before the answer did' });
        server.once('connection', (socket) => socket.once('data', () => socket.resetAndDestroy()));
        assert.deepEqual(await check(), { ok: false, reason: 'connection to the VIP reset' });
      }
    });

    test(`${vip}: http: a connection that was left open there is ended by the next check`, async () => {
      // SYN and request arrive, the RST that ends it doesn't: to a server that waits for more, the connection lives.
      const target = targetOf(vip, own, port, (packet) => packet === 2);
      const check = tunnels.checkHttp(target, ASK, false);
      const abort = new AbortController();
      const connected = once(server, 'connection');
      inNamespace(hosts.left, () => void check(abort.signal).catch(() => {}));
      const [first] = await connected;
      const ended = once(first, 'error');
      abort.abort();
      server.once('connection', (socket) => socket.end('HTTP/1.1 204 No Content\r\n\r\n'));
      assert.deepEqual(await there(check)(), { ok: true, reason: 'status 204' });
      assert.equal((await ended)[0].code, 'ECONNRESET');
    });

    test(`${vip}: http: two lanes are two connections at a time`, async () => {
      // Neither is answered before both are there.
      const open: Socket[] = [];
      const hold = (socket: Socket): void => {
        open.push(socket);
        if (open.length === 2) for (const each of open) each.end('HTTP/1.1 204 No Content\r\n\r\n');
      };
      server.on('connection', hold);
      const checks = [0, 1].map((lane) => tunnels.checkHttp(targetOf(vip, own, port, losesNothing, lane), ASK, false));
      const results = await Promise.all(checks.map((check) => there(check)()));
      server.off('connection', hold);
      assert.deepEqual(results.map(told), ['up: status 204', 'up: status 204']);
    });

    test(`${vip}: nothing of it stays at the backend`, async () => {
      await until('the last RST is there', () => connectionsOf(hosts.right) === '');
    });
  }

  function connectionsOf(namespace: string): string {
    return ip('netns', 'exec', namespace, 'ss', '-Htn', 'state', 'connected');
  }
});
