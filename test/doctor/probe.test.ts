/**
 * `hushlb doctor --probe` on real hosts: each hop loses packets in turn, and the probe says which; where it prints a command, that
 * command mends it.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Finding } from '../../doctor/finding.ts';
import { probeFromBalancer, probeFromClient } from '../../doctor/probe-host.ts';
import { inNamespace } from '../../io/namespace.ts';
import { readConfigFile } from '../../lb/config-file.ts';
import { needsRoot } from '../io/two-hosts.ts';
import { gist } from './gist.ts';
import { useHosts } from './hosts.ts';

describe('hushlb doctor --probe', { skip: needsRoot }, () => {
  const hosts = useHosts();
  const { at, run, stop, serve, startHushlb } = hosts;
  const probe = (): Finding[] =>
    inNamespace(at('lb'), () => probeFromBalancer(readConfigFile(hosts.file()).config, hosts.file()));
  const codes = () => probe().map(({ code }) => code);
  /** What is said of b1; b2 answers all along. */
  const ofB1 = (): Finding => {
    const [b1, b2] = probe();
    assert.equal(b2.code, 'probe');
    return b1;
  };

  test('all well without hushlb: the tunnels, and why not the whole way', async () => {
    await hosts.followReadme();
    assert.deepEqual(codes(), ['probe', 'probe', 'probe-skipped']);
  });

  test('all well beside hushlb: the whole way too, from the balancer and from a client', async () => {
    await startHushlb('lb', 'run', 'hushlb run -c hushlb.yaml');
    assert.deepEqual(codes(), ['probe', 'probe', 'probe-whole']);
    const client = inNamespace(at('client'), () => probeFromClient(readConfigFile(hosts.file()).config.services));
    assert.deepEqual(
      client.map(({ code }) => code),
      ['probe-whole'],
    );
  });

  test('what captures show carries the mark, and no connection is left half-open', () => {
    // TCP: 03 is SYN_RECV.
    assert.doesNotMatch(run('b1', 'cat /proc/net/tcp /proc/net/tcp6'), / 03 /);
  });

  test('lost before the balancer: the router does not send the VIP here', () => {
    run('router', 'ip route del 198.18.10.1/32');
    const [, , whole] = probe();
    assert.deepEqual(gist([whole]), [
      'error probe-router | [the router] ip route replace 198.18.10.1/32 via 198.18.2.10',
    ]);
    run('router', whole.mend[0].command);
    assert.deepEqual(codes(), ['probe', 'probe', 'probe-whole']);
  });

  test('lost at the decapsulation', async () => {
    await stop('b1', 'decap');
    const found = ofB1();
    assert.equal(found.code, 'probe-decapsulation');
    assert.match(found.found, /198\.18\.2\.1 does not know ipip/);
    await startHushlb('b1', 'decap', found.mend[0].command);
    assert.equal(ofB1().code, 'probe');
  });

  test('lost at the backend: no VIP, and no answer to anything', () => {
    run('b1', 'ip address del 198.18.10.1/32 dev lo');
    const found = ofB1();
    assert.equal(found.code, 'probe-silence');
    assert.match(found.why ?? '', /^the host answers ping/);
    assert.deepEqual(found.mend, [{ command: `hushlb doctor --backend -c ${hosts.file()}`, on: 'b1' }]);
    run('b1', 'ip address add 198.18.10.1/32 dev lo');
  });

  test('lost at the next hop', () => {
    run('b1', 'ip link set eth0 down');
    run('lb', 'ip neigh flush all');
    assert.equal(ofB1().code, 'probe-next-hop');
    run('b1', 'ip link set eth0 up && ip route replace default via 198.18.2.254');
  });

  test('lost at the listener', async () => {
    await stop('b1', 'web');
    assert.equal(ofB1().code, 'probe-listener');
    await serve('b1');
  });

  test('lost for its size, on a link that says nothing', () => {
    run('lb', 'ip link set eth0 mtu 1520');
    for (const name of ['lb', 'b2', 'br0']) run('router', `ip link set ${name} mtu 1520`);
    for (const name of ['b1', 'b2']) run(name, 'ip link set eth0 mtu 1520');
    const found = ofB1();
    assert.deepEqual(gist([found]), ['warning probe-mtu | [every link on the way] ip link set eth0 mtu 1520']);
    run('router', 'ip link set b1 mtu 1520');
    assert.match(ofB1().found, /of full size too$/);
  });
});
