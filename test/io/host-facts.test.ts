/**
 * Small readers of what the kernel tells about a host: listeners, capabilities, limits, settings, the clock, BPF programs.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { loadProgram, TCX_NEXT, XDP_PASS } from '../../io/bpf.ts';
import { alu, assemble, exit } from '../../io/bpf-assembler.ts';
import { createTcxLink } from '../../io/bpf-links.ts';
import { readTcxPrograms, readXdpPrograms } from '../../io/bpf-objects.ts';
import { isClockSynchronised } from '../../io/clock-status.ts';
import { closeDescriptor } from '../../io/ffi.ts';
import { readAllAddresses, readLink } from '../../io/links.ts';
import { parseListeners, readListeners } from '../../io/listeners.ts';
import { inNamespace } from '../../io/namespace.ts';
import { parseCapabilities, parseLimits } from '../../io/process-limits.ts';
import { lookupRoute } from '../../io/routes.ts';
import { parseTcpCounts, readInterfaceSysctl, readSysctl } from '../../io/sysctls.ts';
import { attachXdp } from '../../io/xdp.ts';
import { addressBytes, ip, makeTwoHosts, needsRoot, sysctl } from './two-hosts.ts';

test('listeners: the table of proc_net_tcp(5), both families', () => {
  // The example of the kernel's Documentation/networking/proc_net_tcp.rst is of an established connection: none.
  const text = [
    '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode',
    '  46: 010310AC:9C4C 030310AC:1770 01 00000150:00000000 01:00000019 00000000  1000 0 54165785 4',
    '   0: 0100007F:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1',
    '   1: B80D0120000000000000000001000000:01BB 00000000000000000000000000000000:0000 0A 00000000:00000000 00:0 0 0',
  ].join('\n');
  assert.deepEqual(parseListeners(text, 'tcp'), [
    { address: addressBytes('127.0.0.1'), port: 80 },
    { address: addressBytes('2001:db8::1'), port: 443 },
  ]);
  assert.deepEqual(parseListeners(text.replaceAll(' 0A ', ' 07 '), 'udp').length, 2);
});

test('listeners: a socket of this process is there while it listens', async () => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  const mine = () => readListeners('tcp').filter((each) => each.port === port);
  try {
    assert.deepEqual(mine(), [{ address: addressBytes('127.0.0.1'), port }]);
  } finally {
    await new Promise((resolve) => server.close(resolve));
  }
  assert.deepEqual(mine(), []);
});

test('capabilities by their bits, limits by their names', () => {
  // capability.h: CAP_NET_ADMIN 12, CAP_NET_RAW 13, CAP_BPF 39.
  const mask = ((1n << 12n) | (1n << 13n) | (1n << 39n)).toString(16).padStart(16, '0');
  const status = `Name:\tnode\nCapPrm:\tffffffffffffffff\nCapEff:\t${mask}\nCapBnd:\tffffffffffffffff\n`;
  assert.deepEqual([...parseCapabilities(status)].sort(), ['CAP_BPF', 'CAP_NET_ADMIN', 'CAP_NET_RAW']);
  const limits = [
    'Limit                     Soft Limit           Hard Limit           Units     ',
    'Max open files            1024                 524288               files     ',
    'Max locked memory         unlimited            unlimited            bytes     ',
  ].join('\n');
  assert.deepEqual(parseLimits(limits), { openFiles: 1024, lockedMemory: Number.POSITIVE_INFINITY });
});

test('TCP counters by their names', () => {
  const snmp = 'Ip: Forwarding\nIp: 1\nTcp: RtoAlgorithm InSegs InErrs InCsumErrors\nTcp: 1 700 9 8\n';
  assert.deepEqual(parseTcpCounts(snmp), { received: 700, damaged: 8 });
  assert.ok(parseTcpCounts(readFileSync('/proc/net/snmp', 'latin1')).received > 0);
});

test('the clock is as adjtimex(8) would say: known, one way or the other', () => {
  assert.equal(typeof isClockSynchronised(), 'boolean');
});

test('settings, addresses, routes and programs of a host', { skip: needsRoot }, () => {
  const { left, remove } = makeTwoHosts();
  try {
    sysctl(left, 'ipv4/conf/left/rp_filter', 1);
    sysctl(left, 'ipv4/conf/all/rp_filter', 2);
    ip('-n', left, 'route', 'add', '203.0.113.0/24', 'via', '198.18.0.2', 'advmss', '1234');
    inNamespace(left, () => {
      assert.equal(readSysctl('ipv4/conf/left/rp_filter'), 1);
      assert.equal(readInterfaceSysctl('left', 'rp_filter'), 2);
      assert.equal(readInterfaceSysctl('nobody', 'rp_filter'), undefined);
      assert.equal(lookupRoute(addressBytes('203.0.113.9'))?.advmss, 1234);
      const index = readLink('left')?.index ?? 0;
      const found = readAllAddresses().find(({ address }) => Buffer.from(address).equals(addressBytes('198.18.0.1')));
      assert.deepEqual([found?.interfaceIndex, found?.prefixLength], [index, 24]);

      assert.deepEqual([readXdpPrograms(index), readTcxPrograms(index, 'egress')], [[], []]);
      const xdpFd = loadProgram('test_xdp', assemble([alu('r0', '=', XDP_PASS), exit()]));
      const tcxFd = loadProgram('test_tcx', assemble([alu('r0', '=', TCX_NEXT), exit()]), 'tcx');
      const attachment = attachXdp({ programFd: xdpFd, interfaceIndex: index, mode: 'generic' });
      const linkFd = createTcxLink(tcxFd, index, 'egress');
      try {
        const [xdp, ...others] = readXdpPrograms(index);
        assert.deepEqual([xdp.name, others], ['test_xdp', []]);
        assert.ok((xdp.linkId ?? 0) > 0);
        assert.match(ip('-n', left, '-d', 'link', 'show', 'left'), new RegExp(`\\bid ${xdp.id}\\b`));
        assert.deepEqual(
          readTcxPrograms(index, 'egress')?.map(({ name }) => name),
          ['test_tcx'],
        );
        assert.deepEqual(readTcxPrograms(index, 'ingress'), []);
      } finally {
        attachment.detach();
        for (const fd of [linkFd, tcxFd, xdpFd]) closeDescriptor(fd);
      }
    });
  } finally {
    remove();
  }
});
