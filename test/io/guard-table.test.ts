/**
 * The rules of nftables, and the TCX program, against the steering rows: what the XDP program and the socket filter take, they
 * drop, and nothing else. A second table, whose chain comes after theirs, counts what they let through.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { after, before, suite, test } from 'node:test';
import { inNamespace } from '../../io/namespace.ts';
import type { SteeredService } from '../../io/service-map.ts';
import { attachTapGuard, type TapGuard } from '../../io/tap-guard.ts';
import { createTapSteering } from '../../io/tap-steering.ts';
import { requireLink } from '../../io/xdp.ts';
import { bytesOfMac, CLIENT_MAC, ethernetFrame, tcpFrame } from '../packets.ts';
import { openPacketSocket } from './packet-socket.ts';
import {
  SERVICES,
  STEERING_ROWS,
  type SteeringRow,
  steered,
  TAGGINGS,
  THREE_TAGS,
  web,
  withTags,
} from './steering-rows.ts';
import { ipJson, makeTwoHosts, needsRoot, until } from './two-hosts.ts';

const PROBE = `
  table netdev probe {
    counter markers { }
    counter passed { }
    chain ingress {
      type filter hook ingress device "left" priority 0;
      ether saddr ${CLIENT_MAC} ether type 0x88b5 counter name markers accept
      ether saddr ${CLIENT_MAC} counter name passed
    }
  }`;

/** The socket gets them, the rules let them through: the kernel drops them by itself. */
const LET_THROUGH = [
  'a total length of 0 is for the forwarder to judge',
  'a total length beyond the frame is, too',
  'IPv6, a payload length beyond the frame',
  'fragment of a fragment',
];
/** The rules drop them, no socket gets them: what is cut, and what the kernel walks further than we do. */
const DROPPED_TOO = [
  'ICMP error of 7 bytes',
  'ICMPv6 error of 7 bytes',
  'a fragment header of 7 bytes',
  'behind seven headers',
  'hop-by-hop options that come second',
];
/** The kernel can't take the tag off and drops the frame before any rule; with tags, the row of 14 bytes is one more. */
const CUT_TAG = 'a service behind three bytes of a tag';

suite('guard-table', { skip: needsRoot }, () => {
  const hosts = makeTwoHosts();
  const peer = openPacketSocket(hosts.right, 'right');
  const ownMac = bytesOfMac(ipJson(hosts.left, 'link', 'show', 'left')[0].address);
  const nft = (commands: string) =>
    execFileSync('ip', ['netns', 'exec', hosts.left, 'nft', '-j', commands], { encoding: 'utf8' });
  let guard: TapGuard;
  before(async () => {
    let attaching: Promise<TapGuard> | undefined;
    inNamespace(hosts.left, () => {
      const interfaceIndex = requireLink('left').index;
      attaching = attachTapGuard({ programFd: -1, interfaceIndex, kind: 'nftables' });
    });
    guard = (await attaching)!;
    nft(PROBE);
  });
  after(async () => {
    await guard.detach();
    peer.close();
    hosts.remove();
  });

  function send(frame: Uint8Array): void {
    const copy = Buffer.from(frame);
    copy.set(ownMac);
    peer.send(copy);
  }

  function counted(): Record<string, number> {
    const { nftables } = JSON.parse(nft('list counters'));
    const rows = nftables.flatMap(({ counter }: { counter?: { name: string; packets: number } }) => counter ?? []);
    return Object.fromEntries(rows.map(({ name, packets }: { name: string; packets: number }) => [name, packets]));
  }

  /** How many of the frames came past the rules. */
  async function passed(...frames: Uint8Array[]): Promise<number> {
    const { markers, passed } = counted();
    for (const frame of frames) send(frame);
    send(ethernetFrame(CLIENT_MAC, CLIENT_MAC, 0x88b5, Array(46).fill(0)));
    let now = counted();
    await until('the marker to pass', () => {
      now = counted();
      return now.markers === markers + 1;
    });
    return now.passed - passed;
  }

  async function guardServices(
    services: readonly SteeredService[],
    echo: 'answer' | 'kernel' = 'kernel',
  ): Promise<void> {
    // nft comes to it when it does: the last service is there with the first.
    const ready = steered('198.18.10.99', 6, services.length + 1);
    guard.setServices([...services, ready], { echo });
    const probe = tcpFrame({ destination: '198.18.10.99', destinationPort: services.length + 1 });
    for (let left = 1; left > 0; ) left = await passed(probe);
  }

  const isDropped = ([name, , to]: SteeringRow) =>
    to === 'socket' || to === 'echo' ? !LET_THROUGH.includes(name) : DROPPED_TOO.includes(name);

  for (const [tagging, ...tags] of [['untagged'], ['behind a tag that the kernel takes off', 0x8100e005]] as const) {
    test(`the rows, ${tagging}`, async () => {
      await guardServices(SERVICES, 'answer');
      const wrong: string[] = [];
      for (const row of STEERING_ROWS) {
        const frame = withTags(row[1], ...tags);
        if (tags.length === 0 ? row[0] === CUT_TAG : row[1].length < 18) continue;
        if ((await passed(frame)) !== (isDropped(row) ? 0 : 1)) wrong.push(row[0]);
      }
      assert.deepEqual(wrong, []);
    });
  }

  test('behind more tags nothing is dropped', async () => {
    await guardServices(SERVICES, 'answer');
    assert.equal(await passed(withTags(tcpFrame(), ...THREE_TAGS.slice(1)), withTags(tcpFrame(), ...THREE_TAGS)), 2);
  });

  test('TCX, which comes before, drops what is for the sockets, whatever its tags', async () => {
    await guardServices([]);
    const steering = createTapSteering();
    steering.setServices(SERVICES, { echo: 'answer' });
    let attaching: Promise<TapGuard> | undefined;
    inNamespace(hosts.left, () => {
      const interfaceIndex = requireLink('left').index;
      attaching = attachTapGuard({ programFd: steering.guardFd, interfaceIndex, kind: 'tcx' });
    });
    const tcx = (await attaching)!;
    const whole = STEERING_ROWS.filter(([name, frame]) => name !== CUT_TAG && frame.length > 17);
    for (const [tagging, ...tags] of TAGGINGS) {
      const [forSocket, others] = [true, false].map((wanted) =>
        whole
          .filter(([, , to]) => (to === 'socket' || to === 'echo') === wanted)
          .map(([, frame]) => withTags(frame, ...tags)),
      );
      assert.equal(await passed(...forSocket!), 0, tagging);
      assert.equal(await passed(...others!), others!.length, tagging);
    }
    await tcx.detach();
    steering.close();
  });

  test('services are replaced; ranges may overlap', async () => {
    const echo = STEERING_ROWS.filter(([, , to]) => to === 'echo').map(([, frame]) => frame);
    const to = (destinationPort: number) => tcpFrame({ destinationPort });
    await guardServices([web, steered('198.18.10.1', 6, 70, 90), steered('198.18.10.1', 6, 85, 95)]);
    assert.equal(await passed(to(69), to(96), ...echo), 2 + echo.length);
    assert.equal(await passed(to(70), to(80), to(95)), 0);
    await guardServices([steered('198.18.10.1', 6, 80, 1000), steered('198.18.10.1', 6, 0, 65535), web, web]);
    assert.equal(await passed(to(0), to(69), to(96), to(65535)), 0);
    await guardServices([]);
    assert.equal(await passed(to(80), tcpFrame({ ip: { fragment: 1 } })), 2);
  });
});
