/** The probe without a network: what answers say, row by row. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type BackendPings, type BackendProbe, judgeBackendProbe, type Outcome } from '../../doctor/probe.ts';
import { judgeWholeProbe, type Tunnels } from '../../doctor/probe-whole.ts';
import type { Target } from '../../doctor/target.ts';
import { gist } from './gist.ts';
import { TARGET } from './target.ts';

const L2: Target = { ...TARGET, encap: 'l2', overhead: 0 };
const UDP: Target = { ...TARGET, protocol: 'udp' };
const accepted: Outcome = { kind: 'accepted', ms: 1 };
const reset: Outcome = { kind: 'reset', ms: 1 };
const silence: Outcome = { kind: 'silence' };
type Refusal = (Outcome & { kind: 'error' })['refusal'];
const refused = (refusal: Refusal, mtu: number | null = null, towards = '198.18.2.1'): Outcome => ({
  kind: 'error',
  from: '198.18.2.1',
  refusal,
  mtu,
  towards,
});

/** Of a backend that answers all of them, but for `other`. */
const pings = (other: Partial<BackendPings> = {}): BackendPings => ({
  vip: 'answered',
  host: 'answered',
  tunnel: 'answered',
  ...other,
});

describe('through the tunnel', () => {
  const decap = 'hushlb decap --interface eth0 --encap ipip --mss-clamp auto';
  const backend = '[b1] hushlb doctor --backend -c f.yaml';
  const addVip = '[b1] ip address add 198.18.10.1/32 dev lo';
  const noVip = pings({ vip: 'silence' });
  const noTunnel = pings({ vip: 'silence', tunnel: 'silence' });
  const dead = pings({ vip: 'silence', tunnel: 'silence', host: 'silence' });
  const rows: [name: string, probe: Partial<BackendProbe>, expected: string][] = [
    ['answered', {}, 'ok probe'],
    ['answered, also of full size', { full: accepted }, 'ok probe'],
    ['no next hop', { small: null }, 'error probe-next-hop'],
    ['protocol unreachable', { small: refused('protocol') }, `error probe-decapsulation | [b1] ${decap}`],
    [
      'port unreachable, of GUE',
      { small: refused('port'), target: { ...TARGET, encap: 'gue', guePort: 6080 } },
      `error probe-decapsulation | [b1] ${decap.replace('ipip', 'gue')}`,
    ],
    [
      'port unreachable, of a datagram',
      { small: refused('port', null, '198.18.10.1'), target: UDP },
      `error probe-listener | ${backend}`,
    ],
    [
      'port unreachable, from behind GUE',
      { small: refused('port', null, '198.18.10.1'), target: { ...UDP, encap: 'gue', guePort: 6080 } },
      `error probe-listener | ${backend}`,
    ],
    ['RST', { small: reset }, `error probe-listener | ${backend}`],
    ['host unreachable', { small: refused('host') }, 'error probe-way | [198.18.2.1] ip route get 198.18.2.1'],
    ['prohibited', { small: refused('prohibited') }, 'error probe-way | [198.18.2.1] ip route get 198.18.2.1'],
    [
      'port unreachable, of a device that is down',
      { small: refused('port') },
      `error probe-decapsulation | [b1] ${decap}`,
    ],
    ['TTL exceeded by the tunnel', { small: refused('ttl') }, 'error probe-way | [198.18.2.1] ip route get 198.18.2.1'],
    [
      'TTL exceeded behind it',
      { small: refused('ttl', null, '198.18.10.1') },
      `error probe-vip | ${addVip} | ${backend}`,
    ],
    ['answered from elsewhere', { pings: pings({ vip: 'ttl' }) }, `warning probe-routed-on | ${addVip}`],
    ['silence of the port alone', { small: silence }, `error probe-port | ${backend}`],
    ['silence of the VIP', { small: silence, pings: noVip }, `error probe-vip | ${addVip} | ${backend}`],
    [
      'silence, and the VIP is routed on',
      { small: silence, pings: pings({ vip: 'ttl' }) },
      `error probe-vip | ${addVip} | ${backend}`,
    ],
    ['silence of the tunnel', { small: silence, pings: noTunnel }, `error probe-decapsulation | ${backend}`],
    ['silence of all', { small: silence, pings: dead }, `error probe-silence | ${backend}`],
    [
      'silence, and no ping to tell',
      { small: silence, pings: { ...noTunnel, tunnel: null } },
      `error probe-silence | ${backend}`,
    ],
    [
      'silence of the VIP on a link',
      { small: silence, target: L2, pings: { ...noTunnel, tunnel: null } },
      `error probe-vip | ${addVip} | ${backend}`,
    ],
    ['silence of UDP says nothing', { small: silence, target: UDP }, 'note probe-datagram'],
    ['silence of UDP, and of all', { small: silence, target: UDP, pings: dead }, 'note probe-datagram'],
    [
      'silence of UDP, and of the VIP',
      { small: silence, target: UDP, pings: noVip },
      `error probe-vip | ${addVip} | ${backend}`,
    ],
    [
      'silence of UDP, and of the tunnel',
      { small: silence, target: UDP, pings: noTunnel },
      `error probe-decapsulation | ${backend}`,
    ],
    [
      'too big',
      { full: refused('too-big', 1480) },
      'warning probe-mtu | [every link on the way] ip link set eth0 mtu 1520',
    ],
    ['lost for its size', { full: silence }, 'warning probe-mtu | [every link on the way] ip link set eth0 mtu 1520'],
  ];
  for (const [name, probe, expected] of rows) {
    test(name, () => {
      const all = {
        target: TARGET,
        backend: 'b1',
        address: '198.18.2.1',
        small: accepted,
        full: null,
        pings: pings(),
        ...probe,
      };
      assert.deepEqual(gist([judgeBackendProbe(all, 'f.yaml')]), [expected]);
    });
  }
});

describe('the whole way', () => {
  const router = 'error probe-router | [the router] ip route replace 198.18.10.1/32 via 198.18.2.10';
  const onBalancer = '[the balancer] hushlb doctor -c hushlb.yaml';
  const rows: [
    name: string,
    outcome: Outcome | Outcome[],
    target: Target,
    tunnel: Tunnels | undefined,
    expected: string,
  ][] = [
    ['answered', accepted, TARGET, 'all', 'ok probe-whole'],
    ['some are lost', [accepted, silence], TARGET, undefined, `error probe-whole-some | ${onBalancer} --probe`],
    ['some are lost, and so are tunnels', [silence, accepted], TARGET, 'some', 'error probe-whole-some'],
    [
      'some are reset',
      [reset, accepted],
      TARGET,
      'all',
      'error probe-whole-some | [the router] ip route get 198.18.10.1',
    ],
    ['some datagrams have no answer', [{ kind: 'datagram', ms: 1 }, silence], UDP, 'all', 'ok probe-whole'],
    [
      'one is reset and others are lost',
      [silence, reset],
      TARGET,
      undefined,
      `error probe-whole-reset | ${onBalancer}`,
    ],
    ['silence, and the tunnel works', silence, TARGET, 'all', router],
    ['silence, and so is the tunnel', silence, TARGET, 'none', `error probe-whole-silence | ${onBalancer} --probe`],
    [
      'silence, and some tunnels are silent',
      silence,
      TARGET,
      'some',
      `error probe-whole-silence | ${onBalancer} --probe`,
    ],
    ['silence, from a client', silence, TARGET, undefined, `error probe-whole-silence | ${onBalancer} --probe`],
    ['silence of UDP', silence, UDP, 'all', 'note probe-datagram'],
    ['RST', reset, TARGET, undefined, `error probe-whole-reset | ${onBalancer}`],
    [
      'host unreachable',
      refused('host'),
      TARGET,
      'all',
      'error probe-whole-way | [198.18.2.1] ip route replace 198.18.10.1/32 via 198.18.2.10',
    ],
    [
      'host unreachable, and a tunnel is broken, too',
      refused('host'),
      TARGET,
      'some',
      'error probe-whole-way | [198.18.2.1] ip route get 198.18.10.1',
    ],
    [
      'prohibited',
      refused('prohibited'),
      TARGET,
      'all',
      'error probe-whole-way | [198.18.2.1] ip route get 198.18.10.1',
    ],
  ];
  for (const [name, outcome, target, tunnel, expected] of rows) {
    test(name, () => {
      const outcomes = Array.isArray(outcome) ? outcome : [outcome, outcome];
      assert.deepEqual(gist([judgeWholeProbe({ target, own: '198.18.2.10', outcomes }, tunnel)]), [expected]);
    });
  }
});
