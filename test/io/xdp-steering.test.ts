/** Which packets the steering program hands to the socket: BPF_PROG_TEST_RUN on the running kernel. */
import assert from 'node:assert/strict';
import { after, suite, test } from 'node:test';
import { testRun, updateMap, XDP_PASS, XDP_REDIRECT } from '../../io/bpf.ts';
import { closeDescriptor, openSocket } from '../../io/ffi.ts';
import type { SteeringCounters } from '../../io/service-map.ts';
import { createSteering } from '../../io/xdp-steering.ts';
import { tcpFrame } from '../packets.ts';
import { dns, SERVICES, STEERING_ROWS, steered, TAGGINGS, THREE_TAGS, web, withTags } from './steering-rows.ts';
import { NEEDED6 } from './steering-rows6.ts';
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

  const expectations = { socket: socketVerdict, 'other-port': otherPort, kernel: untouched, echo: socketVerdict };
  for (const [name, frame, to] of STEERING_ROWS) {
    test(name, () => {
      steering.setServices(SERVICES, { echo: 'answer' });
      for (const [tagging, ...tags] of TAGGINGS) {
        assert.deepEqual(steer(withTags(frame, ...tags)), expectations[to], tagging);
      }
      assert.deepEqual(steer(withTags(frame, ...THREE_TAGS)), untouched, 'three tags');
    });
  }

  test('echo requests go where the option says, and are the kernel’s without it', () => {
    const echoes = STEERING_ROWS.filter(([, , to]) => to === 'echo');
    assert.equal(echoes.length, 2);
    for (const [options, expected] of [
      [undefined, untouched],
      [{ echo: 'backend' }, socketVerdict],
      [{ echo: 'kernel' }, untouched],
      [{ echo: 'answer' }, socketVerdict],
      [{}, untouched],
    ] as const) {
      steering.setServices(SERVICES, options);
      for (const [name, frame] of echoes) assert.deepEqual(steer(frame), expected, `${name}, ${options?.echo}`);
      const [, error] = STEERING_ROWS.find(([name]) => name === 'ICMP error 3 to a VIP')!;
      assert.deepEqual(steer(error), socketVerdict, 'errors always');
    }
  });

  test('a frame is for the socket as soon as its last header is whole, with every tagging', () => {
    steering.setServices(SERVICES);
    const options = Array<number>(40).fill(1);
    for (const [name, frame, bytes] of [
      ['IPv4', tcpFrame(), 14 + 20 + 4],
      ['IPv4 options', tcpFrame({ ip: { options } }), 14 + 60 + 4],
      ['IPv4, later fragment', tcpFrame({ ip: { fragment: 9 } }), 14 + 20],
      ...NEEDED6,
    ] as const) {
      for (const [tagging, ...tags] of TAGGINGS) {
        const whole = withTags(frame, ...tags);
        for (let length = 14; length <= whole.length; length++) {
          const expected = length < bytes + 4 * tags.length ? untouched : socketVerdict;
          assert.deepEqual(steer(whole.subarray(0, length)), expected, `${name}, ${tagging}, ${length} bytes`);
        }
      }
    }
  });

  test('whatever the bytes, a range’s edges are where they should be', () => {
    const seed = Number(process.env.SEED ?? 42);
    let state = seed;
    const random = (below: number) => {
      state = (Math.imul(state, 1103515245) + 12345) >>> 0;
      return (state >>> 8) % below;
    };
    for (let round = 0; round < 60; round++) {
      const [one, other] = [random(65536), random(65536)];
      const [first, last] = [Math.min(one, other), Math.max(one, other)];
      steering.setServices([steered('198.18.10.1', 6, first, last)]);
      for (const destinationPort of [0, first - 1, first, (first + last) >> 1, last, last + 1, 65535]) {
        if (destinationPort < 0 || destinationPort > 65535) continue;
        const expected = destinationPort >= first && destinationPort <= last ? socketVerdict : otherPort;
        assert.deepEqual(
          steer(tcpFrame({ destinationPort })),
          expected,
          `${first}-${last}: ${destinationPort}, seed ${seed}`,
        );
      }
    }
  });

  test('services are replaced, and their VIPs with them', () => {
    steering.setServices([web, { ...web, ports: { first: 443, last: 443 } }]);
    assert.deepEqual(steer(tcpFrame({ destinationPort: 443 })), socketVerdict);
    steering.setServices([web]);
    assert.deepEqual(steer(tcpFrame()), socketVerdict);
    assert.deepEqual(steer(tcpFrame({ destinationPort: 443 })), otherPort);
    steering.setServices([steered('198.18.10.1', 6, 1, 442)]);
    assert.deepEqual(steer(tcpFrame()), socketVerdict);
    assert.deepEqual(steer(tcpFrame({ destinationPort: 443 })), otherPort);
    steering.setServices([steered('198.18.10.1', 6, 0, 65535)]);
    assert.deepEqual(steer(tcpFrame({ destinationPort: 443 })), socketVerdict);
    steering.setServices([web, steered('198.18.10.1', 6, 400, 442)]);
    assert.deepEqual(steer(tcpFrame({ destinationPort: 443 })), otherPort);
    assert.deepEqual(steer(tcpFrame({ destinationPort: 442 })), socketVerdict);
    steering.setServices([]);
    assert.deepEqual(steer(tcpFrame()), untouched);
    assert.deepEqual(steer(tcpFrame({ ip: { fragment: 1 } })), untouched);
  });

  test('too many services are refused before any is changed', () => {
    steering.setServices([web]);
    const many = Array.from({ length: 9000 }, (_, port) => ({ ...dns, ports: { first: port + 1, last: port + 1 } }));
    assert.throws(() => steering.setServices(many), /at most 8192 VIPs and services/);
    const ranges = Array.from({ length: 1200 }, (_, i) => steered(`198.19.${i >> 8}.${i & 255}`, 6, 1, 65534));
    assert.throws(() => steering.setServices(ranges), /at most 32768 prefixes/);
    assert.throws(() => steering.setServices([steered('198.18.10.9', 6, 9, 8)]), /ports: .* got 9-8/);
    assert.throws(() => steering.setServices([{ ...web, address: new Uint8Array(6) }]), /4 or 16 bytes, got 6/);
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
