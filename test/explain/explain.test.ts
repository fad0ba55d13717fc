/**
 * What explain says of a flow is what the forwarder does with its packets: for random configurations, flows and what-ifs,
 * with packets and outer headers that were built from the RFCs (test/packets.ts, test/tunnels.ts).
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Answer, explain, type Subject, subjectOf } from '../../explain/explain.ts';
import type { Explanation } from '../../explain/explanation.ts';
import type { Flow } from '../../explain/flow.ts';
import { changedBy, type WhatIf } from '../../explain/what-if.ts';
import { buildLookupTable } from '../../hashing/lookup-table.ts';
import { createMemoryDevice } from '../../io/memory-device.ts';
import type { Config } from '../../lb/config.ts';
import { parseConfig } from '../../lb/config-file.ts';
import { EXITS } from '../../lb/exits.ts';
import { createWalk } from '../../lb/forwarder.ts';
import { createOfflineBalancer } from '../../lb/offline.ts';
import { NOBODY_DOWN } from '../../lb/service-table.ts';
import { chained } from '../chained-hash.ts';
import { bytesOfIp, bytesOfMac, OWN_MAC } from '../packets.ts';
import { bytesOfAddress } from '../packets6.ts';
import { aimed, configuration, flow, frameOf, promised, whatIf } from './flows.ts';

const SOURCES = { 4: '198.18.2.99', 6: '2001:db8:2::99' };
const macOf = (address: string) => `02:00:00:00:01:${bytesOfAddress(address).at(-1)?.toString(16).padStart(2, '0')}`;

const hops = {
  ownMac: Uint8Array.from(bytesOfMac(OWN_MAC)),
  hopOf: (address: string) => ({
    mac: Uint8Array.from(bytesOfMac(macOf(address))),
    source: Uint8Array.from(bytesOfAddress(address.includes(':') ? SOURCES[6] : SOURCES[4])),
    mtu: 1500,
  }),
};

function subject(text: string, of: Flow = FLOW): Subject {
  return { ...subjectOf(text, parseConfig(text, 'test').config, hops, of.to.address), isMadeUp: () => false };
}

interface Seen {
  exit: string;
  frame: Uint8Array | undefined;
}

/** A flow's first packet, then what happens, then the packet that is asked about. */
function forward(config: Config, of: Flow, opens: boolean, then?: { config: Config; down: ReadonlySet<string> }): Seen {
  const device = createMemoryDevice({ frameCount: 4, batchSize: 4 });
  const { forwarder, takeOver } = createOfflineBalancer({
    config,
    room: { services: 8, backends: 64 },
    device,
    ...hops,
  });
  const walk = createWalk(forwarder);
  const send = (isFirst: boolean, nowMs: number): void => {
    device.sent.length = 0;
    device.inject(frameOf(of, isFirst));
    device.receive(0);
    walk(nowMs);
    device.send();
  };
  send(true, 0);
  if (then !== undefined) takeOver(then.config, 1, then.down);
  send(opens, 2);
  const { verdict, reason } = EXITS[forwarder.exit[0]];
  return { exit: `${verdict}: ${reason}`, frame: verdict === 'forward' ? device.sent[0] : undefined };
}

function compare(said: Explanation, seen: Seen, frame: Uint8Array): void {
  assert.equal(`${said.verdict}: ${said.reason}`, seen.exit);
  if (seen.frame === undefined) assert.equal(said.outer, null);
  else assert.deepEqual(Buffer.from(promised(said, frame)), Buffer.from(seen.frame));
}

test('of any flow it says what the forwarder does, to the byte', () => {
  let forwarded = 0;
  fc.assert(
    fc.property(configuration, flow, fc.boolean(), (text, of, opens) => {
      const { now } = explain(subject(text, of), { flow: of, opens, entry: undefined, whatIf: {} });
      const seen = forward(parseConfig(text, 'test').config, of, opens);
      compare(now, seen, frameOf(of, opens));
      if (seen.frame !== undefined) forwarded++;
    }),
    { numRuns: 150 },
  );
  assert.ok(forwarded > 0, 'some were forwarded');
});

test('what if: the same as taking the change over and sending the next packet', () => {
  let moved = 0;
  fc.assert(
    fc.property(aimed, fc.boolean(), whatIf, ({ text, flow: of }, opens, change: WhatIf) => {
      const { config } = parseConfig(text, 'test');
      const [service] = config.services;
      const names = service.backends.map(({ name }) => name);
      const edits = change.edits?.filter(
        ({ backend }, i) => names.includes(backend) && names[0] !== backend && i === 0,
      );
      const down = change.down?.filter((name) => names.includes(name) && edits?.[0]?.backend !== name);
      const asked = { ...change, edits, down };
      const answer = explain(subject(text, of), { flow: of, opens, entry: undefined, whatIf: asked });
      fc.pre(answer.whatIf !== null);
      const { would, effect } = answer.whatIf;

      const then = changedBy(asked, { text, config, down: NOBODY_DOWN }, service.name);
      // Forgotten: the table of a balancer that has never had it.
      const forgetful = { ...config, services: config.services.map((each) => ({ ...each, name: `old-${each.name}` })) };
      const seen = forward(asked.expired ? forgetful : config, of, opens, then);
      compare(would, seen, frameOf(of, opens));

      const [before, after] = [answer.now.backend?.address, would.backend?.address];
      assert.equal(effect.sameBackend, before === after);
      if (opens) assert.equal(effect.breaks, false);
      else if (answer.now.verdict === 'forward') {
        assert.equal(effect.breaks, would.verdict !== 'forward' || before !== after);
        if (effect.breaks === true) moved++;
      }
    }),
    { numRuns: 150 },
  );
  // Some twenty of them; how many is chance.
  assert.ok(moved > 0, 'some connection moved');
});

const TEXT = `
interface: eth0
hashSeed: 12345
services:
  - name: web
    vip: 198.18.10.1
    port: 80
    backends:
      - { name: b1, address: 198.18.2.1 }
      - { name: b2, address: 198.18.2.2, weight: 2 }
      - { name: b3, address: 198.18.2.3 }
  - { name: dns, vip: 198.18.10.1, port: 53, protocol: udp, backends: [{ name: n1, address: 198.18.2.9 }] }
`;
const FLOW: Flow = {
  client: { address: '192.0.2.7', port: 51514 },
  to: { address: '198.18.10.1', port: 80 },
  protocol: 'tcp',
};
const TABLE = buildLookupTable(
  [
    { name: 'b1', weight: 1 },
    { name: 'b2', weight: 2 },
    { name: 'b3', weight: 1 },
  ],
  65537,
);

function ask(change: WhatIf = {}, more: Partial<Parameters<typeof explain>[1]> = {}): Answer {
  return explain(subject(TEXT, more.flow), { flow: FLOW, opens: false, entry: undefined, whatIf: change, ...more });
}

test('hash and slot are those of the documents', () => {
  const key = Uint8Array.from([...bytesOfIp('192.0.2.7'), 51514 >> 8, 51514 & 255, 0, 0]);
  const value = chained(key, 12345);
  const { hash, slot, backend } = ask().now;
  assert.deepEqual(hash, { by: 'source-ip-port', seed: 12345, value });
  const name = TABLE.backends[TABLE.entries[value % 65537]];
  assert.deepEqual(slot, { number: value % 65537, of: 65537, backend: name });
  assert.equal(backend?.name, name);
});

test('an entry decides against the slot, until its backend goes', () => {
  const byHash = ask().now.backend?.name ?? '';
  const other = ['b1', 'b2', 'b3'].find((name) => name !== byHash) ?? '';
  const entry = { backend: other, isKnown: true, worker: 1, idleMs: 1500, remainingMs: 58_500 };
  const { now } = ask({}, { entry });
  assert.equal(now.table?.finding, 'hit');
  assert.equal(now.backend?.name, other);
  assert.equal(now.slot?.backend, byHash);

  const without = ask({ edits: [{ kind: 'remove', backend: other }] }, { entry }).whatIf;
  assert.equal(without?.would.table?.finding, 'unknown');
  assert.equal(without?.would.backend?.name, byHash);
  assert.equal(without?.effect.breaks, true);
  const drained = ask({ edits: [{ kind: 'drain', backend: other }] }, { entry }).whatIf;
  assert.deepEqual([drained?.would.backend?.name, drained?.effect.breaks], [other, false]);
  const expired = ask({ expired: true }, { entry }).whatIf;
  assert.deepEqual([expired?.would.backend?.name, expired?.effect.breaks], [byHash, true]);
});

test('a table that has no entry is asked, and misses', () => {
  const { now } = ask({}, { entry: null });
  assert.equal(now.table?.finding, 'unknown');
  assert.equal(now.table?.entry, null);
});

test('several what-ifs are one', () => {
  const { whatIf: both } = ask({ edits: [{ kind: 'remove', backend: 'b1' }], down: ['b2'], expired: true });
  assert.equal(both?.would.backend?.name, 'b3');
  assert.deepEqual(both?.texts, ['without b1', 'b2 is down', 'the table has forgotten it']);
});

test('another configuration: entries stay where it can be taken over, and are lost where it needs a restart', () => {
  const drained = TEXT.replaceAll(/(name: b\d)/g, '$1, state: draining').replace(
    'name: b3, state: draining',
    'name: b3',
  );
  const kept = ask({ config: { name: 'other.yaml', text: drained } });
  assert.equal(kept.whatIf?.would.backend?.name, kept.now.backend?.name);
  const seeded = ask({ config: { name: 'other.yaml', text: drained.replace('12345', '12346') } });
  assert.equal(seeded.whatIf?.would.backend?.name, 'b3');
  assert.match(seeded.whatIf?.would.notes.join() ?? '', /hashSeed.*restart/);
});

test('no service: the others of the VIP are named, or none', () => {
  const { now } = ask({}, { flow: { ...FLOW, to: { address: '198.18.10.1', port: 53 } } });
  assert.equal(now.service, null);
  assert.equal(now.reason, 'other-port');
  assert.deepEqual(
    now.others.map(({ name, protocol, ports }) => `${name} ${protocol} ${ports}`),
    ['web tcp 80', 'dns udp 53'],
  );
  const nowhere = ask({}, { flow: { ...FLOW, to: { address: '198.18.10.9', port: 80 } } }).now;
  assert.deepEqual([nowhere.reason, nowhere.others], ['not-vip', []]);
});

test('round-robin: nobody but the workers knows whose turn it is', () => {
  const text = TEXT.replace('name: web', 'name: web\n    scheduler: round-robin');
  const asked = { flow: FLOW, opens: true, entry: undefined, whatIf: {} };
  const { now } = explain(subject(text), asked);
  assert.deepEqual([now.backend, now.outer, now.anyOf], [null, null, ['b1', 'b2', 'b3']]);
  const entry = { backend: 'b2', isKnown: true, worker: 0, idleMs: 1, remainingMs: 1 };
  assert.equal(explain(subject(text), { ...asked, opens: false, entry }).now.backend?.name, 'b2');
  const maglev = explain(subject(text), {
    ...asked,
    opens: false,
    whatIf: { config: { name: 'maglev.yaml', text: TEXT } },
  });
  assert.equal(maglev.whatIf?.effect.breaks, null);
});

test('a backend of no such name, a weight that is none: one line', () => {
  assert.throws(() => ask({ edits: [{ kind: 'drain', backend: 'b9' }] }), { code: 'UNKNOWN_BACKEND' });
  assert.throws(() => ask({ down: ['dns/b1'] }), { code: 'UNKNOWN_BACKEND' });
  assert.throws(() => ask({ edits: [{ kind: 'weight', backend: 'b1', weight: 999 }] }), { code: 'CONFIG_INVALID' });
});
