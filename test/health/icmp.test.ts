/** Echo checks between two hosts: the kernel of the other one answers, or is told not to. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { createEchoes, type Echoes } from '../../health/icmp.ts';
import type { CheckResult } from '../../health/judge.ts';
import { inNamespace } from '../../io/namespace.ts';
import { makeTwoHosts, needsRoot, sysctl, type TwoHosts } from '../io/two-hosts.ts';

describe('icmp', { skip: needsRoot }, () => {
  let hosts: TwoHosts;
  let echoes: Echoes;
  // The socket alone keeps no process alive; in the balancer timers do.
  let alive: NodeJS.Timeout;
  before(() => {
    alive = setInterval(() => {}, 1000);
    hosts = makeTwoHosts();
    echoes = createEchoes();
  });
  after(() => {
    clearInterval(alive);
    echoes.close();
    hosts.remove();
  });

  /** Its socket is opened in the namespace, or was. */
  function ask(address: string, signal = new AbortController().signal): Promise<CheckResult> {
    let answer: Promise<CheckResult> | undefined;
    inNamespace(hosts.left, () => {
      answer = echoes.check(address)(signal);
    });
    return answer!;
  }

  for (const [address, own, ignore] of [
    ['198.18.0.2', '198.18.0.1', 'ipv4/icmp_echo_ignore_all'],
    ['2001:db8::2', '2001:db8::1', 'ipv6/icmp/echo_ignore_all'],
  ] as const) {
    test(`${address} answers, and when it doesn't nobody else's answer counts`, async () => {
      const up = { ok: true, reason: 'answered an echo' };
      assert.deepEqual(await Promise.all([ask(address), ask(address)]), [up, up]);
      sysctl(hosts.right, ignore, 1);
      const over = new AbortController();
      const silent = ask(address, over.signal);
      // Our own kernel answers this one, after the other was sent.
      assert.deepEqual(await ask(own), up);
      const first = await Promise.race([silent, new Promise((resolve) => setTimeout(resolve, 50, 'silent'))]);
      assert.equal(first, 'silent');
      over.abort();
      sysctl(hosts.right, ignore, 0);
      assert.deepEqual(await ask(address), up);
    });
  }

  test('no way to it: says so', async () => {
    await assert.rejects(ask('203.0.113.1'), { code: 'ENETUNREACH' });
  });
});
