/** The MSS that a real kernel announces from a VIP, lowered as it leaves, and what a real kernel sends that heard it. */
import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { after, before, suite, test } from 'node:test';
import { loadDecap } from '../../dsr/decap.ts';
import { type AttachSynAckClampOptions, attachAtEgress, attachSynAckClamp } from '../../dsr/syn-ack-clamp.ts';
import { inNamespace } from '../../io/namespace.ts';
import { requireLink } from '../../io/xdp.ts';
import { MAIN } from '../cli/command.ts';
import { openPacketSocket, type PacketSocket } from '../io/packet-socket.ts';
import { ip, ipJson, makeTwoHosts, needsRoot, openDescriptors, type TwoHosts } from '../io/two-hosts.ts';
import { bytesOfMac, CLIENT_MAC, ethernetFrame, internetChecksum, OWN_MAC, tcpPacket } from '../packets.ts';
import { bytesOfAddress, ETHERTYPE_IPV6, pseudoHeader, tcp6Packet } from '../packets6.ts';

const BACKEND = { 4: '198.18.0.1', 6: '2001:db8::1' } as const;
const CLIENT = { 4: '198.18.0.2', 6: '2001:db8::2' } as const;
const VIP = { 4: '198.18.10.1', 6: '2001:db8:10::1' } as const;
const FAMILIES = [4, 6] as const;
const IP_LENGTH = { 4: 20, 6: 40 } as const;
const PORT = 80;
const BYTES = 256 * 1024;
/** 1500 less IP and TCP; less the header of a tunnel over IPv6 too, for which the backend has an address. */
const UNCLAMPED = { 4: 1460, 6: 1440 } as const;
const CLAMPED = { 4: 1420, 6: 1400 } as const;
/** In each segment (RFC 7323), with the two bytes that pad it. */
const TIMESTAMPS = 12;

/** Says how many bytes came, once all are there. */
const SERVER = `
  require('node:net').createServer((socket) => {
    let left = ${BYTES};
    socket.on('error', () => {});
    socket.on('data', ({ length }) => { left -= length; if (left === 0) socket.write('all'); });
  }).listen(${PORT}, '::', () => console.log('ready'));`;

/** Sends all at once, says when they were received, and keeps the connection. */
const uploadTo = (address: string) => `
  const socket = require('node:net').connect(${PORT}, '${address}', () => socket.write(Buffer.alloc(${BYTES})));
  socket.on('data', (data) => console.log(String(data)));`;

suite('SYN-ACK clamp', { skip: needsRoot }, () => {
  let hosts: TwoHosts;
  let peers: Record<4 | 6, PacketSocket>;
  let server: ChildProcess;
  let backendMac: string;

  before(async () => {
    hosts = makeTwoHosts();
    for (const [family, length] of [
      [4, 32],
      [6, 128],
    ] as const) {
      ip('-n', hosts.left, 'address', 'add', `${VIP[family]}/${length}`, 'dev', 'lo');
      ip('-n', hosts.right, 'route', 'add', `${VIP[family]}/${length}`, 'via', BACKEND[family]);
    }
    backendMac = ipJson(hosts.left, 'link', 'show', 'left')[0].address;
    peers = { 4: openPacketSocket(hosts.right, 'right'), 6: openPacketSocket(hosts.right, 'right', ETHERTYPE_IPV6) };
    server = run(hosts.left, ['-e', SERVER]);
    await line(server, /ready/);
  });
  after(async () => {
    await end(server);
    peers[4].close();
    peers[6].close();
    hosts.remove();
  });

  function run(namespace: string, args: readonly string[]): ChildProcess {
    return spawn('ip', ['netns', 'exec', namespace, process.execPath, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  }

  /** The first line of either stream that matches. */
  async function line(child: ChildProcess, pattern: RegExp): Promise<string> {
    assert.ok(child.stdout && child.stderr);
    const readers = [child.stdout, child.stderr].map((input) => createInterface(input));
    const seen: string[] = [];
    const found = new Promise<string>((resolve) => {
      for (const reader of readers) {
        reader.on('line', (text) => {
          seen.push(text);
          if (pattern.test(text)) resolve(text);
        });
      }
    });
    const ended = once(child, 'close').then(() => assert.fail(`ended without ${pattern}: ${seen.join('\n')}`));
    return await Promise.race([found, ended]);
  }

  async function end(child: ChildProcess, signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    const closed = once(child, 'close');
    child.kill(signal);
    await closed;
  }

  const attach = (mss: AttachSynAckClampOptions['mss'] = 'auto') =>
    inNamespace(hosts.left, () => attachSynAckClamp({ interfaceName: 'left', encap: 'ipip', mss }));

  /** The next SYN-ACK from that address, as its TCP header with options. */
  function nextSynAck(family: 4 | 6, source: string): Buffer {
    for (;;) {
      const packet = peers[family].receive()?.subarray(14);
      assert.ok(packet, 'a SYN-ACK');
      const tcp = packet.subarray(IP_LENGTH[family]);
      const from = packet.subarray(...(family === 4 ? [12, 16] : [8, 24]));
      const isTcp = packet[family === 4 ? 9 : 6] === 6;
      if (isTcp && (tcp[13] & 0x12) === 0x12 && from.equals(Buffer.from(bytesOfAddress(source)))) return tcp;
    }
  }

  let clientPort = 20_000;
  /** The MSS that the backend's kernel answers a SYN with. */
  function announced(family: 4 | 6, address: string = VIP[family]): number {
    clientPort++;
    const fields = { source: CLIENT[family], destination: address, sourcePort: clientPort, flags: 'S' };
    const syn = { ...fields, options: [2, 4, 5, 180] };
    const packet = family === 4 ? tcpPacket(syn) : tcp6Packet(syn);
    const frame = ethernetFrame(OWN_MAC, CLIENT_MAC, family === 4 ? 0x0800 : ETHERTYPE_IPV6, packet);
    frame.set(bytesOfMac(backendMac));
    peers[family].send(frame);
    for (;;) {
      const tcp = nextSynAck(family, address);
      if (tcp.readUInt16BE(2) !== clientPort) continue;
      assert.deepEqual([...tcp.subarray(20, 22)], [2, 4]);
      return tcp.readUInt16BE(22);
    }
  }

  /** One's-complement sum of what a checksum covers, folded: 0xffff where it is right. */
  function sumOf(family: 4 | 6, bytes: readonly number[]): number {
    const pseudo = pseudoHeader(VIP[family], CLIENT[family], 6, bytes.length);
    return 0xffff - internetChecksum([...pseudo, ...bytes]);
  }

  test('the VIPs announce what fits, the own addresses what they did, and all as before once it is closed', () => {
    for (const family of FAMILIES) assert.equal(announced(family), UNCLAMPED[family]);
    const descriptorsBefore = openDescriptors();
    const clamp = attach();
    assert.deepEqual(clamp.largest, CLAMPED);
    for (const family of FAMILIES) {
      assert.equal(announced(family), CLAMPED[family]);
      assert.equal(announced(family, BACKEND[family]), UNCLAMPED[family]);
    }
    assert.deepEqual(clamp.counters(), { clamped: 2 });
    clamp.close();
    const smaller = attach(1000);
    for (const family of FAMILIES) assert.equal(announced(family), 1000);
    smaller.close();
    assert.equal(openDescriptors(), descriptorsBefore, 'descriptors leaked');
    for (const family of FAMILIES) assert.equal(announced(family), UNCLAMPED[family]);
  });

  for (const offloads of [true, false]) {
    for (const family of FAMILIES) {
      test(`an upload over IPv${family} in segments that fit, ${offloads ? 'with' : 'without'} offloads`, async () => {
        for (const side of ['left', 'right'] as const) {
          inNamespace(hosts[side], () => {
            for (const offload of ['tx-checksumming', 'tcp-segmentation-offload', 'generic-segmentation-offload']) {
              execFileSync('ethtool', ['-K', side, offload, offloads ? 'on' : 'off'], { stdio: 'pipe' });
            }
          });
        }
        const clamp = attach();
        const arrivals = openPacketSocket(hosts.left, 'left', family === 4 ? 0x0800 : ETHERTYPE_IPV6);
        const client = run(hosts.right, ['-e', uploadTo(VIP[family])]);
        try {
          await line(client, /all/);
          const sockets = execFileSync('ip', ['netns', 'exec', hosts.right, 'ss', '-Htin', `dport = :${PORT}`], {
            encoding: 'utf8',
          });
          const [, mss] = sockets.match(/[^d]mss:(\d+)/) ?? [];
          assert.equal(Number(mss), CLAMPED[family] - TIMESTAMPS, sockets);

          let longest = 0;
          for (let frame = arrivals.receive(0); frame !== undefined; frame = arrivals.receive(0)) {
            longest = Math.max(longest, frame.length - 14);
          }
          // Offloaded, they pass a veth pair uncut; the MSS by which a card would cut them is that of the socket.
          if (offloads) assert.ok(longest > 1500, `${longest}`);
          else assert.equal(longest, IP_LENGTH[family] + 20 + CLAMPED[family]);

          const synAck = nextSynAck(family, VIP[family]);
          assert.equal(synAck.readUInt16BE(22), CLAMPED[family]);
          const sum = synAck.readUInt16BE(16);
          // Left to the card: the pseudo-header's sum alone.
          if (offloads) assert.equal(sum, sumOf(family, Array(synAck.length).fill(0)));
          else assert.equal(sumOf(family, [...synAck]), 0xffff);
          assert.deepEqual(clamp.counters(), { clamped: 1 });
        } finally {
          await end(client);
          arrivals.close();
          clamp.close();
        }
      });
    }
  }

  test('follows the MTU and the addresses of its interface, and counts on', () => {
    const clamp = attach();
    const follow = () => inNamespace(hosts.left, () => clamp.follow());
    const ofLeft = (...words: string[]) => ip('-n', hosts.left, ...words);
    assert.equal(follow(), false);
    ofLeft('link', 'set', 'left', 'mtu', '1400');
    assert.equal(follow(), true);
    for (const family of FAMILIES) assert.equal(announced(family), CLAMPED[family] - 100);
    ofLeft('link', 'set', 'left', 'mtu', '1500');
    ofLeft('address', 'add', `${VIP[4]}/32`, 'dev', 'left');
    assert.equal(follow(), true);
    assert.deepEqual([announced(4), announced(6)], [UNCLAMPED[4], CLAMPED[6]]);
    ofLeft('address', 'delete', `${VIP[4]}/32`, 'dev', 'left');
    assert.deepEqual(clamp.counters(), { clamped: 3 });
    clamp.close();
  });

  test('hushlb decap --mss-clamp: the MSS in its log, the count at its end, and nothing left, killed or not', async () => {
    for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
      const decap = run(hosts.left, [MAIN, 'decap', '-i', 'left', '--mss-clamp', '1234']);
      const { mss, mss6 } = JSON.parse(await line(decap, /"ready"/));
      assert.deepEqual([mss, mss6], [1234, 1234]);
      for (const family of FAMILIES) assert.equal(announced(family), 1234);
      const stopping = signal === 'SIGTERM' ? line(decap, /"stopping"/) : undefined;
      await end(decap, signal);
      if (stopping) assert.equal(JSON.parse(await stopping).clamped, 2);
      for (const family of FAMILIES) assert.equal(announced(family), UNCLAMPED[family]);
    }
  });

  test('hushlb decap --mss-clamp with what is no MSS', async () => {
    for (const wrong of ['535', '65496', '1e3', 'on', '-1', '']) {
      const decap = run(hosts.left, [MAIN, 'decap', '-i', 'left', `--mss-clamp=${wrong}`]);
      assert.match(await line(decap, /mss-clamp/), /expected auto or a whole number from 536 to 65495/, wrong);
    }
  });

  test('a kernel without TCX is told apart, in a line that says what else does it', () => {
    // It answers as for a program of the wrong type.
    const other = loadDecap({ encap: 'ipip' });
    assert.throws(
      () => inNamespace(hosts.left, () => attachAtEgress(other.programFd, requireLink('left').index, CLAMPED)),
      /^SystemCallError: .*EINVAL .*Linux 6\.6.*leave --mss-clamp out.*advmss 1420.*advmss 1400\)$/,
    );
    other.close();
  });
});
