/** The portable device in processes of its own: overloaded, without rights, without its packages. */
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { suite, test } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { OWN_MAC, tcpFrame } from '../packets.ts';
import { openPacketSocket } from './packet-socket.ts';
import { needsPortable } from './portable-packages.ts';
import { addressBytes, ip, makeTwoHosts, needsRoot, until } from './two-hosts.ts';

const VIP = '198.18.10.1';

suite('portable-device as a process', { skip: needsRoot || needsPortable }, () => {
  test('under more than it can forward, others get their turn', async () => {
    const hosts = makeTwoHosts();
    ip('-n', hosts.left, 'link', 'set', 'left', 'address', OWN_MAC);
    const peer = openPacketSocket(hosts.right, 'right');
    const modules = ['portable-device', 'xdp'].map((name) => new URL(`../../io/${name}.js`, import.meta.url).href);
    // No batch is done before the next one waits.
    const script = `
      const [{ createPortableDevice }, { requireLink }] = await Promise.all(${JSON.stringify(modules)}.map((name) => import(name)));
      const device = createPortableDevice({
        interfaceIndex: requireLink('left').index,
        onFrames() {
          const end = performance.now() + 20;
          while (performance.now() < end);
          device.receive(0);
          device.send();
        },
      });
      device.setServices([{ address: Uint8Array.from(${JSON.stringify([...addressBytes(VIP)])}) }]);
      setInterval(() => console.log(device.counters().toSocket), 100);`;
    const command = ['netns', 'exec', hosts.left, process.execPath, '--input-type=module', '-e', script];
    const child = spawn('ip', command, { stdio: ['ignore', 'pipe', 'inherit'] });
    const ended = once(child, 'exit');
    const counts: number[] = [];
    createInterface(child.stdout).on('line', (line) => counts.push(Number(line)));
    try {
      await until('it has started', () => counts.length > 0);
      const frame = Buffer.from(tcpFrame({ destination: VIP }));
      // Each count is of another turn of its event loop.
      await until(
        'others get a third turn after packets came',
        () => {
          for (let i = 0; i < 200; i++) peer.send(frame);
          return new Set(counts.filter((count) => count > 0)).size >= 3;
        },
        20_000,
      );
    } finally {
      child.kill();
      await ended;
      peer.close();
      hosts.remove();
    }
  });

  test('without the right to capture: one line', async () => {
    const script = `
      const { createPortableDevice } = await import(${JSON.stringify(new URL('../../io/portable-device.js', import.meta.url).href)});
      try {
        createPortableDevice({ interfaceIndex: 1, onFrames() {} });
      } catch (error) {
        console.log(error.code, error.message);
      }`;
    const node = [process.execPath, '--input-type=module', '-e', script];
    const { stdout } = await promisify(execFile)('setpriv', ['--bounding-set=-net_raw', '--inh-caps=-all', ...node]);
    assert.equal(stdout, 'EPERM open packet socket for lo: EPERM (run as root, or grant CAP_NET_RAW)\n');
  });
});

test('packages that are not built: one line that says what to install', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'hushlb-test-'));
  try {
    const name = 'portable-packages.js';
    copyFileSync(fileURLToPath(new URL(`../../io/${name}`, import.meta.url)), join(folder, name));
    writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
    // As npm leaves it where nothing builds it.
    mkdirSync(join(folder, 'node_modules', 'cap'), { recursive: true });
    writeFileSync(join(folder, 'node_modules', 'cap', 'index.js'), "require('./build/Release/cap.node')");
    const { loadPortablePackages } = await import(pathToFileURL(join(folder, name)).href);
    assert.throws(loadPortablePackages, {
      code: 'PACKAGES_MISSING',
      message:
        /^io: portable needs .* cap and raw-socket \(Cannot find module '[^']*cap\.node'\): `apt-get install libpcap-dev [^`\n]*`, then `cd [^`\n]*`$/,
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
