/** Clients as people name them, and the backend that the hash alone gives them, held against the forwarder without a table. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { clientText, parseClient } from '../../lb/client-text.ts';
import { choiceByHash } from '../../lb/hash-choice.ts';
import { tcpFrame } from '../packets.ts';
import { tcp6Frame } from '../packets6.ts';
import { BACKENDS_IPV6, createRig } from './rig.ts';

describe('a client as text', () => {
  for (const [text, address, port] of [
    ['198.18.1.7', '198.18.1.7', undefined],
    ['198.18.1.7:51514', '198.18.1.7', 51_514],
    ['2001:DB8:0::7', '2001:db8::7', undefined],
    ['[2001:db8::7]', '2001:db8::7', undefined],
    ['[2001:db8::7]:0', '2001:db8::7', 0],
  ] as const) {
    test(text, () => {
      const client = parseClient(text);
      assert.deepEqual([client.address, client.port], [address, port]);
      if (port !== undefined) assert.deepEqual(parseClient(clientText(address, port)), client);
    });
  }

  for (const text of [
    '',
    'localhost',
    '198.18.1.7:',
    '198.18.1.7:65536',
    '198.18.1',
    '[198.18.1.7]:80',
    '2001:db8::7:99999x',
    '1:2',
  ]) {
    test(`not ${JSON.stringify(text)}`, () => assert.throws(() => parseClient(text), { code: 'CLIENT_INVALID' }));
  }
});

describe('the backend that the hash alone chooses', () => {
  for (const hash of ['source-ip', 'source-ip-port', 'five-tuple']) {
    test(`${hash}: the one that the packet goes to`, () => {
      const four = createRig({ service: `hash: ${hash}, conntrack: { enabled: false }`.replace(', ', '\n    ') });
      const backends = Object.entries(BACKENDS_IPV6).map(
        ([name, { address }]) => `{ name: ${name}, address: "${address}" }`,
      );
      const six = createRig({ vip: '"2001:db8:10::1"', backends, service: `hash: ${hash}` });
      const seen = new Set<number>();
      for (let i = 0; i < 100; i++) {
        const [v4, v6, sourcePort] = [`198.18.1.${i}`, `2001:db8:1::${i.toString(16)}`, 1000 + 77 * i];
        four.walk(tcpFrame({ source: v4, sourcePort, flags: 'S' }));
        six.walk(tcp6Frame({ source: v6, sourcePort, destination: '2001:db8:10::1', destinationPort: 80, flags: 'S' }));
        for (const [rig, client] of [
          [four, v4],
          [six, v6],
        ] as const) {
          const choice = choiceByHash(rig.forwarder.state, 0, client, sourcePort, 80);
          assert.equal(choice?.backend, rig.forwarder.backend[0]);
          seen.add(rig.forwarder.backend[0]);
        }
      }
      assert.equal(seen.size, 3);
    });
  }

  test('round-robin asks no hash', () => {
    const { forwarder } = createRig({ service: 'scheduler: round-robin' });
    assert.equal(choiceByHash(forwarder.state, 0, '198.18.1.1', 1, 80), null);
  });
});
