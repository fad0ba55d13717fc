/** Which packets the steering program hands to the socket: BPF_PROG_TEST_RUN on the running kernel. */
import assert from 'node:assert/strict';
import { after, suite, test } from 'node:test';
import { testRun, updateMap, XDP_PASS, XDP_REDIRECT } from '../../io/bpf.ts';
import { closeDescriptor, openSocket } from '../../io/ffi.ts';
import type { SteeringCounters } from '../../io/service-map.ts';
import { createSteering } from '../../io/xdp-steering.ts';
import { tcpFrame } from '../packets.ts';
import { dns, STEERING_ROWS, web } from './steering-rows.ts';
import { needsRoot, openDescriptors } from './two-hosts.ts';

const AF_XDP = 44;
const SOCK_RAW = 3;

suite('xdp-steering', { skip: needsRoot }, () => {
  const descriptorsBefore = openDescriptors();
  const steering = createSteering({ queueCount: 2 });
  // A socket that is not bound is enough for the helper's answer.
  const socket = openSocket(AF_XDP, SOCK_RAW, 0);
  updateMap(steering.socketMapFd, Buffer.from([0, 0, 0, 0]), Buffer.from(Int32Array.of(socket).buffer));
  after(() => {
    steering.close();
    closeDescriptor(socket);
    assert.equal(openDescriptors(), descriptorsBefore, 'descriptors leaked');
  });

  /** Runs the program and says what it counted. */
  function steer(frame: Uint8Array): { verdict: number; counted: Partial<SteeringCounters> } {
    const before = steering.counters();
    const { verdict, packet } = testRun(steering.programFd, frame);
    assert.deepEqual(packet, Buffer.from(frame), 'the packet was changed');
    const counted = Object.entries(steering.counters()).map(([name, count]) => [
      name,
      count - before[name as 'toSocket'],
    ]);
    return { verdict, counted: Object.fromEntries(counted.filter(([, count]) => count !== 0)) };
  }

  const socketVerdict = { verdict: XDP_REDIRECT, counted: { toSocket: 1 } };
  const otherPort = { verdict: XDP_PASS, counted: { otherPort: 1 } };
  const untouched = { verdict: XDP_PASS, counted: {} };

  const expectations = { socket: socketVerdict, 'other-port': otherPort, kernel: untouched };
  for (const [name, frame, to] of STEERING_ROWS) {
    test(name, () => {
      steering.setServices([web, dns]);
      assert.deepEqual(steer(frame), expectations[to]);
    });
  }

  test('services are replaced, and their VIPs with them', () => {
    steering.setServices([web, { ...web, port: 443 }]);
    assert.deepEqual(steer(tcpFrame({ destinationPort: 443 })), socketVerdict);
    steering.setServices([web]);
    assert.deepEqual(steer(tcpFrame()), socketVerdict);
    assert.deepEqual(steer(tcpFrame({ destinationPort: 443 })), otherPort);
    steering.setServices([]);
    assert.deepEqual(steer(tcpFrame()), untouched);
    assert.deepEqual(steer(tcpFrame({ ip: { fragment: 1 } })), untouched);
  });

  test('too many services are refused before any is changed', () => {
    steering.setServices([web]);
    const many = Array.from({ length: 9000 }, (_, port) => ({ ...dns, port: port + 1 }));
    assert.throws(() => steering.setServices(many), /at most 8192/);
    assert.deepEqual(steer(tcpFrame()), socketVerdict);
  });

  test('a queue without socket passes and counts', () => {
    const lonely = createSteering({ queueCount: 1 });
    lonely.setServices([web]);
    assert.equal(testRun(lonely.programFd, tcpFrame()).verdict, XDP_PASS);
    assert.deepEqual(lonely.counters(), { toSocket: 0, otherPort: 0, noSocket: 1 });
    lonely.close();
  });
});
