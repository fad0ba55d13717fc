/** Case `change-under-load`: that its sink sees what is wrong with a packet, and that it runs and leaves nothing behind. */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { describe, test } from 'node:test';
import { measureChange } from '../../bench/cases/change-under-load.ts';
import { changingConfigs, GUEST } from '../../bench/change/configurations.ts';
import { createPacedGenerator } from '../../bench/change/generator.ts';
import { createSink } from '../../bench/change/sink.ts';
import { testRun, XDP_DROP, XDP_PASS, XDP_REDIRECT } from '../../io/bpf.ts';
import { needsRoot } from '../io/two-hosts.ts';
import { CLIENT_MAC, ETHERTYPE_IPV4, ethernetFrame, ipv4Packet, OWN_MAC, tcpFrame, tcpPacket } from '../packets.ts';

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
    const takes = (backend: number, sourcePort: number, sequence: number): void => {
      const inner = tcpPacket({ source: '198.18.0.7', sourcePort, sequence });
      const outer = ipv4Packet('198.18.2.254', `198.18.2.${backend}`, inner, { protocol: 4 });
      assert.equal(testRun(sink.programFd, frameOf(outer)).verdict, XDP_DROP);
    };
    const counts = { returned: 0, again: 0, moved: 0, misrouted: 0 };
    const expect = (changes: Partial<typeof counts>): void => {
      for (const name of Object.keys(changes) as (keyof typeof counts)[]) counts[name] += changes[name] ?? 0;
      assert.deepEqual(sink.read(), counts);
    };
    takes(3, 1024, 0);
    takes(3, 1024, 5);
    takes(4, 1025, 1);
    takes(5, 0, 2);
    expect({ returned: 4 });
    takes(3, 1024, 5);
    takes(3, 1024, 4);
    expect({ returned: 2, again: 2 });
    takes(4, 1024, 6);
    takes(4, 1024, 7);
    takes(3, 1024, 8);
    expect({ returned: 3, misrouted: 2 });
    takes(GUEST, 65535, 9);
    takes(GUEST, 65535, 10);
    takes(2, 65535, 11);
    takes(2, 65535, 12);
    expect({ returned: 4, moved: 1 });
    takes(GUEST, 65535, 13);
    expect({ returned: 1, misrouted: 1 });
    assert.equal(testRun(sink.programFd, frameOf(tcpPacket({}))).verdict, XDP_PASS);
    expect({});
  });

  test('the generator numbers its frames, slides over its flows, and sends none before it is due', () => {
    const template = tcpFrame({ flags: 'A' });
    const options = { interfaceIndex: 1, frame: template, flows: 3, newFlowEvery: 4 };
    const generator = createPacedGenerator(options);
    const spoilt = template.map((byte) => byte ^ 0xff);
    for (const [n, flow] of [0, 1, 2, 0, 2, 3, 1, 2, 4].entries()) {
      const expected = Buffer.from(template);
      expected.writeUInt16BE(flow, 34);
      expected.writeUInt32BE(n, 38);
      // What a frame was before does not show in its headers.
      expected.set(spoilt.subarray(48), 48);
      const { verdict, packet } = testRun(generator.programFd, spoilt);
      assert.equal(verdict, XDP_REDIRECT);
      assert.deepEqual(packet, expected, `frame ${n}`);
    }
    // One now, the next in a quarter of an hour.
    generator.setRate(0.001);
    assert.equal(testRun(generator.programFd, template).verdict, XDP_REDIRECT);
    assert.equal(testRun(generator.programFd, template).verdict, XDP_DROP);
    assert.equal(generator.sent(), 10);
    generator.setRate(Number.POSITIVE_INFINITY);
    assert.equal(testRun(generator.programFd, template).packet.readUInt32BE(38), 10);
    generator.close();
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
