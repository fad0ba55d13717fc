/** Links and addresses, with `ip -json` as the oracle. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { readAddresses, readLink } from '../../io/links.ts';
import { inNamespace } from '../../io/namespace.ts';
import { addressBytes, ip, ipJson, macBytes, makeTwoHosts, needsRoot, type TwoHosts } from './two-hosts.ts';

describe('links', { skip: needsRoot }, () => {
  let hosts: TwoHosts;
  before(() => {
    hosts = makeTwoHosts();
    const left = ['-n', hosts.left];
    const queues = ['numrxqueues', '3', 'numtxqueues', '2'];
    ip(...left, 'link', 'add', 'near', 'mtu', '1400', ...queues, 'type', 'veth', 'peer', 'name', 'far');
    ip(...left, 'link', 'add', 'a-bridge-of-15c', 'up', 'type', 'bridge');
    ip(...left, 'tuntap', 'add', 'tunnel', 'mode', 'tun');
    ip(...left, 'address', 'add', '198.18.7.1', 'peer', '198.18.7.2', 'dev', 'left');
    ip(...left, 'address', 'add', '2001:db8:7::1', 'peer', '2001:db8:7::2', 'dev', 'left', 'nodad');
  });
  after(() => hosts.remove());

  test('each interface as iproute2 shows it, by name and by index', () => {
    const shown = ipJson(hosts.left, '-d', 'link', 'show');
    assert.ok(shown.length >= 6);
    for (const link of shown) {
      const expected = {
        index: link.ifindex,
        name: link.ifname,
        mac: link.link_type === 'none' ? undefined : macBytes(link.address),
        mtu: link.mtu,
        up: link.flags.includes('UP'),
        running: link.flags.includes('LOWER_UP'),
        rxQueues: link.num_rx_queues,
        txQueues: link.num_tx_queues,
        kind: link.linkinfo?.info_kind,
      };
      inNamespace(hosts.left, () => {
        assert.deepEqual(readLink(link.ifname), expected);
        assert.deepEqual(readLink(link.ifindex), expected);
      });
    }
  });

  test('up is what the administrator wants, running needs the other end too', () => {
    const state = () => inNamespace(hosts.left, () => [readLink('near')!.up, readLink('near')!.running]);
    const set = (link: string, way: string) => ip('-n', hosts.left, 'link', 'set', link, way);
    assert.deepEqual(state(), [false, false]);
    set('near', 'up');
    assert.deepEqual(state(), [true, false]);
    set('far', 'up');
    assert.deepEqual(state(), [true, true]);
    set('near', 'down');
    assert.deepEqual(state(), [false, false]);
  });

  test('no such interface is undefined', () => {
    inNamespace(hosts.left, () => {
      for (const missing of ['right', '', 'a-name-longer-than-15', 4711, 0, -1]) {
        assert.equal(readLink(missing), undefined, `${missing}`);
      }
    });
  });

  test("addresses are the interface's own, of both families", () => {
    for (const { ifindex, addr_info } of ipJson(hosts.left, 'address', 'show')) {
      const expected = (addr_info as { local: string }[]).map(({ local }) => addressBytes(local));
      const read = inNamespace(hosts.left, () => readAddresses(ifindex));
      const sorted = (list: Uint8Array[]) => list.map((address) => Buffer.from(address).toString('hex')).sort();
      assert.deepEqual(sorted(read), sorted(expected));
    }
    const { index } = inNamespace(hosts.left, () => readLink('left')!);
    const own = inNamespace(hosts.left, () => readAddresses(index)).map(String);
    for (const address of ['198.18.0.1', '198.18.7.1', '2001:db8::1', '2001:db8:7::1']) {
      assert.ok(own.includes(String(addressBytes(address))), address);
    }
    assert.deepEqual(
      inNamespace(hosts.left, () => readAddresses(4711)),
      [],
    );
  });
});
