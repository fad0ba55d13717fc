/** Offloads and queues as the kernel has them, with the ethtool program and the wire as oracles. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { after, before, describe, test } from 'node:test';
import { openCapture } from '../../io/capture.ts';
import { type Offloads, readDriver, readOffloads, setOffloads } from '../../io/ethtool.ts';
import { closeDescriptor, openSocket, sendto } from '../../io/ffi.ts';
import { readLink } from '../../io/links.ts';
import { inNamespace } from '../../io/namespace.ts';
import { ip, makeTwoHosts, needsRoot, openDescriptors, type TwoHosts } from './two-hosts.ts';

const noEthtool = spawnSync('ethtool', ['--version']).error ? 'ethtool is not installed' : false;

describe('ethtool', { skip: needsRoot }, () => {
  let hosts: TwoHosts;
  before(() => {
    hosts = makeTwoHosts();
    ip('-n', hosts.left, 'neighbour', 'add', '198.18.0.9', 'lladdr', '02:00:00:00:00:09', 'dev', 'left');
  });
  after(() => hosts.remove());

  const read = () => inNamespace(hosts.left, () => readOffloads('left'));
  const set = (wanted: Partial<Offloads>) => inNamespace(hosts.left, () => setOffloads('left', wanted));

  /** Whether a UDP datagram left the interface with the right checksum (RFC 768, RFC 1071). */
  function sentChecksumIsRight(): boolean {
    return inNamespace(hosts.left, () => {
      const capture = openCapture({ interface: readLink('left')!.index });
      const fd = openSocket(2, 2, 0);
      // struct sockaddr_in: 198.18.0.9 port 9
      const address = Uint8Array.from([2, 0, 0, 9, 198, 18, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0]);
      assert.equal(sendto(fd, Buffer.from('checksum'), 8, 0, address, 16), 8);
      closeDescriptor(fd);
      const udp: Buffer[] = [];
      capture.read(({ bytes }) => {
        const packet = Buffer.from(bytes).subarray(14);
        if (bytes[12] === 8 && bytes[13] === 0 && packet[9] === 17 && packet.readUInt16BE(22) === 9) udp.push(packet);
      });
      capture.close();
      assert.equal(udp.length, 1);
      const [packet] = udp;
      let sum = 17 + 16; // the pseudo header's protocol and length
      for (let i = 12; i < packet.length; i += 2) sum += packet.readUInt16BE(i);
      return sum % 0xffff === 0;
    });
  }

  test('turning txChecksum off has the kernel finish checksums before the wire, and takes tso along', () => {
    assert.deepEqual(read(), { txChecksum: true, tso: true, gso: true, gro: read().gro });
    assert.equal(sentChecksumIsRight(), false);
    set({ txChecksum: false });
    assert.deepEqual(read(), { txChecksum: false, tso: false, gso: true, gro: read().gro });
    assert.equal(sentChecksumIsRight(), true);
    set({ tso: true });
    assert.equal(read().tso, false, 'not granted without txChecksum');
    set({ tso: true, txChecksum: true });
    assert.deepEqual(read(), { txChecksum: true, tso: true, gso: true, gro: read().gro });
  });

  test('the program ethtool says the same', { skip: noEthtool }, () => {
    const features: [keyof Offloads, string][] = [
      ['txChecksum', 'tx-checksumming'],
      ['tso', '\ttx-tcp-segmentation'], // its sum line also counts a kind that does without txChecksum
      ['gso', 'generic-segmentation-offload'],
      ['gro', 'generic-receive-offload'],
    ];
    for (const on of [false, true, false]) {
      for (const [name, feature] of features) {
        const previous = read();
        set({ [name]: on });
        const shown = inNamespace(hosts.left, () => execFileSync('ethtool', ['-k', 'left'], { encoding: 'utf8' }));
        const state = Object.fromEntries(features.map(([key, word]) => [key, shown.includes(`\n${word}: on`)]));
        assert.deepEqual({ ...read() }, state, `${feature} ${on}`);
        assert.equal(state[name], on && !(name === 'tso' && !previous.txChecksum));
      }
    }
  });

  test("the driver's name", () => {
    assert.equal(
      inNamespace(hosts.left, () => readDriver('left')),
      'veth',
    );
    assert.equal(
      inNamespace(hosts.left, () => readDriver('lo')),
      undefined,
    );
    assert.throws(() => readDriver('no-such-link'), { message: 'ethtool: ENODEV (interface no-such-link)' });
  });

  test('no such interface, and what a driver cannot change, is an error that names the interface', () => {
    const count = openDescriptors();
    assert.throws(() => inNamespace(hosts.left, () => readOffloads('right')), {
      name: 'SystemCallError',
      message: 'ethtool: ENODEV (interface right)',
    });
    assert.throws(() => setOffloads('a-name-longer-than-15', { gro: false }), { code: 'ENODEV' });
    assert.throws(() => inNamespace(hosts.left, () => setOffloads('lo', { txChecksum: false })), {
      message: 'ethtool: ENOTSUP (interface lo)',
    });
    assert.equal(openDescriptors(), count);
  });
});
