/** Case `change-under-load`: that its sink sees what is wrong with a packet, and that it runs and leaves nothing behind. */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { describe, test } from 'node:test';
import { measureChange } from '../../bench/cases/change-under-load.ts';
import { changingConfigs, GUEST } from '../../bench/change/configurations.ts';
import { createSink } from '../../bench/change/sink.ts';
import { testRun, XDP_DROP, XDP_PASS } from '../../io/bpf.ts';
import { needsRoot } from '../io/two-hosts.ts';
import { CLIENT_MAC, ETHERTYPE_IPV4, ethernetFrame, ipv4Packet, OWN_MAC, tcpPacket } from '../packets.ts';

const ownNamespaces = (): string[] => readdirSync('/run/netns').filter((name) => name.includes(`-${process.pid}-`));

test('a backend is added, weighed, drained and removed, the others stay', () => {
  const known = changingConfigs().map(({ services: [{ backends }] }) =>
    backends.map(({ name, weight, state }) => `${name} ${weight} ${state}`),
  );
  const guest = known.map((backends) => backends.find((backend) => backend.startsWith(`b${GUEST} `)));
  assert.deepEqual(guest, [undefined, 'b10 1 active', 'b10 2 active', 'b10 1 draining']);
  for (const backends of known) {
    const others = backends.map((backend) => backend.split(' ')[0]).filter((name) => name !== `b${GUEST}`);
    assert.deepEqual(others.sort(), ['b1', 'b2', 'b3', 'b4', 'b5', 'b6', 'b7', 'b8', 'b9']);
  }
});

describe('changes under load', { skip: needsRoot }, () => {
  test('the sink counts each packet for what it is', () => {
    const sink = createSink(GUEST);
    const takes = (backend: number, flow: string, sequence: number): void => {
      const [source, port] = flow.split(':');
      const inner = tcpPacket({ source, sourcePort: Number(port), sequence });
      const outer = ipv4Packet('198.18.2.254', `198.18.2.${backend}`, inner, { protocol: 4 });
      assert.equal(testRun(sink.programFd, frameOf(outer)).verdict, XDP_DROP);
    };
    const counts = { returned: 0, again: 0, moved: 0, misrouted: 0 };
    const expect = (changes: Partial<typeof counts>): void => {
      for (const name of Object.keys(changes) as (keyof typeof counts)[]) counts[name] += changes[name] ?? 0;
      assert.deepEqual(sink.read(), counts);
    };
    takes(3, '198.18.0.7:1024', 0);
    takes(3, '198.18.0.7:1024', 5);
    takes(4, '198.18.0.8:1024', 1);
    takes(5, '198.18.0.7:1025', 2);
    expect({ returned: 4 });
    takes(3, '198.18.0.7:1024', 5);
    takes(3, '198.18.0.7:1024', 4);
    expect({ returned: 2, again: 2 });
    takes(4, '198.18.0.7:1024', 6);
    takes(4, '198.18.0.7:1024', 7);
    takes(3, '198.18.0.7:1024', 8);
    expect({ returned: 3, misrouted: 2 });
    takes(GUEST, '198.18.0.9:1279', 9);
    takes(GUEST, '198.18.0.9:1279', 10);
    takes(2, '198.18.0.9:1279', 11);
    takes(2, '198.18.0.9:1279', 12);
    expect({ returned: 4, moved: 1 });
    takes(GUEST, '198.18.0.9:1279', 13);
    expect({ returned: 1, misrouted: 1 });
    assert.equal(testRun(sink.programFd, frameOf(tcpPacket({}))).verdict, XDP_PASS);
    expect({});
  });

  test('every packet comes back, at the backend of its connection', async () => {
    const plan = { changesASecond: 50, roundMs: 400 };
    const { without, changing, change } = await measureChange(plan, { progress: () => {}, secondsLeft: () => 0 });
    assert.ok(change.reloadMs.length >= 2, `${change.reloadMs.length} changes`);
    assert.equal(change.handOverMs.length, change.reloadMs.length);
    for (const load of [without, changing]) {
      const { sent, returned, again, misrouted, lost, notReceived, notForwarded } = load;
      assert.ok(sent > 0);
      assert.equal(lost, sent - returned);
      assert.deepEqual({ again, misrouted, notForwarded }, { again: 0, misrouted: 0, notForwarded: 0 });
      // On a busy machine the worker may have no core for a while; nothing else takes a packet.
      assert.equal(lost, notReceived);
    }
    assert.deepEqual(ownNamespaces(), []);
  });
});

function frameOf(packet: number[]): Uint8Array {
  return ethernetFrame(CLIENT_MAC, OWN_MAC, ETHERTYPE_IPV4, packet);
}
