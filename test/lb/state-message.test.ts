/** States on their way to a worker: what did not change is not sent, and what arrives is the state. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseConfig } from '../../lb/config-file.ts';
import { buildForwardingState, type ForwardingState, type Hop } from '../../lb/forwarding-state.ts';
import { type Prepared, prepare, prepareNext } from '../../lb/prepare.ts';
import { decodeState, encodeState } from '../../lb/state-message.ts';
import { bytesOfIp, bytesOfMac, OWN_MAC } from '../packets.ts';

const ROOM = { services: 8, backends: 64 };
const ownMac = Uint8Array.from(bytesOfMac(OWN_MAC));

function service(port: number, backends: readonly number[], settings = ''): string {
  const list = backends.map((number) => `{ name: b${number}, address: 198.18.${port}.${number} }`);
  return `  - { name: s${port}, vip: 198.18.10.1, port: ${port}${settings}, tableSize: 251, backends: [${list.join(', ')}] }`;
}

const configOf = (...services: string[]) =>
  parseConfig(`interface: eth0\nservices:\n${services.join('\n')}\n`, 'message').config;

/** What the main thread has published, and the state that a worker makes of it. */
function setUp(...services: string[]) {
  let prepared: Prepared = prepare(configOf(...services), ROOM);
  let mtu = new Map<string, number>();
  const hopOf = (address: string): Hop => ({
    mac: ownMac,
    source: Uint8Array.from(bytesOfIp('198.18.2.10')),
    mtu: mtu.get(address) ?? 1500,
  });
  let state = buildForwardingState({ prepared, ownMac, hopOf, generation: 1 });
  let atWorker: ForwardingState = structuredClone(state);

  /** Returns how many services travelled whole. */
  function publish(change: { services?: string[]; mtu?: [string, number] }): number {
    if (change.services !== undefined) prepared = prepareNext(configOf(...change.services), prepared, 0);
    if (change.mtu !== undefined) mtu = new Map([change.mtu]);
    const before = state;
    state = buildForwardingState({ prepared, ownMac, hopOf, before, generation: before.generation + 1 });
    const message = encodeState(state, before);
    atWorker = decodeState(structuredClone(message), atWorker);
    assert.deepEqual(atWorker, state);
    return message.services.filter((each) => typeof each !== 'number').length;
  }
  return { publish };
}

const [s1, s2, s3] = [service(1, [1, 2]), service(2, [1, 2]), service(3, [1])];

test('nothing changed: nothing travels but the rest', () => {
  assert.equal(setUp(s1, s2).publish({}), 0);
});

test('one next hop: one service', () => {
  const { publish } = setUp(s1, s2, s3);
  assert.equal(publish({ mtu: ['198.18.2.1', 1400] }), 1);
  assert.equal(publish({}), 0);
});

test('another order, one gone, one new', () => {
  const { publish } = setUp(s1, s2);
  assert.equal(publish({ services: [s2, s1] }), 0);
  assert.equal(publish({ services: [s3, s2] }), 1);
  assert.equal(publish({ services: [s2, service(3, [1, 2])] }), 1);
});

test('each setting of a service counts as a change', () => {
  const settings = ['encap: l2', 'hash: source-ip', 'onMiss: drop', 'onExpiry: reset', 'scheduler: round-robin'];
  for (const setting of [...settings, 'conntrack: { idleTimeout: 7s }', 'conntrack: { enabled: false }']) {
    const { publish } = setUp(s1, s2);
    assert.equal(publish({ services: [s1, service(2, [1, 2], `, ${setting}`)] }), 1, setting);
  }
});
