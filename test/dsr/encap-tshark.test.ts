/** Wireshark reads every tunnel: which headers it finds, the addresses in both, and that each checksum is right. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { createNextHops, encapsulate, openRow, setNextHop } from '../../dsr/encap.ts';
import { COPY_TTL, ENCAP_GRE, ENCAP_GUE, ENCAP_IPIP, type Family } from '../../dsr/tunnel.ts';
import { createPcapWriter } from '../../io/pcap.ts';
import { addressBytes } from '../io/two-hosts.ts';
import { tcpFrame } from '../packets.ts';
import { tcp6Frame } from '../packets6.ts';

const SOURCE = { 4: '198.18.1.10', 6: '2001:db8:1::10' } as const;
const BACKEND = { 4: '198.18.2.1', 6: '2001:db8:2::1' } as const;
const VIP = { 4: '198.18.10.1', 6: '2001:db8:10::1' } as const;
const ROOM = 64;
const MAC = Uint8Array.of(2, 0, 0, 0, 0, 9);

/** Wireshark knows no GUE: what is in its UDP is data. */
const KINDS = [
  { encap: ENCAP_IPIP, variant: 0, layers: (inner: string) => [inner, 'tcp'] },
  { encap: ENCAP_GRE, variant: 0, layers: (inner: string) => ['gre', inner, 'tcp'] },
  { encap: ENCAP_GUE, variant: 0, layers: () => ['udp', 'data'] },
  { encap: ENCAP_GUE, variant: 1, layers: () => ['udp', 'data'] },
] as const;
const WAYS = KINDS.flatMap((kind) =>
  ([4, 6] as const).flatMap((outer) => ([4, 6] as const).map((family) => ({ ...kind, outer, family }))),
);

function tunnelled({ encap, variant, outer, family }: (typeof WAYS)[number]): Uint8Array {
  const hops = createNextHops(1);
  openRow(hops, 0, 0);
  setNextHop(
    hops,
    0,
    { encap, family, ttl: COPY_TTL, varySource: false, gue: { port: 6080, variant } },
    {
      mac: MAC,
      ownMac: MAC,
      source: addressBytes(SOURCE[outer]),
      destination: addressBytes(BACKEND[outer]),
      mtu: 1500,
    },
  );
  const frame = family === 4 ? tcpFrame({ payload: 'odd', ip: { tos: 0xb9 } }) : tcp6Frame({ payload: 'odd' });
  const memory = new Uint8Array(ROOM + frame.length);
  memory.set(frame, ROOM);
  const grown = encapsulate(new DataView(memory.buffer), ROOM, frame.length - 14, encap, hops, 0, 0x7abc_def1);
  return memory.subarray(ROOM - grown);
}

const hasTshark = spawnSync('tshark', ['--version']).status === 0;
const folder = mkdtempSync(join(tmpdir(), 'hushlb-test-'));
after(() => rmSync(folder, { recursive: true, force: true }));

test('tshark finds what was put in, and nothing malformed', { skip: !hasTshark && 'needs tshark' }, () => {
  const path = join(folder, 'tunnels.pcap');
  const writer = createPcapWriter(path);
  for (const way of WAYS) {
    const bytes = tunnelled(way);
    writer.write({ bytes, timestampNs: 0n, originalLength: bytes.length });
  }
  writer.close();
  const fields = [
    'frame.protocols',
    'ip.dst',
    'ipv6.dst',
    'ip.checksum.status',
    'tcp.checksum.status',
    '_ws.malformed',
  ];
  const { stdout } = spawnSync(
    'tshark',
    [
      ...['-n', '-r', path, '-T', 'fields', ...fields.flatMap((field) => ['-e', field])],
      ...['ip.check_checksum', 'tcp.check_checksum'].flatMap((preference) => ['-o', `${preference}:TRUE`]),
    ],
    { encoding: 'utf8' },
  );
  const lines = stdout.split('\n').slice(0, -1);
  assert.equal(lines.length, WAYS.length);
  for (const [i, { outer, family, layers }] of WAYS.entries()) {
    const name = (ip: Family) => (ip === 4 ? 'ip' : 'ipv6');
    const inside = layers(name(family));
    const readsInner = inside.includes('tcp');
    const families = readsInner ? [outer, family] : [outer];
    const destinations = (ip: Family) =>
      [outer === ip ? BACKEND[ip] : [], readsInner && family === ip ? VIP[ip] : []].flat().join();
    assert.deepEqual(
      lines[i].split('\t'),
      [
        ['eth', 'ethertype', name(outer), ...inside].join(':'),
        destinations(4),
        destinations(6),
        families.flatMap((ip) => (ip === 4 ? ['1'] : [])).join(),
        readsInner ? '1' : '',
        '',
      ],
      `packet ${i + 1}`,
    );
  }
});
