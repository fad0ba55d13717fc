/**
 * What doctor makes of facts about a backend's host, row by row: no kernel, no network.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type AnswerFacts, judgeAnswers } from '../../doctor/answers.ts';
import { type DecapsulationFacts, judgeDecapsulation } from '../../doctor/decapsulation.ts';
import { judgeListeners } from '../../doctor/listener.ts';
import { judgeSysctls, type SysctlFacts } from '../../doctor/sysctls.ts';
import type { Target } from '../../doctor/target.ts';
import { judgeVips, type VipFacts } from '../../doctor/vip.ts';
import { addressBytes } from '../io/two-hosts.ts';
import { gist } from './gist.ts';
import { TARGET } from './target.ts';

const L2: Target = { ...TARGET, encap: 'l2', overhead: 0 };
const VIP6: Target = { ...TARGET, vip: '2001:db8:10::1' };

describe('VIP', () => {
  const at = (text: string, name: string, prefixLength: number): VipFacts['addresses'] => [
    { text, interface: name, prefixLength },
  ];
  const add = 'ip address add 198.18.10.1/32 dev lo';
  const rows: [name: string, facts: Partial<VipFacts>, target: Target, expected: string[]][] = [
    ['on lo', {}, TARGET, ['ok vip']],
    ['missing', { addresses: [] }, TARGET, [`error vip-missing | ${add}`]],
    ['missing, IPv6', {}, VIP6, ['error vip-missing | ip address add 2001:db8:10::1/128 dev lo']],
    [
      'on the link',
      { addresses: at('198.18.10.1', 'eth0', 24) },
      TARGET,
      [`warning vip-on-link | ip address del 198.18.10.1/24 dev eth0 | ${add}`],
    ],
    [
      'on the link, by l2',
      { addresses: at('198.18.10.1', 'eth0', 32) },
      L2,
      [`error vip-on-link | ip address del 198.18.10.1/32 dev eth0 | ${add}`],
    ],
    ['IPv6 on the link', { addresses: at('2001:db8:10::1', 'eth0', 64) }, VIP6, ['ok vip']],
    ['on a tunnel device', { addresses: at('198.18.10.1', 'tunl0', 32) }, TARGET, ['ok vip']],
    [
      'with a network',
      { addresses: at('198.18.10.1', 'lo', 8) },
      TARGET,
      [`warning vip-network | ip address del 198.18.10.1/8 dev lo | ${add}`],
    ],
    ['lo is down', { loopbackUp: false }, TARGET, ['error loopback-down | ip link set lo up', 'ok vip']],
  ];
  for (const [name, facts, target, expected] of rows) {
    test(name, () => {
      const all = { addresses: at('198.18.10.1', 'lo', 32), interface: 'eth0', loopbackUp: true, ...facts };
      assert.deepEqual(gist(judgeVips(all, [target])), expected);
    });
  }
});

describe('decapsulation', () => {
  const program = (name: string) => [{ id: 9, name, linkId: 4 }];
  const tunnel = (name: string, kind: string, up: boolean) => ({ tunnels: [{ name, kind, up }] });
  const gue: Target = { ...TARGET, encap: 'gue', guePort: 6081 };
  const rows: [name: string, facts: Partial<DecapsulationFacts>, target: Target, expected: string[]][] = [
    ['l2', {}, L2, ['ok decapsulation']],
    ['nothing', {}, TARGET, ['error no-decapsulation | hushlb decap --interface eth0 --encap ipip --mss-clamp auto']],
    [
      'nothing for GUE',
      {},
      gue,
      ['error no-decapsulation | hushlb decap --interface eth0 --encap gue --port 6081 --mss-clamp auto'],
    ],
    ['hushlb decap', { xdp: program('hushlb_decap'), strips: () => 'yes' }, TARGET, ['ok decapsulation']],
    [
      'hushlb decap of another encapsulation',
      { xdp: program('hushlb_decap') },
      TARGET,
      [
        'error decap-other | [this host, in place of the one that runs] hushlb decap --interface eth0 --encap ipip --mss-clamp auto',
      ],
    ],
    [
      'a program that only root may ask',
      { xdp: program('x'), strips: () => 'unseen' },
      TARGET,
      ['note decapsulation-unseen | sudo -s'],
    ],
    ['another program that does it', { xdp: program('katran'), strips: () => 'yes' }, TARGET, ['ok decapsulation']],
    ['tunl0', tunnel('tunl0', 'ipip', true), TARGET, ['ok decapsulation']],
    ['tunl0 is down', tunnel('tunl0', 'ipip', false), TARGET, ['error tunnel-down | ip link set tunl0 up']],
    ['sit0 is for IPv6 inside', tunnel('sit0', 'sit', true), VIP6, ['ok decapsulation']],
    [
      'tunl0 is not',
      tunnel('tunl0', 'ipip', true),
      VIP6,
      ['error no-decapsulation | hushlb decap --interface eth0 --encap ipip --mss-clamp auto'],
    ],
    ['ip6tnl for IPv6 outside', tunnel('lb6', 'ip6tnl', true), { ...TARGET, outer: 6 }, ['ok decapsulation']],
    ['gre0', tunnel('gre0', 'gre', false), { ...TARGET, encap: 'gre' }, ['error tunnel-down | ip link set gre0 up']],
    [
      'a tunnel without fou',
      tunnel('tunl0', 'ipip', true),
      gue,
      ['error no-fou | modprobe fou | ip fou add port 6081 gue'],
    ],
    ['fou', { ...tunnel('tunl0', 'ipip', true), udpPorts: [6081] }, gue, ['ok decapsulation']],
  ];
  for (const [name, facts, target, expected] of rows) {
    test(name, () => {
      const all: DecapsulationFacts = {
        interface: 'eth0',
        xdp: [],
        strips: () => 'no',
        tunnels: [],
        udpPorts: [],
        ...facts,
      };
      assert.deepEqual(gist(judgeDecapsulation(all, [target])), expected);
    });
  }
  test('once for each way in which packets come', () => {
    const facts: DecapsulationFacts = { interface: 'eth0', xdp: [], strips: () => 'no', tunnels: [], udpPorts: [] };
    assert.equal(judgeDecapsulation(facts, [TARGET, { ...TARGET, service: 'api' }, VIP6]).length, 2);
  });
});

describe('kernel settings', () => {
  const good: SysctlFacts = {
    interface: 'eth0',
    filters: [{ device: 'eth0', own: 0, all: 0 }],
    clientsBehind: 'eth0',
    arpIgnore: 1,
    arpAnnounce: 2,
    sharesLink: false,
  };
  const rows: [name: string, facts: Partial<SysctlFacts>, expected: string[]][] = [
    ['all well', {}, ['ok sysctls']],
    ['loose', { filters: [{ device: 'eth0', own: 2, all: 0 }] }, ['ok sysctls']],
    ['loose wins over strict', { filters: [{ device: 'eth0', own: 1, all: 2 }] }, ['ok sysctls']],
    [
      'strict by all',
      { filters: [{ device: 'eth0', own: 0, all: 1 }] },
      ['warning rp-filter | sysctl -w net.ipv4.conf.all.rp_filter=0'],
    ],
    [
      'strict by both',
      { filters: [{ device: 'eth0.7', own: 1, all: 1 }] },
      ['error rp-filter | sysctl -w net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.eth0/7.rp_filter=0'],
    ],
    [
      'strict on a tunnel device',
      { filters: [{ device: 'tunl0', own: 1, all: 0 }] },
      ['error rp-filter | sysctl -w net.ipv4.conf.tunl0.rp_filter=0'],
    ],
    ['answers ARP', { arpIgnore: 0 }, ['warning arp-ignore | sysctl -w net.ipv4.conf.all.arp_ignore=1']],
    [
      'answers ARP on the link of l2',
      { arpIgnore: 0, sharesLink: true },
      ['error arp-ignore | sysctl -w net.ipv4.conf.all.arp_ignore=1'],
    ],
    ['announces', { arpAnnounce: 0 }, ['warning arp-announce | sysctl -w net.ipv4.conf.all.arp_announce=2']],
    ['IPv6 has none of it', { filters: [], arpIgnore: null, arpAnnounce: null }, ['ok sysctls']],
  ];
  for (const [name, facts, expected] of rows) {
    test(name, () => assert.deepEqual(gist(judgeSysctls({ ...good, ...facts })), expected));
  }
});

describe('listener', () => {
  const on = (address: string, port = 80) => ({ address: addressBytes(address), port });
  const range: Target = { ...TARGET, ports: { first: 8000, last: 8999 } };
  const rows: [name: string, tcp: ReturnType<typeof on>[], target: Target, expected: string][] = [
    ['any address', [on('0.0.0.0')], TARGET, 'ok listener'],
    ['the VIP', [on('198.18.2.1'), on('198.18.10.1')], TARGET, 'ok listener'],
    ['any of both families', [on('::')], TARGET, 'ok listener'],
    ['any of IPv4, for an IPv6 VIP', [on('0.0.0.0')], VIP6, "error listener-elsewhere | ss -lntp 'sport = :80'"],
    ['another address', [on('198.18.2.1')], TARGET, "error listener-elsewhere | ss -lntp 'sport = :80'"],
    ['another port', [on('0.0.0.0', 8080)], TARGET, "error no-listener | ss -lntp 'sport = :80'"],
    ['in a range', [on('0.0.0.0', 8080)], range, 'ok listener'],
    ['nobody in a range', [], range, "warning no-listener | ss -lntp 'sport = :8000'"],
    ['of UDP', [on('0.0.0.0')], { ...TARGET, protocol: 'udp' }, "error no-listener | ss -lnup 'sport = :80'"],
  ];
  for (const [name, tcp, target, expected] of rows) {
    test(name, () => assert.deepEqual(gist(judgeListeners({ tcp, udp: [] }, [target])), [expected]));
  }
  test('who listens elsewhere is told where', () => {
    const [{ found }] = judgeListeners({ tcp: [on('198.18.2.1')], udp: [] }, [TARGET]);
    assert.match(found, /only on 198\.18\.2\.1 port 80$/);
  });
});

describe('answers', () => {
  const route = { interface: 'eth0', gateway: '198.18.2.254', mtu: 1500, advmss: null };
  const good: AnswerFacts = {
    interface: 'eth0',
    mtu: 1500,
    clients: [{ family: 4, client: '192.0.2.1', route: { ...route, advmss: 1440 } }],
    clampsMss: false,
    takesOff: 'decap',
    segments: { received: 1000, damaged: 0 },
  };
  const through = (part: Partial<typeof route>): Pick<AnswerFacts, 'clients'> => ({
    clients: [{ family: 4, client: '192.0.2.1', route: { ...route, ...part } }],
  });
  const clamp = 'hushlb decap --interface eth0 --encap ipip --mss-clamp auto';
  const rows: [name: string, facts: Partial<AnswerFacts>, target: Target, expected: string[]][] = [
    ['all well', {}, TARGET, ['ok way-back', 'ok mss']],
    [
      'no route',
      { clients: [{ family: 4, client: '192.0.2.1', route: null }] },
      TARGET,
      ['error no-way-back | ip route add default via GATEWAY'],
    ],
    [
      'a full MSS',
      through({}),
      TARGET,
      ['ok way-back', `warning mss-large | [this host, in place of the one that runs] ${clamp}`],
    ],
    [
      'a byte too much',
      through({ advmss: 1441 } as object),
      TARGET,
      ['ok way-back', `warning mss-large | [this host, in place of the one that runs] ${clamp}`],
    ],
    [
      'with a device of the kernel',
      { ...through({}), takesOff: 'device' },
      TARGET,
      ['ok way-back', 'warning mss-large | ip route replace default via 198.18.2.254 dev eth0 advmss 1440'],
    ],
    ['clamped', { ...through({}), clampsMss: true }, TARGET, ['ok way-back', 'ok mss']],
    ['a larger MTU', { ...through({ mtu: 1520 }), mtu: 1520 }, TARGET, ['ok way-back', 'ok mss']],
    ['l2 adds nothing', through({}), L2, ['ok way-back']],
    ['UDP has no MSS', through({}), { ...TARGET, protocol: 'udp' }, ['ok way-back']],
    [
      'damaged segments',
      { segments: { received: 100, damaged: 40 } },
      TARGET,
      ['ok way-back', 'ok mss', 'warning damaged-checksums | [each sender on the machine] ethtool -K eth0 tx off'],
    ],
    ['a few of many', { segments: { received: 100_000, damaged: 40 } }, TARGET, ['ok way-back', 'ok mss']],
  ];
  for (const [name, facts, target, expected] of rows) {
    test(name, () => assert.deepEqual(gist(judgeAnswers({ ...good, ...facts }, [target])), expected));
  }

  test('a large MSS that hushlb decap may be lowering, unseen', () => {
    const why = (clampsMss: boolean | undefined) =>
      judgeAnswers({ ...good, ...through({ mtu: 1500 }), mtu: 1500, clampsMss }, [TARGET])[1].why;
    assert.match(why(undefined) ?? '', /stall.* only root may see$/);
    assert.doesNotMatch(why(false) ?? '', /root/);
  });
});
