/**
 * The systemd units as files: systemd's own tools find nothing wrong with them, and the capabilities that the balancer's leaves are
 * enough for AF_PACKET, too. systemd.test.ts runs them, with AF_XDP.
 */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { HUSHLB } from '../../lab/processes.ts';
import { VIP } from '../../lab/topology.ts';
import { needsRoot } from '../io/two-hosts.ts';
import { backendYaml, configuration, ready, useLan } from './lan.ts';

const unit = (name: string): string => fileURLToPath(new URL(`../../../contrib/systemd/${name}`, import.meta.url));
/** By how systemd calls what runs. */
const UNITS = { 'hushlb.service': unit('hushlb.service'), 'hushlb-decap@i.service': unit('hushlb-decap@.service') };

const setting = (name: string, file: string): string => {
  const values = [...readFileSync(file, 'utf8').matchAll(new RegExp(`^${name}=(.*)$`, 'gm'))].map(([, value]) => value);
  assert.equal(values.length, 1, name);
  return values[0];
};
const ours = setting('CapabilityBoundingSet', UNITS['hushlb.service'])
  .split(' ')
  .map((name) => name.replace(/^CAP_/, '').toLowerCase());

describe('the systemd units', { skip: needsRoot }, () => {
  const lan = useLan(['b1']);

  for (const [name, file] of Object.entries(UNITS)) {
    test(`${name}: systemd understands all of it, and finds it well locked`, () => {
      const verified = spawnSync('systemd-analyze', ['verify', file], { encoding: 'utf8' });
      assert.deepEqual([verified.status, verified.stderr], [0, '']);
      const judged = execFileSync('systemd-analyze', ['security', '--offline=yes', '--no-pager', file]).toString();
      const [, of, exposure] = /Overall exposure level for (\S+): ([\d.]+)/.exec(judged) ?? [];
      assert.equal(of, name);
      assert.ok(Number(exposure) < 4, `exposure ${exposure} of 10`);
    });

    test(`${name}: what a process gets is what it may have at most`, () => {
      assert.equal(setting('AmbientCapabilities', file), setting('CapabilityBoundingSet', file));
    });
  }

  test('its capabilities are enough for AF_PACKET', async () => {
    lan.write(configuration([backendYaml('b1')], { top: 'io: af-packet' }));
    const bounds = `--bounding-set=-all,${ours.map((name) => `+${name}`).join(',')}`;
    const run = [process.execPath, HUSHLB, 'run', '-c', lan.file(), '--log-format', 'json'];
    const balancer = lan.start('lb', ['setpriv', bounds, '--inh-caps=-all', '--no-new-privs', ...run]);
    const { pid } = await ready(balancer);
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    assert.equal(countBits(/^CapEff:\s*([\da-f]+)$/m.exec(status)?.[1] ?? ''), ours.length);
    assert.equal(lan.get('client', `http://${VIP}/`)[0], 'b1');
    await balancer.stop();
  });
});

function countBits(hex: string): number {
  return [...BigInt(`0x${hex}`).toString(2)].filter((bit) => bit === '1').length;
}
