/** The guard against a real kernel: a VIP on the host's own loopback, whose stack answers RST unless something drops it first. */
import assert from 'node:assert/strict';
import { after, afterEach, suite, test } from 'node:test';
import { inNamespace } from '../../io/namespace.ts';
import { attachTapGuard, type TapGuard } from '../../io/tap-guard.ts';
import { createTapSteering } from '../../io/tap-steering.ts';
import { requireLink } from '../../io/xdp.ts';
import { bytesOfMac, type TcpFields, tcpFrame } from '../packets.ts';
import { openPacketSocket } from './packet-socket.ts';
import { addressBytes, ip, ipJson, makeTwoHosts, needsRoot, openDescriptors, until } from './two-hosts.ts';

const VIP = '198.18.10.1';
const TCP = 6;

suite('tap-guard', { skip: needsRoot }, () => {
  const hosts = makeTwoHosts();
  const peer = openPacketSocket(hosts.right, 'right');
  const ownMac = ipJson(hosts.left, 'link', 'show', 'left')[0].address as string;
  const interfaceIndex = inNamespace(hosts.left, () => requireLink('left').index);
  ip('-n', hosts.left, 'address', 'add', `${VIP}/32`, 'dev', 'lo');
  // Answers go out without ARP, which the far end's packet socket would not give.
  const farMac = ipJson(hosts.right, 'link', 'show', 'right')[0].address as string;
  ip('-n', hosts.left, 'neigh', 'replace', '198.18.0.2', 'lladdr', farMac, 'dev', 'left');
  const steering = createTapSteering();
  let guard: TapGuard | undefined;

  const service = (port: number) => ({ address: addressBytes(VIP), protocol: TCP, ports: { first: port, last: port } });
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

  /** Whether the kernel answers a SYN to `destinationPort` with RST. */
  function answers(fields: TcpFields, change: (frame: Buffer) => Buffer = (frame) => frame): boolean {
    const frame = Buffer.from(tcpFrame({ source: '198.18.0.2', flags: 'S', ...fields }));
    frame.set(bytesOfMac(ownMac));
    peer.send(change(frame));
    const answer = peer.receive(200);
    if (answer === undefined) return false;
    assert.equal(answer[47], 0x14, 'RST, ACK');
    return true;
  }

  afterEach(async () => {
    await guard?.detach();
    guard = undefined;
  });
  after(() => {
    steering.close();
    peer.close();
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
