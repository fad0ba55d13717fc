/**
 * Doctor on real hosts: README's "on your own hosts" makes it green on both sides, and packets flow then; each breakage is named,
 * and the very command that doctor prints mends it.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { examineBackend } from '../../doctor/backend.ts';
import { examineBalancer } from '../../doctor/balancer.ts';
import type { Finding } from '../../doctor/finding.ts';
import { loadProgram, XDP_PASS } from '../../io/bpf.ts';
import { alu, assemble, exit } from '../../io/bpf-assembler.ts';
import { closeDescriptor } from '../../io/ffi.ts';
import { readLink } from '../../io/links.ts';
import { inNamespace } from '../../io/namespace.ts';
import { attribute, request } from '../../io/netlink.ts';
import { HUSHLB } from '../../lab/processes.ts';
import { needsRoot } from '../io/two-hosts.ts';
import { never, PATIENCE_MS } from '../lb/lan.ts';
import { useHosts } from './hosts.ts';

describe('hushlb doctor', { skip: needsRoot }, () => {
  const hosts = useHosts();
  const { at, run, start, stop, startHushlb, serve } = hosts;

  const balancer = (): Finding[] => inNamespace(at('lb'), () => [...examineBalancer(hosts.file()).findings]);
  const backend = (more: { service?: string } = {}): Finding[] =>
    inNamespace(at('b1'), () => {
      const question = {
        file: hosts.file(),
        services: [],
        service: undefined,
        interface: undefined,
        clients: [],
        ...more,
      };
      return examineBackend(question);
    });
  const bad = (findings: readonly Finding[]) =>
    findings.filter(({ severity }) => severity === 'warning' || severity === 'error').map(({ code }) => code);

  /** Sees the finding there, runs its commands where they say, and sees it gone. Returns what was found. */
  function mends(host: 'lb' | 'b1', code: string): Finding {
    const look = host === 'lb' ? balancer : backend;
    const findings = look();
    const found = findings.find((finding) => finding.code === code && finding.severity !== 'ok');
    assert.ok(found !== undefined, `${code} is not among ${bad(findings)}`);
    for (const { command, on } of found.mend) run(on ?? host, command);
    assert.ok(!bad(look()).includes(code), `${code} is still there after ${found.mend.map(({ command }) => command)}`);
    return found;
  }

  test('before anything is done, the backend lacks what README has one do', () => {
    const codes = bad(backend());
    for (const code of ['vip-missing', 'arp-ignore', 'arp-announce', 'rp-filter', 'no-decapsulation', 'mss-large']) {
      assert.ok(codes.includes(code), `${code} is not among ${codes}`);
    }
  });

  test("README's commands make it green on both sides, and packets flow", async () => {
    await hosts.followReadme();
    assert.deepEqual(bad(balancer()), []);
    assert.deepEqual(bad(backend()), []);
    await startHushlb('lb', 'run', 'hushlb run -c hushlb.yaml');
    const beside = balancer();
    assert.deepEqual(bad(beside), []);
    assert.ok(beside.some(({ code }) => code === 'hook-ours'));
    const get = "fetch('http://198.18.10.1/').then((answer) => answer.text()).then(console.log)";
    assert.match(run('client', `${process.execPath} -e "${get}"`), /^b[12]/);
    await stop('lb', 'run');
  });

  test('the command says so, with exit codes, as text and as JSON', () => {
    const doctor = (host: string, ...args: string[]) =>
      spawnSync('ip', ['netns', 'exec', at(host), process.execPath, HUSHLB, 'doctor', ...args], { encoding: 'utf8' });
    const green = doctor('lb', '-c', hosts.file());
    assert.deepEqual([green.status, green.stderr], [0, '']);
    assert.match(green.stdout, /^all well: .*\n$/m);
    run('b1', 'ip address del 198.18.10.1/32 dev lo');
    const named = doctor('b1', '--backend', '--vip', '198.18.10.1', '--port', '80', '--json');
    assert.equal(named.status, 1);
    const { findings } = JSON.parse(named.stdout) as { findings: Finding[] };
    assert.deepEqual(bad(findings), ['vip-missing']);
    mends('b1', 'vip-missing');
  });

  describe('on the balancer', () => {
    test('the interface is down', () => {
      run('lb', 'ip link set eth0 down');
      mends('lb', 'interface-down');
      run('lb', 'ip route replace default via 198.18.2.254');
    });
    test('no carrier', () => {
      run('router', 'ip link set lb down');
      assert.ok(bad(balancer()).includes('no-carrier'));
      run('router', 'ip link set lb up');
      assert.ok(!bad(balancer()).includes('no-carrier'));
    });
    test('a backend without a route', () => {
      run('lb', 'ip route add blackhole 198.18.2.1/32');
      mends('lb', 'no-route');
      run('lb', 'ip route del 198.18.2.1/32');
    });
    test('a route that leads elsewhere', () => {
      run('lb', 'ip route add 198.18.2.1/32 dev lo');
      assert.match(mends('lb', 'route-elsewhere').found, /through lo, not eth0/);
      run('lb', 'ip route del 198.18.2.1/32');
    });
    test('a next hop that does not answer', () => {
      run('b1', 'ip link set eth0 down');
      run('lb', 'ip neigh flush all');
      assert.match(mends('lb', 'next-hop-silent').found, /^198\.18\.2\.1, .* ARP on eth0/);
      run('b1', 'ip route replace default via 198.18.2.254');
    });
    test('the VIP is local', () => {
      run('lb', 'ip address add 198.18.10.1/32 dev lo');
      mends('lb', 'vip-here');
    });
    test('a small MTU', () => {
      run('lb', 'ip link set eth0 mtu 1200');
      mends('lb', 'mtu-small');
      run('lb', 'ip link set eth0 mtu 1500');
    });
    test("another's XDP program", () => {
      attachForeign(at('lb'));
      assert.match(mends('lb', 'hook-taken').found, /some_program, id \d+/);
    });
    test('a file that everybody may write', () => {
      chmodSync(hosts.file(), 0o666);
      mends('lb', 'world-writable');
    });
    test('the default seed', () => {
      run('lb', `sed -i '/^hashSeed/d' ${hosts.file()}`);
      mends('lb', 'hash-seed');
    });
    test('a bad file', () => {
      const text = readFileSync(hosts.file(), 'utf8');
      writeFileSync(hosts.file(), text.replace('port: 80', 'port: 0'));
      assert.deepEqual(bad(balancer()), ['configuration-bad']);
      writeFileSync(hosts.file(), text);
    });
    test('the end of it: nothing is left', () => assert.deepEqual(bad(balancer()), []));
  });

  describe('on the backend', () => {
    const breakages: [code: string, command: string][] = [
      ['vip-missing', 'ip address del 198.18.10.1/32 dev lo'],
      ['vip-on-link', 'ip address del 198.18.10.1/32 dev lo && ip address add 198.18.10.1/32 dev eth0'],
      ['vip-network', 'ip address del 198.18.10.1/32 dev lo && ip address add 198.18.10.1/24 dev lo'],
      ['loopback-down', 'ip link set lo down'],
      ['rp-filter', 'sysctl -qw net.ipv4.conf.eth0.rp_filter=1'],
      ['arp-ignore', 'sysctl -qw net.ipv4.conf.all.arp_ignore=0'],
      ['arp-announce', 'sysctl -qw net.ipv4.conf.all.arp_announce=0'],
      ['interface-down', 'ip link set eth0 down'],
    ];
    for (const [code, command] of breakages) {
      test(code, () => {
        run('b1', command);
        mends('b1', code);
        run('b1', 'ip route replace default via 198.18.2.254');
      });
    }
    test('no way back', () => {
      run('b1', 'ip route del default');
      const { mend } = backend().find(({ code }) => code === 'no-way-back') as Finding;
      run('b1', mend[0].command.replace('GATEWAY', '198.18.2.254'));
      assert.deepEqual(bad(backend()), []);
    });
    test('no listener, and one elsewhere', async () => {
      await stop('b1', 'web');
      assert.deepEqual(bad(backend()), ['no-listener']);
      const script = "require('net').createServer().listen(80, '198.18.2.1', () => console.log('listening'))";
      const elsewhere = start('b1', 'elsewhere', [process.execPath, '-e', script]);
      await elsewhere.waitForLine((line) => line === 'listening', PATIENCE_MS, never);
      const found = backend().find(({ code }) => code === 'listener-elsewhere');
      assert.match(found?.found ?? '', /only on 198\.18\.2\.1 port 80$/);
      await elsewhere.stop();
      await serve('b1');
      assert.deepEqual(bad(backend()), []);
    });
    test('a firewall that drops tunnels: a hint', () => {
      run('b1', "nft 'add table ip f; add chain ip f i { type filter hook input priority 0; policy drop; }'");
      const found = backend().find(({ code }) => code === 'firewall-policy');
      assert.equal(found?.severity, 'note');
      run('b1', found.mend[0].command);
      assert.match(run('b1', 'nft list table ip f'), /tcp dport 80 accept/);
      assert.ok(!backend().some(({ code }) => code === 'firewall-policy'));
      run('b1', 'nft delete table ip f');
    });
    test('decapsulation: none, of another kind, without room', async () => {
      await stop('b1', 'decap');
      const [none] = backend().filter(({ code }) => code === 'no-decapsulation');
      await startHushlb('b1', 'decap', 'hushlb decap --interface eth0 --encap gre');
      assert.deepEqual(bad(backend()), ['decap-other', 'mss-large']);
      await stop('b1', 'decap');
      await startHushlb('b1', 'decap', none.mend[0].command);
      assert.deepEqual(bad(backend()), []);
    });
  });
});

/** By netlink and without a link, as `ip link set dev eth0 xdp object FILE` does it. */
function attachForeign(namespace: string): void {
  const [RTM_SETLINK, IFLA_XDP, IFLA_XDP_FD] = [19, 43, 1];
  inNamespace(namespace, () => {
    const fd = loadProgram('some_program', assemble([alu('r0', '=', XDP_PASS), exit()]));
    try {
      const header = Buffer.alloc(16);
      header.writeInt32LE(readLink('eth0')?.index ?? 0, 4);
      const value = Buffer.alloc(4);
      value.writeInt32LE(fd);
      const NESTED = 0x8000;
      request(
        'RTM_SETLINK',
        RTM_SETLINK,
        0,
        Buffer.concat([header, attribute(IFLA_XDP | NESTED, attribute(IFLA_XDP_FD, value))]),
      );
    } finally {
      closeDescriptor(fd);
    }
  });
}
