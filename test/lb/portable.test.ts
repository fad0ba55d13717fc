/**
 * `hushlb run` with `io: portable` on the lab's network, with HTTP: with all rights, without those to load BPF programs, and
 * without those to keep the kernel from answering.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { openClient } from '../../admin/client.ts';
import { VIP } from '../../lab/topology.ts';
import { needsPortable } from '../io/portable-packages.ts';
import { needsRoot, until } from '../io/two-hosts.ts';
import { BACKENDS, complaint, droppedBy, FORWARDED, OTHER_PORT, STEERED, said, useDeviceLan } from './device-lan.ts';

const SECOND_VIP = '198.18.20.2';

/** setpriv's options that leave the process no right to load programs, or to change the network either. */
const NO_BPF = ['--bounding-set=-bpf,-sys_admin,-perfmon', '--inh-caps=-all'];
const NO_ADMIN = ['--bounding-set=-bpf,-sys_admin,-perfmon,-net_admin', '--inh-caps=-all'];

describe('hushlb run with the portable device', { skip: needsRoot || needsPortable }, () => {
  const { run, configure, ask, ipOf, metric, balanced, socket } = useDeviceLan();
  const entriesOf = async (client: string) =>
    (await openClient({ socket: socket() }).request('GET', `/v1/conntrack?client=${client}`)) as {
      entries: { backend: string }[];
    };

  for (const encap of ['ipip', 'l2']) {
    test(`both backends answer by ${encap}, the kernel never does; afterwards it answers again`, async () => {
      const balancer = run('io: portable', [{ encap }]);
      const { io, guard, xdp, workers } = await said(balancer, 'ready');
      assert.deepEqual([io, guard, xdp, workers], ['portable', 'tcx', 'off', 1]);
      await balanced();
      const { entries } = await entriesOf('198.18.0.2');
      assert.ok(entries.length > 0 && entries.every(({ backend }) => BACKENDS.includes(backend)));
      const forwarded = await metric(FORWARDED);
      assert.ok(forwarded >= 20 * 5, `${forwarded} packets`);
      await until('all that came is forwarded', async () => (await metric(STEERED)) === (await metric(FORWARDED)));

      // What is not for a service stays with the kernel.
      assert.deepEqual(await ask('client', `http://${VIP}:8080/`), ['failed: ECONNREFUSED']);
      // Once, or the client was impatient.
      assert.ok((await metric(OTHER_PORT)) >= 1);
      for (const event of ['rx_dropped', 'tx_dropped']) assert.equal(await metric(droppedBy(event)), 0, event);
      assert.equal(await balancer.stop().then(() => balancer.ended), 0);
      assert.deepEqual(await ask('client', `http://${VIP}/`), ['failed: ECONNREFUSED']);
    });
  }

  test('without the right to load programs: nftables is the guard', async () => {
    const { guard } = await said(run('io: portable', undefined, NO_BPF), 'ready');
    assert.equal(guard, 'nftables');
    await balanced();
  });

  test('without any right but to packets: no guard, and the log says what to do', async () => {
    const balancer = run('io: portable', undefined, NO_ADMIN);
    const { msg, reason } = await said(balancer, 'no guard');
    assert.match(String(msg), /keep VIPs off this host .*\(ip route add blackhole VIP\), or grant CAP_NET_ADMIN$/);
    assert.match(String(reason), /nftables/);
    assert.equal((await said(balancer, 'ready')).guard, 'none');
    ipOf('lb', 'address', 'delete', `${VIP}/32`, 'dev', 'lo');
    // As it says: or this kernel would send its copies back to the router, and clients would have each packet twice.
    ipOf('lb', 'route', 'add', 'blackhole', VIP);
    try {
      await balanced();
    } finally {
      ipOf('lb', 'route', 'delete', 'blackhole', VIP);
      ipOf('lb', 'address', 'add', `${VIP}/32`, 'dev', 'lo');
    }
  });

  test('auto comes to it where no program may be loaded, and says why', async () => {
    const balancer = run('io: auto', undefined, NO_BPF);
    const { reason } = await said(balancer, 'io auto: portable, because af-xdp and af-packet do not work here');
    assert.match(String(reason), /^af-xdp: .*EPERM.*; af-packet: .*EPERM/);
    assert.equal((await said(balancer, 'ready')).io, 'portable');
    await balanced();
  });

  test('auto where nothing works: one line', async () => {
    const balancer = run('io: auto', undefined, ['--bounding-set=-all', '--inh-caps=-all']);
    const line = await complaint(balancer);
    assert.match(line, /no packet device works here: af-xdp: .*; af-packet: .*; portable: .*CAP_NET_RAW/);
    assert.equal(await balancer.ended, 1);
  });

  test('a reload brings a VIP', async () => {
    const balancer = run('io: portable');
    await said(balancer, 'ready');
    ipOf('router', 'route', 'add', `${SECOND_VIP}/32`, 'via', '198.18.2.10');
    for (const name of BACKENDS) ipOf(name, 'address', 'add', `${SECOND_VIP}/32`, 'dev', 'lo');
    configure('io: portable', [{}, { vip: SECOND_VIP }]);
    balancer.hangUp();
    await said(balancer, 'reloaded');
    await balanced(SECOND_VIP);
    await balanced();
  });
});
