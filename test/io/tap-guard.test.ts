/** The guard against a real kernel: a VIP on the host's own loopback, whose stack answers RST unless something drops it first. */
import assert from 'node:assert/strict';
import { after, afterEach, suite, test } from 'node:test';
import { inNamespace } from '../../io/namespace.ts';
import { attachTapGuard, type TapGuard } from '../../io/tap-guard.ts';
import { createTapSteering } from '../../io/tap-steering.ts';
import { requireLink } from '../../io/xdp.ts';
import {
  bytesOfMac,
  CLIENT_MAC,
  ethernetFrame,
  internetChecksum,
  ipv4Packet,
  OWN_MAC,
  type TcpFields,
  tcpFrame,
} from '../packets.ts';
import { openPacketSocket } from './packet-socket.ts';
import { steered } from './steering-rows.ts';
import { ipv6Frame } from './steering-rows6.ts';
import { addressBytes, ip, ipJson, makeTwoHosts, needsRoot, openDescriptors, sysctl, until } from './two-hosts.ts';

const VIP = '198.18.10.1';
const VIP6 = '2001:db8:10::1';
const TCP = 6;
const UNGUARDED_PORT = 9;
const UDP = 17;
const ICMP = 1;
const ICMPV6 = 58;

suite('tap-guard', { skip: needsRoot }, () => {
  const hosts = makeTwoHosts();
  const peer = openPacketSocket(hosts.right, 'right');
  const ownMac = ipJson(hosts.left, 'link', 'show', 'left')[0].address as string;
  const interfaceIndex = inNamespace(hosts.left, () => requireLink('left').index);
  ip('-n', hosts.left, 'address', 'add', `${VIP}/32`, 'dev', 'lo');
  // Answers go out without ARP, which the far end's packet socket would not give.
  const farMac = ipJson(hosts.right, 'link', 'show', 'right')[0].address as string;
  ip('-n', hosts.left, 'neigh', 'replace', '198.18.0.2', 'lladdr', farMac, 'dev', 'left');
  const peer6 = openPacketSocket(hosts.right, 'right', 0x86dd);
  ip('-n', hosts.left, 'address', 'add', `${VIP6}/128`, 'dev', 'lo', 'nodad');
  ip('-n', hosts.left, 'neigh', 'replace', '2001:db8::7', 'lladdr', farMac, 'dev', 'left');
  sysctl(hosts.left, 'ipv4/icmp_ratelimit', 0);
  const steering = createTapSteering();
  let guard: TapGuard | undefined;

  const service = (port: number) => steered(VIP, TCP, port);
  function setServices(...ports: number[]): void {
    steering.setServices(ports.map(service));
    guard?.setServices(ports.map(service));
  }

  async function attach(kind: TapGuard['kind']): Promise<void> {
    let attaching: Promise<TapGuard> | undefined;
    inNamespace(hosts.left, () => {
      attaching = attachTapGuard({ programFd: steering.guardFd, interfaceIndex, kind });
    });
    guard = await attaching;
  }

  function sendSyn(fields: TcpFields): void {
    const frame = Buffer.from(tcpFrame({ source: '198.18.0.2', flags: 'S', ...fields }));
    frame.set(bytesOfMac(ownMac));
    peer.send(frame);
  }

  /** Whether the kernel answers a SYN to `destinationPort` with RST, and not only the one behind it, which no guard is for. */
  function answers(fields: TcpFields): boolean {
    sendSyn(fields);
    sendSyn({ destination: '198.18.0.1', destinationPort: UNGUARDED_PORT });
    for (let answered = false; ; answered = true) {
      const answer = peer.receive();
      assert.equal(answer?.[47], 0x14, 'RST, ACK');
      if (answer?.readUInt16BE(34) === UNGUARDED_PORT) return answered;
      assert.equal(answer?.readUInt16BE(34), fields.destinationPort);
    }
  }

  afterEach(async () => {
    await guard?.detach();
    guard = undefined;
  });
  after(() => {
    steering.close();
    peer.close();
    peer6.close();
    hosts.remove();
  });

  for (const kind of ['tcx', 'nftables'] as const) {
    test(`${kind}: the stack is silent for services, answers for all else, and for all again afterwards`, async () => {
      assert.ok(answers({ destinationPort: 80 }), 'it is the kernel that answers');
      await attach(kind);
      assert.equal(guard?.kind, kind);
      assert.ok(answers({ destinationPort: 80 }), 'no service yet');
      setServices(80, 443);
      // The nft process reads what it is told when it comes to it.
      await until('the services to be guarded', () => !answers({ destinationPort: 443 }));
      assert.ok(!answers({ destinationPort: 80 }));
      assert.ok(!answers({ destinationPort: 80, ip: { options: [1, 1, 1, 1] } }), 'behind IP options');
      assert.ok(answers({ destinationPort: 81 }), 'another port of the VIP');
      assert.ok(answers({ destination: '198.18.0.1', destinationPort: 80 }), 'another address');
      setServices(443);
      await until('the service to be gone', () => answers({ destinationPort: 80 }));
      assert.ok(!answers({ destinationPort: 443 }));
      await guard?.detach();
      assert.ok(answers({ destinationPort: 443 }));
      assert.equal(ip('netns', 'exec', hosts.left, 'nft', 'list', 'tables').trim(), '');
    });
  }

  const ipv4 = (protocol: number, payload: number[]) =>
    ethernetFrame(OWN_MAC, CLIENT_MAC, 0x0800, ipv4Packet('198.18.0.2', VIP, payload, { protocol }));
  /** With the checksum over RFC 8200's pseudo header at `at`. */
  function ipv6(next: number, payload: number[], at: number, destination = VIP6): Uint8Array {
    const pseudo = [
      ...addressBytes('2001:db8::7'),
      ...addressBytes(destination),
      0,
      0,
      0,
      payload.length,
      0,
      0,
      0,
      next,
    ];
    const sum = internetChecksum([...pseudo, ...payload]);
    return ipv6Frame(next, payload.with(at, sum >> 8).with(at + 1, sum & 255), { destination });
  }
  const SYN = [0x9c, 0x40, 0, 80, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 0x02, 0xff, 0xff, 0, 0, 0, 0];
  const ECHO = [8, 0, 0xf7, 0xf9, 0, 1, 0, 5];

  /** To addresses that no guard is for: what the kernel answers to them comes after its other answers. */
  const LAST = tcpFrame({ source: '198.18.0.2', destination: '198.18.0.1', destinationPort: 9, flags: 'S' });
  const LAST6 = ipv6(TCP, SYN.with(3, 9), 16, '2001:db8::1');

  /** Whether the kernel answers the frame, of a VIP, with one that has `byte` at `at`. */
  function isAnswered(frame: Uint8Array, at: number, byte: number): boolean {
    const [socket, last, source] = frame[12] === 0x86 ? [peer6, LAST6, 14 + 8] : [peer, LAST, 14 + 12];
    for (const bytes of [frame, last]) {
      const sent = Buffer.from(bytes);
      sent.set(bytesOfMac(ownMac));
      socket.send(sent);
    }
    const lastSource = last.subarray(source + (source === 22 ? 16 : 4)).subarray(0, source === 22 ? 16 : 4);
    // Neighbour discovery comes in between.
    for (let answered = false; ; ) {
      const answer = socket.receive(10_000);
      assert.ok(answer !== undefined, 'the last frame is answered');
      const isReset = answer[source === 22 ? 14 + 40 + 13 : 14 + 20 + 13] === 0x14;
      if (isReset && answer.subarray(source).subarray(0, lastSource.length).equals(lastSource)) return answered;
      answered ||= answer[at] === byte;
    }
  }

  for (const kind of ['tcx', 'nftables'] as const) {
    test(`${kind}: UDP, IPv6 and echo requests`, async () => {
      const reset6 = () => isAnswered(ipv6(TCP, SYN, 16), 14 + 40 + 13, 0x14);
      const unreachable = () => isAnswered(ipv4(UDP, [0x9c, 0x40, 0, 53, 0, 8, 0, 0]), 14 + 20, 3);
      const echo = () => isAnswered(ipv4(ICMP, ECHO), 14 + 20, 0);
      const echo6 = () => isAnswered(ipv6(ICMPV6, [128, ...ECHO.slice(1, 2), 0, 0, ...ECHO.slice(4)], 2), 14 + 40, 129);
      const all = [reset6, unreachable, echo, echo6];
      const answered = () => all.map((one) => one());
      assert.deepEqual(answered(), [true, true, true, true], 'it is the kernel that answers');
      await attach(kind);
      const set = (echoes: 'answer' | 'kernel', ...services: ReturnType<typeof steered>[]) => {
        steering.setServices(services, { echo: echoes });
        guard?.setServices(services, { echo: echoes });
      };
      set('answer', steered(VIP, UDP, 1, 100), steered(VIP6, TCP, 80));
      await until('the services to be guarded', () => !answered().includes(true));
      set('kernel', steered(VIP, UDP, 1, 52), steered(VIP6, TCP, 80));
      await until('the kernel to have what is its own', () => unreachable());
      assert.deepEqual(answered(), [false, true, true, true]);
    });
  }

  test('nothing is left open', async () => {
    const before = openDescriptors();
    for (let i = 0; i < 3; i++) {
      const another = createTapSteering();
      await attach('tcx');
      await guard?.detach();
      another.close();
    }
    assert.equal(openDescriptors(), before);
  });

  test('an interface that is not there is refused', async () => {
    await assert.rejects(attachTapGuard({ programFd: steering.guardFd, interfaceIndex: 4711 }), { code: 'ENODEV' });
  });
});
