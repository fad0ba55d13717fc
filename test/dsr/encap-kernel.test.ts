/**
 * A real kernel takes what `encapsulate` made and answers the client: Linux's segment routing endpoints (seg6local End.DX4
 * and End.DT6, RFC 8986, sections 4.5 and 4.6) accept any IPv4 or IPv6 in IPv6, and most kernels have them built in.
 */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { createNextHops, encapsulate, openRow, setNextHop } from '../../dsr/encap.ts';
import { COPY_TTL, ENCAP_IPIP } from '../../dsr/tunnel.ts';
import { openPacketSocket } from '../io/packet-socket.ts';
import { addressBytes, ip, ipJson, macBytes, makeTwoHosts, needsRoot, sysctl } from '../io/two-hosts.ts';
import { CLIENT_MAC, ethernetFrame, OWN_MAC, tcpPacket } from '../packets.ts';
import { ETHERTYPE_IPV6, tcp6Packet } from '../packets6.ts';
import { typeOf } from '../tunnels.ts';

const CLIENT = { 4: '198.18.0.2', 6: '2001:db8::2' } as const;
const VIP = { 4: '198.18.10.1', 6: '2001:db8:10::1' } as const;
/** Where the tunnels end: routes of the left host. */
const BACKEND = { 4: '2001:db8:2::4', 6: '2001:db8:2::6' } as const;
const ENDPOINT = { 4: ['End.DX4', 'nh4', '0.0.0.0'], 6: ['End.DT6', 'table', 'local'] } as const;
const ROOM = 64;

suite('IPv6 tunnels that a kernel ends', { skip: needsRoot }, () => {
  for (const family of [4, 6] as const) {
    for (const [name, ttl, varySource] of [
      ['as configured by default', 64, false],
      ['TTL copied, source varied', COPY_TTL, true],
    ] as const) {
      test(`IPv${family} in IPv6, ${name}`, (t) => {
        const hosts = makeTwoHosts();
        try {
          sysctl(hosts.left, 'ipv6/conf/all/forwarding', 1);
          ip('-n', hosts.left, 'address', 'add', `${VIP[4]}/32`, 'dev', 'lo');
          ip('-n', hosts.left, 'address', 'add', `${VIP[6]}/128`, 'dev', 'lo', 'nodad');
          const route = ['-6', 'route', 'add', `${BACKEND[family]}/128`, 'encap', 'seg6local', 'action'];
          try {
            ip('-n', hosts.left, ...route, ...ENDPOINT[family], 'dev', 'left');
          } catch (error) {
            if (!/not supported/.test(String(error))) throw error;
            t.skip('this kernel has no seg6local (CONFIG_IPV6_SEG6_LWTUNNEL)');
            return;
          }
          const [{ address: leftMac }] = ipJson(hosts.left, 'link', 'show', 'left');
          const fields = { source: CLIENT[family], destination: VIP[family], sourcePort: 40_321, flags: 'S' };
          const syn = family === 4 ? tcpPacket(fields) : tcp6Packet(fields);
          const memory = Buffer.alloc(ROOM + 14 + syn.length);
          memory.set(ethernetFrame(OWN_MAC, CLIENT_MAC, typeOf(syn), syn), ROOM);

          const hops = createNextHops(1);
          openRow(hops, 0, 0);
          setNextHop(
            hops,
            0,
            { encap: ENCAP_IPIP, family, ttl, varySource, gue: { port: 6080, variant: 0 } },
            {
              mac: macBytes(leftMac),
              ownMac: macBytes(CLIENT_MAC),
              source: addressBytes('2001:db8:1::1'),
              destination: addressBytes(BACKEND[family]),
              mtu: 1500,
            },
          );
          const view = new DataView(memory.buffer, memory.byteOffset, memory.length);
          const grown = encapsulate(view, ROOM, syn.length, ENCAP_IPIP, hops, 0, 0x7abcdef1);

          const peer = openPacketSocket(hosts.right, 'right', family === 4 ? 0x0800 : ETHERTYPE_IPV6);
          peer.send(memory.subarray(ROOM - grown));
          let answer: Buffer | undefined;
          do answer = peer.receive(10_000);
          while (answer !== undefined && answer[family === 4 ? 23 : 20] !== 6);
          const tcp = answer?.subarray(family === 4 ? 34 : 54);
          assert.deepEqual(
            answer?.subarray(...(family === 4 ? [26, 34] : [22, 54])),
            Buffer.concat([addressBytes(VIP[family]), addressBytes(CLIENT[family])]),
          );
          assert.equal(tcp?.readUInt16BE(2), 40_321);
          assert.equal(tcp?.[13], 0x14, 'nobody listens there: RST, ACK');
          peer.close();
        } finally {
          hosts.remove();
        }
      });
    }
  }
});
