/** Attaching, falling back, refusing, and what is left after kill -9, on veth pairs. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { after, suite, test } from 'node:test';
import { loadProgram, XDP_PASS } from '../../io/bpf.ts';
import { alu, assemble, exit } from '../../io/bpf-assembler.ts';
import { closeDescriptor } from '../../io/ffi.ts';
import { inNamespace } from '../../io/namespace.ts';
import { attachXdp, requireLink } from '../../io/xdp.ts';
import { ip, ipJson, makeTwoHosts, needsRoot, openDescriptors, until } from './two-hosts.ts';

suite('xdp', { skip: needsRoot }, () => {
  const descriptorsBefore = openDescriptors();
  const hosts = makeTwoHosts();
  const programFd = loadProgram('test_pass', assemble([alu('r0', '=', XDP_PASS), exit()]));
  const interfaceIndex = inNamespace(hosts.left, () => requireLink('left').index);
  after(() => {
    closeDescriptor(programFd);
    hosts.remove();
    assert.equal(openDescriptors(), descriptorsBefore, 'descriptors leaked');
  });

  /** iproute2's view: 1 native, 2 generic, undefined when nothing is attached. */
  const attachedMode = (name = 'left') => ipJson(hosts.left, 'link', 'show', 'dev', name)[0].xdp?.mode;
  const attach = (mode: 'auto' | 'native' | 'generic', index = interfaceIndex) =>
    inNamespace(hosts.left, () => attachXdp({ programFd, interfaceIndex: index, mode }));

  for (const [wanted, mode, number] of [
    ['auto', 'native', 1],
    ['native', 'native', 1],
    ['generic', 'generic', 2],
  ] as const) {
    test(`${wanted} attaches in ${mode} mode, and detach takes it away`, () => {
      const attachment = attach(wanted);
      assert.equal(attachment.mode, mode);
      assert.equal(attachment.fallbackReason, undefined);
      assert.equal(attachedMode(), number);
      attachment.detach();
      assert.equal(attachedMode(), undefined);
    });
  }

  test('a second detach does not hit the next attachment, which has the same descriptor', () => {
    const first = attach('native');
    first.detach();
    const second = attach('native');
    first.detach();
    assert.equal(attachedMode(), 1);
    second.detach();
  });

  test('auto falls back to generic mode and says why', () => {
    // Native XDP on veth wants as many receive queues as the peer has transmit queues.
    const peer = ['peer', 'name', 'many', 'numtxqueues', '2', 'numrxqueues', '2'];
    ip('-n', hosts.left, 'link', 'add', 'few', 'numtxqueues', '1', 'numrxqueues', '1', 'type', 'veth', ...peer);
    for (const name of ['few', 'many']) ip('-n', hosts.left, 'link', 'set', name, 'up');
    const { index } = inNamespace(hosts.left, () => requireLink('few'));
    assert.throws(() => attach('native', index), /^SystemCallError: attach .* few in native mode: ENOSPC \(.*queues/);
    const attachment = attach('auto', index);
    assert.equal(attachment.mode, 'generic');
    assert.match(attachment.fallbackReason ?? '', /^ENOSPC: .*queues/);
    assert.equal(attachedMode('few'), 2);
    attachment.detach();
    ip('-n', hosts.left, 'link', 'delete', 'few');
  });

  test('the loopback device has no native XDP', () => {
    const { index } = inNamespace(hosts.left, () => requireLink('lo'));
    const attachment = attach('auto', index);
    assert.equal(attachment.mode, 'generic');
    assert.equal(attachment.fallbackReason, 'ENOTSUP: the driver has no native XDP');
    attachment.detach();
  });

  test('an occupied hook is a clear error, in whichever modes', () => {
    for (const [first, second] of [
      ['native', 'native'],
      ['native', 'auto'],
      ['native', 'generic'],
      ['generic', 'auto'],
    ] as const) {
      const attachment = attach(first);
      assert.throws(
        () => attach(second),
        /E(BUSY|EXIST) \(another XDP program is attached .*show dev left.*stop its process/,
      );
      assert.equal(attachedMode(), first === 'native' ? 1 : 2, 'the first one stays');
      attachment.detach();
    }
  });

  test('no such interface', () => {
    assert.throws(() => attach('auto', 4711), { code: 'ENODEV' });
  });

  test('kill -9 leaves nothing attached, and a successor starts at once', async () => {
    for (let round = 0; round < 3; round++) {
      const child = startAttached(hosts.left);
      try {
        assert.equal((await once(child.stdout!, 'data')).toString(), 'native false\n');
        assert.equal(attachedMode(), 1);
      } finally {
        child.kill('SIGKILL');
      }
      assert.equal((await once(child, 'exit'))[1], 'SIGKILL');
      await until('the program to be detached', () => attachedMode() === undefined);
    }
  });
});

/** A process that steers and holds an AF_XDP device in `namespace` until it is killed. */
function startAttached(namespace: string): ChildProcess {
  const url = (name: string) => JSON.stringify(new URL(`../../io/${name}.js`, import.meta.url).href);
  const code = `
    const { createAfXdpDevice } = await import(${url('af-xdp-device')});
    const { inNamespace } = await import(${url('namespace')});
    const { attachXdp, requireLink } = await import(${url('xdp')});
    const { createSteering } = await import(${url('xdp-steering')});
    inNamespace(${JSON.stringify(namespace)}, () => {
      const interfaceIndex = requireLink('left').index;
      const { programFd, socketMapFd } = createSteering({ queueCount: 1 });
      const { mode } = attachXdp({ programFd, interfaceIndex, mode: 'auto' });
      const device = createAfXdpDevice({ interfaceIndex, queues: [0], socketMapFd });
      console.log(mode, device.zeroCopy);
    });
    setInterval(() => {}, 1000);`;
  return spawn(process.execPath, ['--input-type=module', '-e', code], { stdio: ['ignore', 'pipe', 'inherit'] });
}
