/**
 * What doctor makes of facts about a balancer's interface, its VIPs and its ways to backends, row by row: no kernel, no network.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type InterfaceFacts, judgeHook, judgeLink, judgeOffloads, judgeQueues } from '../../doctor/interface.ts';
import { type BackendPath, judgePaths, type PathFacts, type Way } from '../../doctor/path.ts';
import { judgeVipsHere, type VipHereFacts } from '../../doctor/vip-here.ts';
import { gist } from './gist.ts';

const LINK = {
  index: 2,
  name: 'eth0',
  mac: Uint8Array.of(2, 0, 0, 0, 0, 1),
  mtu: 1500,
  up: true,
  running: true,
  rxQueues: 1,
  txQueues: 1,
  kind: undefined,
};
const DEVICE: InterfaceFacts = {
  name: 'eth0',
  link: LINK,
  others: ['lo', 'eth0'],
  queues: 4,
  offloads: { txChecksum: true, tso: true, gso: true, gro: true },
  xdp: [],
  egress: [],
};

describe('interface', () => {
  const linkRows: [name: string, link: Partial<typeof LINK> | undefined, others: string[], expected: string[]][] = [
    ['up', {}, [], ['ok interface']],
    ['down', { up: false, running: false }, [], ['error interface-down | ip link set eth0 up']],
    [
      'no carrier',
      { running: false },
      [],
      ['error no-carrier | [the other end of the cable] ip link set INTERFACE up'],
    ],
    [
      'missing, one other',
      undefined,
      ['lo', 'ens3'],
      [`error interface-missing | sed -i -e '1i interface: ens3' -e '/^interface:/d' f.yaml`],
    ],
    ['missing, two others', undefined, ['lo', 'ens3', 'ens4'], ['error interface-missing']],
  ];
  for (const [name, link, others, expected] of linkRows) {
    test(name, () => {
      const facts = { ...DEVICE, others, link: link && { ...LINK, ...link } };
      assert.deepEqual(gist(judgeLink(facts, 'f.yaml')), expected);
    });
  }
  test('no MAC address', () => {
    assert.deepEqual(gist(judgeLink({ ...DEVICE, link: { ...LINK, mac: undefined } }, null)), ['error no-mac']);
  });

  const queueRows: [name: string, wanted: object, expected: string[]][] = [
    ['a worker each', {}, ['ok queues']],
    ['too many workers', { workers: 8 }, ['error too-few-queues | ethtool -L eth0 combined 8']],
    ['too many workers, and auto', { workers: 8, io: 'auto' }, ['warning too-few-queues | ethtool -L eth0 combined 8']],
    ['of packet sockets any number', { workers: 8, io: 'af-packet' }, []],
    ['CPUs for half of them', { cpus: [2, 3] }, ['error cpus-unlike-queues | ethtool -L eth0 combined 2']],
    ['workers and CPUs agree', { workers: 2, cpus: [2, 3] }, ['ok queues']],
  ];
  for (const [name, wanted, expected] of queueRows) {
    test(name, () => {
      const all = { io: 'af-xdp' as const, workers: 'auto' as const, cpus: null, cpuCount: 8, ...wanted };
      assert.deepEqual(gist(judgeQueues(DEVICE, all)), expected);
    });
  }

  test('offloads: GRO costs packet sockets, breaks the portable device, and is nothing to AF_XDP', () => {
    assert.deepEqual(gist(judgeOffloads(DEVICE, 'af-packet')), ['note gro | ethtool -K eth0 gro off lro off']);
    assert.deepEqual(gist(judgeOffloads(DEVICE, 'portable')), [
      'warning gro-portable | ethtool -K eth0 gro off lro off',
    ]);
    assert.deepEqual(gist(judgeOffloads(DEVICE, 'af-xdp')), []);
  });
  test('offloads: behind a veth there are senders without a card', () => {
    const veth = { ...DEVICE, link: { ...LINK, kind: 'veth' } };
    const note = 'note unfinished-checksums | [each sender on this machine] ethtool -K eth0 tx off';
    assert.deepEqual(gist(judgeOffloads(veth, 'af-xdp')), [note]);
    assert.deepEqual(gist(judgeOffloads(veth, 'nothing')), []);
  });

  const program = (name: string | undefined, linkId?: number) => ({ ...DEVICE, xdp: [{ id: 12, name, linkId }] });
  test('the XDP hook: ours, another, another by a link, and who may not ask', () => {
    assert.deepEqual(gist(judgeHook(DEVICE, 'af-xdp')), []);
    assert.deepEqual(gist(judgeHook(program('hushlb_steering', 3), 'af-xdp')), ['ok hook-ours']);
    assert.deepEqual(gist(judgeHook(program('cilium'), 'af-xdp')), ['error hook-taken | ip link set dev eth0 xdp off']);
    assert.deepEqual(gist(judgeHook(program('x', 7), 'auto')), ['warning hook-taken | bpftool link detach id 7']);
    assert.deepEqual(gist(judgeHook(program('x'), 'af-packet')), []);
    assert.deepEqual(gist(judgeHook(program(undefined), 'af-xdp')), ['note hook-unseen | sudo -s']);
  });
});

describe('VIP on the balancer', () => {
  const good: VipHereFacts = {
    local: [],
    vips: ['198.18.10.1'],
    io: 'af-xdp',
    echo: 'answer',
    mayGuard: true,
    forwards: false,
  };
  const local = [{ vip: '198.18.10.1', interface: 'lo', prefixLength: 32 }];
  const remove = 'ip address del 198.18.10.1/32 dev lo';
  const rows: [name: string, facts: Partial<VipHereFacts>, expected: string[]][] = [
    ['not there', {}, ['ok vip']],
    ['there', { local }, [`warning vip-here | ${remove}`]],
    ["there, and echo requests are the kernel's", { local, echo: 'kernel' }, ['note vip-here']],
    ['there, and no guard', { local, io: 'portable', mayGuard: false }, [`error vip-here | ${remove}`]],
    [
      'a router without a guard',
      { io: 'portable', mayGuard: false, forwards: true },
      ['warning forwards-too | sysctl -w net.ipv4.ip_forward=0'],
    ],
    ['a router with one', { io: 'portable', forwards: true }, ['ok vip']],
  ];
  for (const [name, facts, expected] of rows) {
    test(name, () => assert.deepEqual(gist(judgeVipsHere({ ...good, ...facts })), expected));
  }
});

describe('path', () => {
  const link: Way = { kind: 'link', via: '198.18.2.1', neighbour: 'answers', mtu: 1600, onLink: true };
  const path: BackendPath = {
    service: 'web',
    backend: 'b1',
    address: '198.18.2.1',
    encap: 'ipip',
    overhead: 20,
    protocol: 'tcp',
    way: link,
  };
  const facts = (...backends: BackendPath[]): PathFacts => ({
    interface: 'eth0',
    isOnLink: (address) => address.startsWith('198.18.2.'),
    gatewayFor: (address) => (address.startsWith('203.0.113.') ? undefined : '198.18.2.254'),
    backends,
  });
  const far = { ...path, address: '198.18.7.1' };
  const rows: [name: string, backends: BackendPath[], expected: string[]][] = [
    ['all well', [path], ['ok path', 'ok mtu']],
    [
      'no route, on the link',
      [{ ...path, way: { kind: 'none' } }],
      ['error no-route | ip route replace 198.18.2.1/32 dev eth0'],
    ],
    [
      'no route, behind the gateway',
      [{ ...far, way: { kind: 'none' } }],
      ['error no-route | ip route replace 198.18.7.1/32 via 198.18.2.254 dev eth0'],
    ],
    [
      'no route, no gateway known',
      [{ ...path, address: '203.0.113.1', way: { kind: 'none' } }],
      ['error no-route | ip route replace 203.0.113.1/32 via GATEWAY dev eth0'],
    ],
    ['the host itself', [{ ...path, way: { kind: 'local' } }], ['error backend-local']],
    [
      'another interface',
      [{ ...path, way: { kind: 'elsewhere', interface: 'eth1' } }],
      ['error route-elsewhere | ip route replace 198.18.2.1/32 dev eth0'],
    ],
    [
      'silent',
      [{ ...path, way: { ...link, neighbour: 'silent' } }],
      ['error next-hop-silent | [b1] ip link set eth0 up'],
    ],
    [
      'unasked',
      [{ ...path, way: { ...link, neighbour: 'unasked' } }],
      ['note next-hop-unasked | ping -c 1 198.18.2.1'],
    ],
    [
      'one of two',
      [
        { ...path, way: { kind: 'none' } },
        { ...far, backend: 'b2' },
      ],
      ['error no-route | ip route replace 198.18.2.1/32 dev eth0', 'ok path', 'ok mtu'],
    ],
    [
      'an address of two services is said once',
      [path, { ...path, service: 'api' }].map((each) => ({ ...each, way: { kind: 'local' } as const })),
      ['error backend-local'],
    ],
    [
      'no room',
      [{ ...path, way: { ...link, mtu: 1500 } }],
      ['ok path', 'note mtu-tight | [balancer, switches and backends] ip link set eth0 mtu 1520'],
    ],
    ['room to the byte', [{ ...path, way: { ...link, mtu: 1520 } }], ['ok path', 'ok mtu']],
    ['l2 wants none', [{ ...path, overhead: 0, way: { ...link, mtu: 1500 } }], ['ok path', 'ok mtu']],
    [
      'much too small',
      [{ ...path, way: { ...link, mtu: 1000 } }],
      ['ok path', 'warning mtu-small | ip link set eth0 mtu 1520'],
    ],
  ];
  for (const [name, backends, expected] of rows) {
    test(name, () => assert.deepEqual(gist(judgePaths(facts(...backends))), expected));
  }
});
