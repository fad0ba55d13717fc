/**
 * What the socket filter lets into a ring and what the guard drops, on the running kernel: the filter on a veth pair, the
 * guard by BPF_PROG_TEST_RUN. Both must say the same as the XDP program.
 */
import assert from 'node:assert/strict';
import { after, suite, test } from 'node:test';
import { createAfPacketDevice } from '../../io/af-packet-device.ts';
import { TCX_DROP, TCX_NEXT, testRun } from '../../io/bpf.ts';
import { inNamespace } from '../../io/namespace.ts';
import { createTapSteering } from '../../io/tap-steering.ts';
import { requireLink } from '../../io/xdp.ts';
import { bytesOfMac, tcpFrame } from '../packets.ts';
import { openPacketSocket } from './packet-socket.ts';
import { SERVICES, STEERING_ROWS, TAGGINGS, THREE_TAGS, withTags } from './steering-rows.ts';
import { ipJson, makeTwoHosts, needsRoot, openDescriptors } from './two-hosts.ts';

suite('tap-steering', { skip: needsRoot }, () => {
  const descriptorsBefore = openDescriptors();
  const hosts = makeTwoHosts();
  const peer = openPacketSocket(hosts.right, 'right');
  const ownMac = ipJson(hosts.left, 'link', 'show', 'left')[0].address as string;
  const steering = createTapSteering();
  steering.setServices(SERVICES, { echo: 'answer' });
  const device = inNamespace(hosts.left, () =>
    createAfPacketDevice({ interfaceIndex: requireLink('left').index, filterFd: steering.filterFd }),
  );
  after(() => {
    device.close();
    steering.close();
    peer.close();
    hosts.remove();
    assert.equal(openDescriptors(), descriptorsBefore, 'descriptors leaked');
  });

  /** Sends the frame to the device's host; what the ring gets of it, and of a packet for the service behind it. */
  function received(frame: Uint8Array, mac = ownMac): Buffer[] {
    const sent = Buffer.from(frame);
    sent.set(bytesOfMac(mac));
    const marker = Buffer.from(tcpFrame({ sequence: 0xdead_beef }));
    marker.set(bytesOfMac(ownMac));
    peer.send(sent);
    peer.send(marker);
    const got: Buffer[] = [];
    while (!got.at(-1)?.equals(marker)) {
      assert.notEqual(device.receive(10_000), 0, 'the packet behind it came');
      const { view, batch } = device;
      for (let i = 0; i < batch.count; i++) {
        got.push(Buffer.copyBytesFrom(new Uint8Array(view.buffer, batch.offset[i], batch.length[i])));
      }
      device.send();
    }
    return got.slice(0, -1);
  }

  for (const [name, untagged, to] of STEERING_ROWS) {
    test(name, () => {
      const isForSocket = to === 'socket' || to === 'echo';
      for (const [tagging, ...tags] of TAGGINGS) {
        const frame = withTags(untagged, ...tags);
        const before = steering.counters();
        const [got] = received(frame);
        const counters = steering.counters();
        if (isForSocket) assert.deepEqual(got?.subarray(6), frame.subarray(6), `${tagging}: its tags are in place`);
        else assert.equal(got, undefined, tagging);
        assert.equal(counters.toSocket - before.toSocket, isForSocket ? 2 : 1);
        assert.equal(counters.otherPort - before.otherPort, to === 'other-port' ? 1 : 0);

        // A test run wants a whole IP header, and comes from the kernel's loopback, whose address is zero.
        if (frame.length < (frame.readUInt16BE(12) === 0x86dd ? 54 : 34)) continue;
        frame.fill(0, 0, 6);
        const { verdict, packet } = testRun(steering.guardFd, frame);
        assert.equal(verdict | 0, isForSocket ? TCX_DROP : TCX_NEXT);
        assert.deepEqual(packet, frame, 'the packet was changed');
      }
      assert.deepEqual(received(withTags(untagged, ...THREE_TAGS)), [], 'three tags');
    });
  }

  test('frames for another host are the kernel’s', () => {
    assert.deepEqual(received(tcpFrame(), '02:00:00:00:99:99'), []);
    assert.equal(testRun(steering.guardFd, tcpFrame()).verdict | 0, TCX_NEXT);
  });

  test('what this host sends to the VIP is not received', () => {
    const sender = openPacketSocket(hosts.left, 'left');
    sender.send(tcpFrame());
    sender.close();
    assert.deepEqual(received(tcpFrame({ destinationPort: 81 })), []);
  });
});
