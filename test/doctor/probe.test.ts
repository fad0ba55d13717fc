/**
 * `hushlb doctor --probe` on real hosts: each hop loses packets in turn, and the probe says which; where it prints a command, that
 * command mends it.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { examineBalancer } from '../../doctor/balancer.ts';
import type { Finding } from '../../doctor/finding.ts';
import { probeFromBalancer, probeFromClient } from '../../doctor/probe-host.ts';
import { inNamespace } from '../../io/namespace.ts';
import type { Config } from '../../lb/config.ts';
import { readConfigFile } from '../../lb/config-file.ts';
import { needsRoot } from '../io/two-hosts.ts';
import { gist } from './gist.ts';
import { useHosts } from './hosts.ts';

describe('hushlb doctor --probe', { skip: needsRoot }, () => {
  const hosts = useHosts();
  const { at, run, stop, serve, startHushlb } = hosts;
  const probe = (): Finding[] =>
    inNamespace(at('lb'), () => {
      const { config, ways } = examineBalancer(hosts.file());
      return probeFromBalancer({ config: config as Config, ways, file: hosts.file() });
    });
  const codes = () => probe().map(({ code }) => code);
  /** What is said of b1; b2 answers all along. */
  const ofB1 = (): Finding => {
    const [b1, b2] = probe();
    assert.equal(b2.code, 'probe');
    return b1;
  };

  const ofClient = () => inNamespace(at('client'), () => probeFromClient(readConfigFile(hosts.file()).config.services));
  const addVip = '[b1] ip address add 198.18.10.1/32 dev lo';
  const look = () => `[b1] hushlb doctor --backend -c ${hosts.file()}`;
  const drop = (rule: string) =>
    run(
      'b1',
      `nft 'add table ip f; add chain ip f i { type filter hook input priority 0; }; add rule ip f i ${rule} drop'`,
    );
  const dropNothing = () => run('b1', 'nft delete table ip f');

  test('all well without hushlb: the tunnels, and why not the whole way', async () => {
    await hosts.followReadme();
    assert.deepEqual(codes(), ['probe', 'probe', 'probe-skipped']);
  });

  test('all well beside hushlb: the whole way too, from the balancer and from a client', async () => {
    await startHushlb('lb', 'run', 'hushlb run -c hushlb.yaml');
    assert.deepEqual(codes(), ['probe', 'probe', 'probe-whole']);
    assert.deepEqual(gist(ofClient()), ['ok probe-whole']);
  });

  test('what captures show carries the mark, and no connection is left half-open', () => {
    // TCP: 03 is SYN_RECV.
    assert.doesNotMatch(run('b1', 'cat /proc/net/tcp /proc/net/tcp6'), / 03 /);
  });

  test("lost at one backend of two, on the clients' way alone", () => {
    drop('ip saddr 198.18.0.2');
    assert.deepEqual(codes(), ['probe', 'probe', 'probe-whole']);
    const [found] = ofClient();
    assert.equal(found.code, 'probe-whole-some');
    assert.match(found.found, / came for [1-7] of 8 SYNs .*, the others are lost$/);
    dropNothing();
  });

  test('lost before the balancer: the router does not send the VIP here', async () => {
    run('router', 'ip route del 198.18.10.1/32');
    const [, , whole] = probe();
    assert.deepEqual(gist([whole]), [
      'error probe-router | [the router] ip route replace 198.18.10.1/32 via 198.18.2.10',
    ]);
    run('router', whole.mend[0].command);
    assert.deepEqual(codes(), ['probe', 'probe', 'probe-whole']);
    // What is lost at a backend is told without it, and faster.
    await stop('lb', 'run');
  });

  test('lost at the decapsulation', async () => {
    await stop('b1', 'decap');
    const found = ofB1();
    assert.equal(found.code, 'probe-decapsulation');
    assert.match(found.found, /198\.18\.2\.1 does not take ipip off/);
    drop('ip protocol 4');
    const silent = ofB1();
    assert.deepEqual(gist([silent]), [`error probe-decapsulation | ${look()}`]);
    assert.match(silent.why ?? '', /^the host answers ping, but not through ipip/);
    dropNothing();
    await startHushlb('b1', 'decap', found.mend[0].command);
    assert.equal(ofB1().code, 'probe');
  });

  test('lost at the VIP: the backend has it not', () => {
    run('b1', 'ip address del 198.18.10.1/32 dev lo');
    const found = ofB1();
    assert.deepEqual(gist([found]), [`error probe-vip | ${addVip} | ${look()}`]);
    run('b1', found.mend[0].command);
    assert.equal(ofB1().code, 'probe');
  });

  test('lost at the VIP: the backend has it not and is a router, so that others may answer for it', () => {
    run('b1', 'ip address del 198.18.10.1/32 dev lo && sysctl -qw net.ipv4.ip_forward=1');
    const found = ofB1();
    assert.match(found.found, /routes packets for 198\.18\.10\.1 on/);
    assert.equal(gist([found])[0].split(' | ')[1], addVip);
    run('b1', 'sysctl -qw net.ipv4.ip_forward=0 && ip address add 198.18.10.1/32 dev lo');
  });

  test('lost at the port: a firewall of the backend', () => {
    drop('tcp dport 80');
    assert.deepEqual(gist([ofB1()]), [`error probe-port | ${look()}`]);
    dropNothing();
  });

  test('lost at the next hop', () => {
    run('b1', 'ip link set eth0 down');
    run('lb', 'ip neigh flush all');
    assert.equal(ofB1().code, 'probe-next-hop');
    run('b1', 'ip link set eth0 up && ip route replace default via 198.18.2.254');
    run('lb', 'ip neigh flush all');
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
