/** Route look-ups, with `ip -json route get` as the oracle. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { readLink } from '../../io/links.ts';
import { inNamespace } from '../../io/namespace.ts';
import { lookupRoute } from '../../io/routes.ts';
import { addressBytes, ip, ipJson, makeTwoHosts, needsRoot, type TwoHosts } from './two-hosts.ts';

describe('lookupRoute', { skip: needsRoot }, () => {
  let hosts: TwoHosts;
  before(() => {
    hosts = makeTwoHosts();
    const route = (...args: string[]) => ip('-n', hosts.left, 'route', 'add', ...args);
    route('198.18.1.0/24', 'via', '198.18.0.2');
    route('198.18.2.0/24', 'via', '198.18.0.2', 'mtu', '1400', 'src', '198.18.0.1');
    route('198.18.3.0/24', 'via', 'inet6', '2001:db8::2', 'dev', 'left');
    route('2001:db8:1::/64', 'via', '2001:db8::2', 'mtu', '1300');
    ip('-n', hosts.left, 'nexthop', 'add', 'id', '7', 'via', '198.18.0.77', 'dev', 'left');
    route('198.18.4.0/24', 'nhid', '7');
    route('2001:db8:2::/64', 'via', 'fe80::77', 'dev', 'left', 'src', '2001:db8::1');
    ip('-n', hosts.left, 'nexthop', 'add', 'id', '8', 'via', '2001:db8::77', 'dev', 'left');
    route('2001:db8:3::/64', 'nhid', '8');
    const hop = (gateway: string) => ['nexthop', 'via', gateway, 'dev', 'left'];
    route('2001:db8:4::/64', ...hop('fe80::78'), ...hop('fe80::79'));
    for (const [type, octet] of [
      ['blackhole', 11],
      ['unreachable', 12],
      ['prohibit', 13],
    ]) {
      route(`${type}`, `198.18.${octet}.0/24`);
      route(`${type}`, `2001:db8:${octet}::/64`);
    }
  });
  after(() => hosts.remove());

  const lookup = (destination: string) => inNamespace(hosts.left, () => lookupRoute(addressBytes(destination)));

  const reachable = [
    ['on the link', '198.18.0.2'],
    ['on the link, nobody there', '198.18.0.200'],
    ['through a gateway', '198.18.1.5'],
    ['with an MTU of its own', '198.18.2.5'],
    ['IPv4 through an IPv6 gateway', '198.18.3.5'],
    ['through a next-hop object', '198.18.4.5'],
    ['this host', '198.18.0.1'],
    ['loopback', '127.0.0.1'],
    ['IPv6 on the link', '2001:db8::2'],
    ['IPv6 through a gateway', '2001:db8:1::5'],
    ['IPv6, this host', '2001:db8::1'],
    ['IPv6 through a link-local gateway', '2001:db8:2::5'],
    ['IPv6 through a next-hop object', '2001:db8:3::5'],
    ['IPv6 through several next hops', '2001:db8:4::5'],
  ] as const;
  for (const [what, destination] of reachable) {
    test(`${what}: as \`ip route get\` says`, () => {
      const [shown] = ipJson(hosts.left, 'route', 'get', destination);
      const gateway = shown.gateway ?? shown.via?.host;
      const mtu = shown.metrics?.[0]?.mtu;
      assert.deepEqual(lookup(destination), {
        interfaceIndex: inNamespace(hosts.left, () => readLink(shown.dev)!.index),
        ...(gateway && { gateway: addressBytes(gateway) }),
        ...(shown.prefsrc && { source: addressBytes(shown.prefsrc) }),
        ...(mtu && { mtu }),
        local: shown.type === 'local',
        unreachable: false,
      });
    });
  }

  test('the oracle itself: what the interesting routes must say', () => {
    assert.deepEqual(lookup('198.18.1.5')?.gateway, addressBytes('198.18.0.2'));
    assert.deepEqual(lookup('198.18.1.5')?.source, addressBytes('198.18.0.1'));
    assert.equal(lookup('198.18.0.2')?.gateway, undefined);
    assert.equal(lookup('198.18.2.5')?.mtu, 1400);
    assert.equal(lookup('2001:db8:1::5')?.mtu, 1300);
    assert.deepEqual(lookup('2001:db8:1::5')?.source, addressBytes('2001:db8::1'));
    assert.deepEqual(lookup('2001:db8:2::5')?.gateway, addressBytes('fe80::77'));
    assert.deepEqual(lookup('2001:db8:3::5')?.gateway, addressBytes('2001:db8::77'));
    assert.match(String(lookup('2001:db8:4::5')?.gateway), /^254,128,.*,12[01]$/);
    assert.deepEqual(lookup('198.18.3.5')?.gateway, addressBytes('2001:db8::2'));
    assert.deepEqual(lookup('198.18.4.5')?.gateway, addressBytes('198.18.0.77'));
    assert.deepEqual([lookup('198.18.0.1')?.local, lookup('2001:db8::1')?.local], [true, true]);
  });

  test('routes that refuse are unreachable, no route is undefined', () => {
    const refused = { interfaceIndex: 0, local: false, unreachable: true };
    for (const octet of [11, 12, 13]) {
      assert.deepEqual(lookup(`198.18.${octet}.1`), refused);
      assert.deepEqual(lookup(`2001:db8:${octet}::1`), refused);
    }
    assert.equal(lookup('198.18.99.1'), undefined);
    assert.equal(lookup('2001:db8:99::1'), undefined);
  });

  test('addresses have 4 or 16 bytes', () => {
    assert.throws(() => lookupRoute(new Uint8Array(6)), { message: 'address: expected 4 or 16 bytes, got 6' });
  });
});
