/** What wins: a service's own key, its profile, the file's mode. And the profiles against a table by hand. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { parseConfig } from '../../lb/config-file.ts';
import { PROFILE_NAMES, profileOf } from '../../lb/profiles.ts';

function inForce({ mode = '', service = '' }): string {
  const { config } = parseConfig(
    `
interface: eth0
${mode}
services:
  - name: web
    vip: 198.18.10.1
    port: 80
    ${service.split(' · ').join('\n    ')}
    backends: [{ name: b1, address: 198.18.2.1 }]
`,
    'FILE',
  );
  const [{ profile, onMiss, onExpiry, conntrack }] = config.services;
  return `${profile ?? '-'} ${conntrack.idleTimeoutMs / 1000} ${onExpiry} ${onMiss}`;
}

const stateful = 'mode: stateful';
const ownTimeout = 'conntrack: { idleTimeout: 7s }';

/** The file's mode, lines of the service, and then: profile, idle timeout in s, onExpiry, onMiss. */
const PRECEDENCE: [mode: string, service: string, inForce: string][] = [
  ['', '', '- 60 silent forward'],
  ['mode: stateless', '', '- 60 silent forward'],
  [stateful, '', '- 60 silent reset'],
  ['', 'onMiss: reset', '- 60 silent reset'],
  ['', 'onMiss: drop', '- 60 silent drop'],
  ['', 'onExpiry: reset', '- 60 reset forward'],
  [stateful, 'onMiss: forward', '- 60 silent forward'],
  [stateful, 'onMiss: drop', '- 60 silent drop'],
  [stateful, 'onExpiry: reset', '- 60 reset reset'],
  ['', ownTimeout, '- 7 silent forward'],
  [stateful, ownTimeout, '- 7 silent reset'],
  ['', 'profile: f5-fastl4', 'f5-fastl4 300 reset reset'],
  [stateful, 'profile: gcp-internal', 'gcp-internal 600 silent forward'],
  ['', 'profile: f5-fastl4 · onMiss: forward', 'f5-fastl4 300 reset forward'],
  ['', 'profile: f5-fastl4 · onExpiry: silent', 'f5-fastl4 300 silent reset'],
  ['', `profile: f5-fastl4 · ${ownTimeout}`, 'f5-fastl4 7 reset reset'],
  ['', 'profile: f5-fastl4 · conntrack: { capacity: 8 }', 'f5-fastl4 300 reset reset'],
  [stateful, `onExpiry: silent · ${ownTimeout} · profile: dpvs · onMiss: forward`, 'dpvs 7 silent forward'],
];

describe('precedence', () => {
  for (const [mode, service, expected] of PRECEDENCE) {
    test(`${mode || 'no mode'}, ${service || 'nothing of its own'}`, () => {
      assert.equal(inForce({ mode, service }), expected);
    });
  }
});

/** Idle timeout in seconds, onExpiry, onMiss, as the documents and sources have it that lb/profiles.ts names. */
const FIELD: Record<string, string> = {
  'aws-nlb': '350 silent reset',
  'azure-lb': '240 silent drop?',
  'gcp-external': '60 silent forward',
  'gcp-internal': '600 silent forward',
  'f5-fastl4': '300 reset reset',
  'f5-fastl4-loose': '300 reset forward',
  netscaler: '9000 reset? reset?',
  'netscaler-stateless': '9000 reset? forward?',
  ipvs: '900 silent reset',
  'ipvs-sloppy': '900 silent forward?',
  dpvs: '90 reset? drop?',
  katran: 'none? silent forward',
  cilium: '8000 silent forward?',
  'vpp-lb': '40 silent forward',
  'nf-conntrack': '432000 silent forward?',
};

test('the profiles are what the documents and sources say, with a mark where those leave it open', () => {
  const facts = PROFILE_NAMES.map((name) => {
    const { idleTimeoutMs, onExpiry, onMiss } = profileOf(name);
    const time = idleTimeoutMs.value === null ? 'none' : String(idleTimeoutMs.value / 1000);
    const texts = [
      [time, idleTimeoutMs],
      [onExpiry.value, onExpiry],
      [onMiss.value, onMiss],
    ] as const;
    return [name, texts.map(([text, { uncertain }]) => (uncertain ? `${text}?` : text)).join(' ')];
  });
  assert.deepEqual(Object.fromEntries(facts), FIELD);
});

test('each fact has a source, and each uncertain one says how it was read', () => {
  for (const name of PROFILE_NAMES) {
    const { idleTimeoutMs, onExpiry, onMiss } = profileOf(name);
    for (const { source, uncertain, note } of [idleTimeoutMs, onExpiry, onMiss]) {
      assert.match(source, /^[A-Z].{10,}/);
      assert.ok(!uncertain || note.length > 10, `${name}: ${source}`);
    }
  }
});

test('a profile without an idle timeout gets the longest', () => {
  assert.equal(inForce({ service: 'profile: katran' }), `katran ${30 * 86_400} silent forward`);
});
