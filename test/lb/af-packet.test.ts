/**
 * `hushlb run` with `io: af-packet` and `io: auto` on the lab's network, with HTTP: that no packet of a service reaches the
 * kernel's stack is what these tests show.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { loadProgram, XDP_PASS } from '../../io/bpf.ts';
import { alu, assemble, exit } from '../../io/bpf-assembler.ts';
import { type Capture, openCapture } from '../../io/capture.ts';
import { setOffloads } from '../../io/ethtool.ts';
import { closeDescriptor } from '../../io/ffi.ts';
import { inNamespace } from '../../io/namespace.ts';
import { attachXdp, requireLink } from '../../io/xdp.ts';
import { VIP } from '../../lab/topology.ts';
import { openPacketSocket } from '../io/packet-socket.ts';
import { needsRoot, until } from '../io/two-hosts.ts';
import { bytesOfMac, tcpFrame } from '../packets.ts';
import { complaint, droppedBy, FORWARDED, OTHER_PORT, STEERED, said, useDeviceLan } from './device-lan.ts';

const RST = 4;

describe('hushlb run with packet sockets', { skip: needsRoot }, () => {
  const { run, configure, namespace, inHost, ask, ipOf, metric, balanced } = useDeviceLan();
  let capture: Capture;

  before(() => {
    capture = inNamespace(namespace('client'), () => openCapture({ interface: requireLink('eth0').index }));
  });

  after(() => capture.close());

  /** RST segments that the client has got since the last call. */
  function resets(): number {
    let count = 0;
    capture.read(({ bytes, outgoing }) => {
      const isTcp = bytes[12] === 8 && bytes[13] === 0 && bytes[23] === 6;
      if (!outgoing && isTcp && ((bytes[14 + (bytes[14]! & 15) * 4 + 13] ?? 0) & RST) !== 0) count++;
    });
    return count;
  }

  /** Packet sockets in the balancer's namespace. */
  const leftBehind = (): string[] => inHost('lb', 'cat', '/proc/net/packet').trim().split('\n').slice(1);

  const allForwarded = () =>
    until('all of them are forwarded', async () => (await metric(FORWARDED)) === (await metric(STEERED)));

  test('both backends answer, the kernel never does; afterwards it answers again', async () => {
    resets();
    const balancer = run('io: af-packet\nmetrics: { listen: 0.0.0.0:9108 }');
    const { io, guard, xdp, workers } = await said(balancer, 'ready');
    assert.deepEqual([io, guard, xdp, workers], ['af-packet', 'tcx', 'off', 1]);
    await balanced(VIP, 40);
    assert.equal(resets(), 0);
    const steered = await metric(STEERED);
    assert.ok(steered >= 40 * 5, `${steered} packets`);
    await allForwarded();

    // What is not for a service stays with the kernel.
    assert.match((await ask('client', `http://${VIP}:9108/healthz`))[0]!, /^ok$/);
    assert.ok((await metric(OTHER_PORT)) > 0);
    assert.match((await ask('client', 'http://198.18.2.10:9108/healthz'))[0]!, /^ok$/);
    for (const event of ['rx_dropped', 'rx_ring_full', 'tx_dropped']) {
      assert.equal(await metric(droppedBy(event)), 0, event);
    }
    assert.equal(await balancer.stop().then(() => balancer.ended), 0);
    assert.deepEqual(await ask('client', `http://${VIP}/`), ['failed: ECONNREFUSED']);
    assert.equal(resets(), 1);
    assert.deepEqual(leftBehind(), []);
  });

  test('several workers share the flows out', async () => {
    const { workers } = await said(run('io: af-packet\nworkers: 2'), 'ready');
    assert.equal(workers, 2);
    await balanced(VIP, 40);
    await allForwarded();
    assert.equal(resets(), 0);
  });

  test('kill -9 leaves nothing behind, and the next start is clean', async () => {
    const balancer = run('io: af-packet');
    const { pid } = await said(balancer, 'ready');
    await balanced();
    assert.notDeepEqual(leftBehind(), []);
    process.kill(Number(pid), 'SIGKILL');
    await balancer.ended;
    assert.deepEqual(leftBehind(), []);
    assert.deepEqual(await ask('client', `http://${VIP}/`), ['failed: ECONNREFUSED'], 'the guard is gone');
    await said(run('io: af-packet'), 'ready');
    await balanced();
  });

  test('a reload brings a service, and takes it away; io stays', async () => {
    const balancer = run('io: af-packet');
    await said(balancer, 'ready');
    const url = `http://${VIP}:8080/`;
    assert.deepEqual(await ask('client', url), ['failed: ECONNREFUSED'], 'the kernel says no');
    configure('io: af-packet', [{}, { port: 8080 }]);
    balancer.hangUp();
    await said(balancer, 'reloaded');
    resets();
    // Direct return: the backend has nothing on that port, and its own kernel says so.
    assert.deepEqual(await ask('client', url), ['failed: ECONNREFUSED']);
    // Once, or the client was impatient.
    assert.ok((await metric(FORWARDED.replace('web0', 'web1'))) >= 1);
    configure('io: auto');
    balancer.hangUp();
    assert.match(
      JSON.stringify(await said(balancer, 'reload refused')),
      /io: af-packet runs, the file says auto: restart/,
    );
    await balanced();
  });

  test('a sender that leaves checksums and cutting to its card is served all the same', async () => {
    const offload = (on: boolean): void => {
      inNamespace(namespace('client'), () => setOffloads('eth0', { txChecksum: on, tso: on, gso: on }));
      inNamespace(namespace('router'), () => setOffloads('lb', { txChecksum: on, tso: on, gso: on }));
    };
    const balancer = run('io: af-packet\nmetrics: { listen: 0.0.0.0:9108 }');
    await said(balancer, 'ready');
    offload(true);
    try {
      await balanced();
      assert.equal(await metric(droppedBy('rx_dropped')), 0);
    } finally {
      offload(false);
    }
  });

  test('frames that are longer than a slot, and nobody merged, are found out in words', async () => {
    const balancer = run('io: af-packet\nmetrics: { listen: 0.0.0.0:9108 }');
    await said(balancer, 'ready');
    const sender = openPacketSocket(namespace('router'), 'lb');
    for (const [host, side] of [
      ['router', 'lb'],
      ['lb', 'eth0'],
    ]) {
      ipOf(host, 'link', 'set', side, 'mtu', '9000');
    }
    try {
      const mac = JSON.parse(ipOf('lb', '-j', 'link', 'show', 'eth0'))[0].address;
      const frame = Buffer.from(tcpFrame({ destination: VIP, payload: 'x'.repeat(4000) }));
      frame.set(bytesOfMac(mac));
      sender.send(frame);
      assert.match(String((await said(balancer, 'packets arrive that are longer')).msg), /gro off/);
      await until('it is counted', async () => (await metric(droppedBy('rx_dropped'))) === 1);
    } finally {
      sender.close();
      ipOf('router', 'link', 'set', 'lb', 'mtu', '1500');
      ipOf('lb', 'link', 'set', 'eth0', 'mtu', '1500');
    }
    await balanced();
  });

  test('a second balancer on the same interface is refused in one line', async () => {
    await said(run('io: af-packet\nmetrics: false\nadmin: false'), 'ready');
    const second = run('io: af-packet\nmetrics: false\nadmin: false');
    assert.match(await complaint(second), /eth0: another hushlb forwards its packets/);
    assert.equal(await second.ended, 1);
    await balanced();
  });

  test('auto takes AF_XDP where it works, and says so', async () => {
    const balancer = run('io: auto');
    await said(balancer, 'io auto: af-xdp, because it works here, in native mode');
    const { io, xdp } = await said(balancer, 'ready');
    assert.deepEqual([io, xdp], ['af-xdp', 'native']);
    await balanced();
  });

  test('auto takes packet sockets where XDP is taken, and says why', async () => {
    const programFd = loadProgram('test_pass', assemble([alu('r0', '=', XDP_PASS), exit()]));
    const other = inNamespace(namespace('lb'), () =>
      attachXdp({ programFd, interfaceIndex: requireLink('eth0').index, mode: 'native' }),
    );
    try {
      resets();
      const balancer = run('io: auto');
      const { reason } = await said(balancer, 'io auto: af-packet, because af-xdp does not work here');
      assert.match(String(reason), /another XDP program is attached/);
      assert.equal((await said(balancer, 'ready')).io, 'af-packet');
      await balanced();
      assert.equal(resets(), 0);
    } finally {
      other.detach();
      closeDescriptor(programFd);
    }
  });
});
