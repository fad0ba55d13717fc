/** Going into a namespace, and always coming back. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync, readlinkSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { closeDescriptor, ioctl, openSocket, SystemCallError } from '../../io/ffi.ts';
import { inNamespace } from '../../io/namespace.ts';
import { makeTwoHosts, needsRoot, openDescriptors, type TwoHosts } from './two-hosts.ts';

const current = () => readlinkSync('/proc/thread-self/ns/net');
const linkOf = (name: string) => `net:[${statSync(`/run/netns/${name}`).ino}]`;

describe('inNamespace', { skip: needsRoot }, () => {
  let hosts: TwoHosts;
  const home = current();
  before(() => {
    hosts = makeTwoHosts();
  });
  after(() => hosts.remove());

  test('the work runs in the namespace, its result comes back, and so does the thread', () => {
    assert.equal(inNamespace(hosts.left, current), linkOf(hosts.left));
    assert.equal(current(), home);
  });

  test('calls nest', () => {
    inNamespace(hosts.left, () => {
      assert.equal(inNamespace(hosts.right, current), linkOf(hosts.right));
      assert.equal(current(), linkOf(hosts.left));
    });
    assert.equal(current(), home);
  });

  test('the thread goes back when the work throws', () => {
    const failure = new Error('from the work');
    const work = () => {
      throw failure;
    };
    assert.throws(() => inNamespace(hosts.left, work), failure);
    assert.equal(current(), home);
  });

  test('a promise is refused, after going back', () => {
    assert.throws(() => inNamespace(hosts.left, async () => 1), {
      name: 'TypeError',
      message: `work in network namespace ${hosts.left} returned a promise: only synchronous work stays inside`,
    });
    assert.equal(current(), home);
  });

  test('child processes inherit the namespace', () => {
    const links = inNamespace(hosts.left, () => execFileSync('ip', ['-o', 'link'], { encoding: 'utf8' }));
    assert.match(links, /: left@/);
    assert.doesNotMatch(links, /: right@/);
  });

  test('writes to /proc/sys/net go to the namespace', () => {
    const file = '/proc/sys/net/ipv4/conf/left/arp_ignore';
    inNamespace(hosts.left, () => writeFileSync(file, '1'));
    assert.equal(
      inNamespace(hosts.left, () => readFileSync(file, 'utf8')),
      '1\n',
    );
    assert.throws(() => readFileSync(file), { code: 'ENOENT' });
  });

  test('a socket opened inside stays there', () => {
    const fd = inNamespace(hosts.right, () => openSocket(2, 2, 0));
    const SIOCGIFINDEX = 0x8933;
    const ifreq = (name: string) => Buffer.concat([Buffer.from(name), Buffer.alloc(40 - name.length)]);
    ioctl(fd, SIOCGIFINDEX, ifreq('right'));
    assert.throws(() => ioctl(fd, SIOCGIFINDEX, ifreq('left')), { code: 'ENODEV' });
    closeDescriptor(fd);
  });

  test('a namespace that does not exist, or is none, is one clear line', () => {
    assert.throws(
      () => inNamespace('hushlb-test-missing', current),
      (error) =>
        error instanceof SystemCallError &&
        error.code === 'ENOENT' &&
        error.message ===
          'setns: ENOENT (network namespace hushlb-test-missing does not exist: `ip netns list` shows those that do)',
    );
    const leftover = `hushlb-test-${process.pid}-leftover`;
    writeFileSync(`/run/netns/${leftover}`, '');
    try {
      assert.throws(() => inNamespace(leftover, current), { code: 'EINVAL', message: /`ip netns delete` removes/ });
    } finally {
      rmSync(`/run/netns/${leftover}`);
    }
    assert.equal(current(), home);
  });

  test('no descriptor is left open', () => {
    const count = openDescriptors();
    inNamespace(hosts.left, () => 0);
    assert.throws(() => inNamespace('hushlb-test-missing', current));
    assert.equal(openDescriptors(), count);
  });
});
