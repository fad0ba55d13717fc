/**
 * The admin API of a real daemon in a namespace: every answer by its own description, a start that is refused, and what becomes
 * of changes that nobody saved.
 */
import assert from 'node:assert/strict';
import { existsSync, statSync } from 'node:fs';
import { describe, test } from 'node:test';
import { ROUTES } from '../../admin/api.ts';
import { openClient } from '../../admin/client.ts';
import { type HostProcess, HUSHLB, logMessage } from '../../lab/processes.ts';
import { backendAddress, backendNames } from '../../lab/topology.ts';
import { needsRoot } from '../io/two-hosts.ts';
import { backendYaml, configuration, never, PATIENCE_MS, ready, useLan } from '../lb/lan.ts';

const BACKENDS = backendNames(2);
const [FIRST, ADDED] = BACKENDS;

type Ask = Parameters<ReturnType<typeof openClient>['request']>;

/** In this order each of them can be done. */
const QUESTIONS: readonly Ask[] = [
  ['GET', '/v1/version'],
  ['GET', '/v1/openapi.json'],
  ['GET', '/v1/config'],
  ['POST', '/v1/services/web/backends', { name: ADDED, address: backendAddress(ADDED!), weight: 2 }],
  ['PATCH', `/v1/services/web/backends/${ADDED}`, { weight: 3 }],
  ['PATCH', `/v1/services/web/backends/${ADDED}`, { state: 'draining' }],
  ['PATCH', '/v1/services/web', { scheduler: 'round-robin' }],
  ['PATCH', '/v1/balancer', { mode: 'stateful' }],
  ['GET', '/v1/status'],
  ['GET', '/v1/status?service=web'],
  ['DELETE', `/v1/services/web/backends/${ADDED}`],
  ['POST', '/v1/save'],
  ['POST', '/v1/reload'],
];

describe('the admin API of a running balancer', { skip: needsRoot }, () => {
  const lan = useLan(BACKENDS);

  async function start(): Promise<HostProcess> {
    const balancer = lan.startBalancer();
    await ready(balancer);
    return balancer;
  }

  const ask = (...question: Ask): Promise<unknown> => openClient({ socket: lan.socket() }).request(...question);
  const said = (balancer: HostProcess, text: string): Promise<string> =>
    balancer.waitForLine((line) => logMessage(line) === text, PATIENCE_MS, never);

  /** The route that a path means, found without the code under test. */
  function routeOf(method: string, path: string): (typeof ROUTES)[number] {
    const isIt = (pattern: string): boolean =>
      new RegExp(`^${pattern.replaceAll('.', '\\.').replace(/\{\w+\}/g, '[^/]+')}$`).test(path.split('?')[0]!);
    return (
      ROUTES.find((route) => route.method === method && isIt(route.path)) ?? assert.fail(`no route ${method} ${path}`)
    );
  }

  test('every answer is as its description says; its owner alone may use the socket, which goes with it', async () => {
    lan.write(configuration([backendYaml(FIRST!)], { service: '# kept' }));
    const balancer = await start();
    assert.equal(statSync(lan.socket()).mode & 0o777, 0o600);
    const asked = new Set<string>();
    for (const [method, path, body] of QUESTIONS) {
      const route = routeOf(method, path);
      asked.add(route.operation);
      const { error } = route.result.safeParse(await ask(method, path, body));
      assert.equal(error, undefined, `${method} ${path}: ${error?.message}`);
    }
    const topics = /^\/v1\/(version|openapi|config|services|balancer|status|save|reload)/;
    const ours = ROUTES.filter(({ path }) => topics.test(path)).map(({ operation }) => operation);
    assert.deepEqual([...asked].sort(), ours.sort());
    await balancer.stop();
    assert.ok(!existsSync(lan.socket()));
    await assert.rejects(ask('GET', '/v1/version'), { code: 'NO_DAEMON' });
  });

  test('where another process has the socket the start fails in one line, and nothing stays behind', async () => {
    lan.write(configuration([backendYaml(FIRST!)], { top: 'metrics: false' }));
    const balancer = await start();
    await ask('PATCH', `/v1/services/web/backends/${FIRST}`, { weight: 9 });
    const lines: string[] = [];
    // On another host with an interface of that name: the network is no reason to refuse it.
    const command = [process.execPath, HUSHLB, 'run', '-c', lan.file()];
    const second = lan.start('client', command, (line) => lines.push(line));
    assert.equal(await second.ended, 1);
    assert.match(
      lines.at(-1)!,
      /^hushlb: a hushlb runs already and answers at \S+: hushlb reload has it read its file/,
    );
    assert.doesNotMatch(lan.inHost('client', 'ip', '-d', 'link', 'show', 'eth0'), /\bxdp\b|prog\/xdp/);
    assert.match(String(await ask('GET', '/v1/config')), /weight: 9/);

    // A crash: the note of what was not saved is the first one's still, and so is the socket.
    await balancer.kill();
    assert.ok(existsSync(lan.socket()));
    const next = await start();
    const line = await said(next, 'the last run had this change, and no file has it');
    assert.equal(JSON.parse(line).lost, `weight web ${FIRST} 9`);
    assert.doesNotMatch(String(await ask('GET', '/v1/config')), /weight: 9/);
    // It has been said.
    assert.ok(!existsSync(`${lan.socket()}.unsaved`));
  });
});
