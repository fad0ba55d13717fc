/**
 * The network for real: built from its description, looked at with the kernel's own tools, and gone again.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { after, describe, it } from 'node:test';
import { inNamespace } from '../../io/namespace.ts';
import { type Addresses as AddressesOfLab, IPV4, IPV6 } from '../../lab/addresses.ts';
import { waitForListener } from '../../lab/backends.ts';
import { startCaptures } from '../../lab/captures.ts';
import { LabError } from '../../lab/errors.ts';
import { meet } from '../../lab/neighbours.ts';
import { buildNetwork } from '../../lab/network.ts';
import { parsePackets } from '../../lab/packets.ts';
import { labProgram, startProcess } from '../../lab/processes.ts';
import { removeRun } from '../../lab/runs.ts';
import { sharedLan, VIP } from '../../lab/topology.ts';
import { needsRoot } from '../io/two-hosts.ts';

const RUN = `test-${process.pid}`;
const never = new AbortController().signal;

after(() => void removeRun(RUN));

function ownNamespaces(): string[] {
  return readdirSync('/run/netns').filter((name) => name.startsWith(`hushlb-${RUN}-`));
}

interface Addresses {
  readonly addr_info: readonly { readonly family: string; readonly local: string; readonly prefixlen: number }[];
}

describe('buildNetwork', { skip: needsRoot }, () => {
  it('builds what is described, and removeRun leaves nothing of it', async () => {
    const network = buildNetwork(RUN, sharedLan(3));
    assert.equal(ownNamespaces().length, 6);

    const ip = (host: string, ...command: string[]): string =>
      execFileSync('ip', ['-n', network.namespace(host), '-json', ...command], { encoding: 'utf8' });
    const addresses = (host: string): string[] =>
      (JSON.parse(ip(host, 'address')) as Addresses[])
        .flatMap((each) => each.addr_info.map(({ local, prefixlen }) => `${local}/${prefixlen}`))
        .filter((each) => !each.startsWith('127.'));
    assert.deepEqual(addresses('client'), ['198.18.0.2/24']);
    assert.deepEqual(addresses('router').sort(), ['198.18.0.1/24', '198.18.2.254/24']);
    assert.deepEqual(addresses('lb'), ['198.18.2.10/24']);
    assert.deepEqual(addresses('b3').sort(), ['198.18.10.1/32', '198.18.2.3/24']);
    assert.match(ip('router', 'route', 'get', VIP), /"gateway":"198.18.2.10"/);
    const sysctl = (host: string, name: string): string =>
      inNamespace(network.namespace(host), () => readFileSync(`/proc/sys/net/${name}`, 'utf8')).trim();
    assert.equal(sysctl('router', 'ipv4/ip_forward'), '1');
    assert.equal(sysctl('lb', 'ipv4/ip_forward'), '0');
    assert.equal(sysctl('b2', 'ipv4/conf/all/arp_ignore'), '1');
    assert.equal(sysctl('b2', 'ipv4/conf/all/arp_announce'), '2');
    assert.equal(sysctl('b2', 'ipv4/conf/eth0/rp_filter'), '0');
    // Where the kernel has br_netfilter.
    const filters = inNamespace(network.namespace('router'), () => existsSync('/proc/sys/net/bridge'));
    if (filters) assert.equal(sysctl('router', 'bridge/bridge-nf-call-iptables'), '0');

    await watchOneConversation(network.namespace, IPV4);
    const removal = removeRun(RUN);
    assert.equal(removal.namespaces, 6);
    assert.deepEqual(ownNamespaces(), []);
    assert.deepEqual(removeRun(RUN), { namespaces: 0, processes: 0, directory: false });
  });

  it('builds the same in IPv6, where nobody waits for anything', async () => {
    const network = buildNetwork(RUN, sharedLan(2, { family: 6, balancers: ['lb', 'lb2'] }));
    const ip = (host: string, ...command: string[]) =>
      JSON.parse(execFileSync('ip', ['-n', network.namespace(host), '-json', ...command], { encoding: 'utf8' }));
    const addresses = (host: string): string[] =>
      (ip(host, '-6', 'address', 'show', 'scope', 'global') as Addresses[])
        .flatMap(({ addr_info: each }) => each)
        // iproute2 leaves empty objects where it has left an address out.
        .flatMap(({ local, prefixlen }) => (local === undefined ? [] : `${local}/${prefixlen}`));
    assert.deepEqual(addresses('client'), ['2001:db8::2/64']);
    assert.deepEqual(addresses('router').sort(), ['2001:db8:2::254/64', '2001:db8::1/64']);
    assert.deepEqual(addresses('lb2'), ['2001:db8:2::11/64']);
    assert.deepEqual(addresses('b2').sort(), ['2001:db8:10::1/128', '2001:db8:2::2/64']);
    const [route] = ip('router', '-6', 'route', 'show', IPV6.vip);
    const gateways = route.nexthops.map(({ gateway }: { gateway: string }) => gateway);
    assert.deepEqual(gateways.sort(), ['2001:db8:2::10', '2001:db8:2::11']);
    const sysctl = (host: string, name: string): string =>
      inNamespace(network.namespace(host), () => readFileSync(`/proc/sys/net/${name}`, 'utf8')).trim();
    assert.equal(sysctl('router', 'ipv6/conf/all/forwarding'), '1');
    assert.equal(sysctl('router', 'ipv6/fib_multipath_hash_policy'), '1');
    assert.equal(sysctl('b1', 'ipv6/conf/all/forwarding'), '0');

    const namespace = network.namespace('router');
    await meet({ namespace, interface: 'client', neighbour: IPV6.client }, never);
    assert.match(JSON.stringify(ip('router', '-6', 'neigh', 'show', IPV6.client)), /"lladdr"/);
    await watchOneConversation(network.namespace, IPV6);
    assert.equal(removeRun(RUN).namespaces, 6);
  });

  it('can lose ICMP on the way to the client, in either family', () => {
    for (const family of [4, 6] as const) {
      const network = buildNetwork(RUN, sharedLan(1, { family, losesIcmp: true }));
      const rules = execFileSync('ip', [`-${family}`, '-n', network.namespace('router'), 'rule'], { encoding: 'utf8' });
      const [client, icmp] = family === 6 ? [IPV6.client, 'ipv6-icmp'] : [IPV4.client, 'icmp'];
      assert.match(rules, new RegExp(`to ${client} iif br0 ipproto ${icmp} blackhole`));
      removeRun(RUN);
    }
  });

  it('names the command that failed, and leaves the rest for removeRun', () => {
    const [client] = sharedLan(1).hosts;
    const twice = { hosts: [{ ...client, routes: [{ to: 'default', via: '203.0.113.1' }] }], cables: [] };
    assert.throws(
      () => buildNetwork(RUN, twice),
      (error) =>
        error instanceof LabError && error.code === 'LAB_NETWORK' && /'ip -netns .* address add /.test(error.message),
    );
    assert.equal(removeRun(RUN).namespaces, 1);
  });
});

/** A request to b2's own address, captured at both ends of the router. */
async function watchOneConversation(
  namespace: (host: string) => string,
  { family, backend }: AddressesOfLab,
): Promise<void> {
  const captures = startCaptures([
    { host: 'client', namespace: namespace('client'), interface: 'eth0', farEnd: false },
    { host: 'b2', namespace: namespace('router'), interface: 'b2', farEnd: true },
  ]);
  const run = (host: string, program: string, ...options: string[]) =>
    startProcess({
      name: program,
      namespace: namespace(host),
      command: [process.execPath, labProgram(program), ...options],
      onUnexpectedEnd: (error) => assert.fail(error.message),
    });
  const server = run('b2', 'http-server', '--name', 'b2', '--port', '80', '--family', String(family));
  await waitForListener(namespace('b2'), 80, 'the server', never);
  const client = run('client', 'keepalive-client', '--host', backend('b2'), '--connections', '1');
  const answer = await client.waitForLine((line) => line.includes('exchange'), 15_000, never);
  assert.equal((JSON.parse(answer) as { backend: string }).backend, 'b2');
  await client.stop();
  await server.stop();
  assert.equal(captures.stop(), 0);
  assert.equal(captures.stop(), 0);

  const requests = parsePackets(captures.frames).filter(({ httpLine }) => httpLine === 'GET / HTTP/1.1');
  assert.deepEqual(
    requests.map(({ host, direction }) => [host, direction]),
    [
      ['client', 'out'],
      ['b2', 'in'],
    ],
  );
  assert.ok(Math.abs(requests[0].timeMs - Date.now()) < 10_000);
}
