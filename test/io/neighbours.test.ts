/** Neighbours, with `ip -json neigh` as the oracle, and probing them. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { readLink } from '../../io/links.ts';
import { inNamespace } from '../../io/namespace.ts';
import { type Neighbour, probeNeighbour, readNeighbours } from '../../io/neighbours.ts';
import {
  addressBytes,
  ip,
  ipBatch,
  ipJson,
  macBytes,
  makeTwoHosts,
  needsRoot,
  sysctl,
  type TwoHosts,
  until,
} from './two-hosts.ts';

describe('neighbours', { skip: needsRoot }, () => {
  let hosts: TwoHosts;
  let index: number;
  before(() => {
    hosts = makeTwoHosts();
    index = inNamespace(hosts.left, () => readLink('left')!.index);
  });
  after(() => hosts.remove());

  const read = () => inNamespace(hosts.left, readNeighbours);
  const find = (address: string): Neighbour | undefined =>
    read().find((neighbour) => String(neighbour.address) === String(addressBytes(address)));
  const probe = (address: string) => inNamespace(hosts.left, () => probeNeighbour(index, addressBytes(address)));
  const rightMac = () => macBytes(ipJson(hosts.right, 'link', 'show', 'right')[0].address);
  const change = (...args: string[]) => ip('-n', hosts.left, 'neighbour', ...args, 'dev', 'left');

  test('states that last, as `ip neigh` shows them', async () => {
    const states = ['permanent', 'noarp', 'stale', 'reachable', 'probe']; // DELAY would not last from one look to the next
    const lines = states.flatMap((nud, i) => [
      `neigh add 198.18.0.${100 + i} lladdr 02:00:00:00:00:0${i} nud ${nud} dev left\n`,
      `neigh add 2001:db8::${100 + i} lladdr 02:00:00:00:06:0${i} nud ${nud} dev left\n`,
    ]);
    ipBatch(hosts.left, lines); // at once: some states last only seconds
    const table = read();
    const shown = ipJson(hosts.left, 'neighbour', 'show', 'nud', 'all', 'dev', 'left');
    const rows = (list: [Uint8Array, Uint8Array | undefined, string][]) =>
      list.map(([address, mac, state]) => `${address} ${mac} ${state}`).sort();
    assert.deepEqual(
      rows(
        table
          .filter(({ mac, interfaceIndex }) => mac?.[0] === 2 && interfaceIndex === index)
          .map(({ address, mac, state }) => [address, mac, state]),
      ),
      rows(
        shown
          .filter(({ lladdr }) => lladdr?.startsWith('02:'))
          .map(({ dst, lladdr, state }) => [addressBytes(dst), macBytes(lladdr), state[0]]),
      ),
    );
    assert.ok(table.length >= 10);
    for (const i of states.keys()) {
      const [v4, v6] = ['198.18.0.', '2001:db8::'].map((prefix) => {
        const address = String(addressBytes(`${prefix}${100 + i}`));
        return table.find((neighbour) => String(neighbour.address) === address);
      });
      assert.ok(v4?.usable && v6?.usable, states[i]);
      assert.deepEqual(v6.mac, Uint8Array.of(2, 0, 0, 0, 6, i));
    }
  });

  test('probing an unknown neighbour that is there makes it reachable, with its MAC', async () => {
    const addresses = ipJson(hosts.right, '-6', 'address', 'show', 'right').flatMap(({ addr_info = [] }) => addr_info);
    const linkLocal = addresses.find(({ scope }) => scope === 'link');
    for (const address of ['198.18.0.2', '2001:db8::2', linkLocal.local]) {
      assert.equal(find(address), undefined);
      probe(address);
      await until(`${address} is resolved`, () => find(address)?.state === 'REACHABLE');
      assert.deepEqual(find(address), {
        interfaceIndex: index,
        address: addressBytes(address),
        mac: rightMac(),
        state: 'REACHABLE',
        usable: true,
      });
    }
  });

  test("probing leaves an administrator's entry as it is", () => {
    for (const address of ['198.18.0.68', '2001:db8::68']) {
      change('add', address, 'lladdr', '02:00:00:00:00:68', 'nud', 'permanent');
      probe(address);
      const [entry] = ipJson(hosts.left, 'neighbour', 'show', address, 'dev', 'left');
      assert.deepEqual([entry.lladdr, entry.state], ['02:00:00:00:00:68', ['PERMANENT']]);
    }
  });

  describe('with shorter delays than the kernel has by default', () => {
    before(() => {
      for (const family of ['ipv4', 'ipv6']) {
        sysctl(hosts.left, `${family}/neigh/left/mcast_solicit`, 1);
        sysctl(hosts.left, `${family}/neigh/left/retrans_time_ms`, 20);
        sysctl(hosts.left, `${family}/neigh/left/delay_first_probe_time`, 1);
      }
    });

    for (const [family, present, absent, silent] of [
      ['ARP', '198.18.0.2', '198.18.0.66', '198.18.0.67'],
      ['NDP', '2001:db8::2', '2001:db8::66', '2001:db8::67'],
    ] as const) {
      test(`${family}: probing one that is not there fails, and again does no harm`, async () => {
        for (let i = 0; i < 2; i++) {
          probe(absent);
          assert.equal(find(absent)?.usable, false);
          await until('the kernel gives up', () => find(absent)?.state === 'FAILED');
          assert.deepEqual([find(absent)?.mac, find(absent)?.usable], [undefined, false]);
        }
      });

      test(`${family}: probing a stale one has it confirmed`, async () => {
        const mac = ipJson(hosts.right, 'link', 'show', 'right')[0].address;
        change('replace', present, 'lladdr', mac, 'nud', 'stale');
        probe(present);
        assert.equal(find(present)?.state, 'DELAY');
        await until('it is confirmed', () => find(present)?.state === 'REACHABLE');
      });

      test(`${family}: one that moved silently fails first, then the next probe finds it`, async () => {
        change('replace', present, 'lladdr', '02:00:00:00:00:99', 'nud', 'stale');
        probe(present);
        await until('nobody answers at the old MAC', () => find(present)?.state === 'FAILED');
        probe(present);
        await until('it is found', () => find(present)?.state === 'REACHABLE');
        assert.deepEqual(find(present)?.mac, rightMac());
      });

      test(`${family}: a neighbour that does not confirm its MAC loses it`, async () => {
        change('replace', silent, 'lladdr', '02:00:00:00:00:67', 'nud', 'stale');
        probe(silent);
        await until('the kernel gives up', () => find(silent)?.state === 'FAILED');
        assert.deepEqual([find(silent)?.mac, find(silent)?.usable], [undefined, false]);
      });
    }
  });

  test('a table of several datagrams is read whole', () => {
    const lines = Array.from(
      { length: 900 },
      (_, i) => `neigh add 198.18.${8 + (i >> 8)}.${i & 255} lladdr 02:00:00:00:00:01 dev left nud permanent\n`,
    );
    ipBatch(hosts.left, lines);
    const added = read().filter(({ address }) => address.length === 4 && address[2] >= 8);
    assert.equal(added.length, 900);
    assert.equal(new Set(added.map(({ address }) => String(address))).size, 900);
  });

  test('an interface that does not exist is an error', () => {
    assert.throws(() => inNamespace(hosts.left, () => probeNeighbour(4711, addressBytes('198.18.0.2'))), {
      code: 'ENODEV',
    });
  });
});
