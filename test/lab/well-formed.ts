/**
 * The captures of a report as tshark reads them: no packet of a scenario is malformed, and every IP header has its checksum.
 * Not a test.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';

/** A scenario's frames are cut when they are captured, which tshark tells from malformed ones. */
const WRONG = '_ws.malformed || ip.checksum.status == "Bad" || _ws.expert.severity == "Error"';

/** Looks into each capture of the directory that `--report` has written; returns how many there were. */
export function assertWellFormed(directory: string): number {
  const captures = readdirSync(directory).filter((name) => name.endsWith('.pcapng'));
  for (const name of captures) {
    const file = join(directory, name);
    assert.ok(read(file, 'frame').length > 20, `${name}: few packets`);
    assert.deepEqual(read(file, WRONG).slice(0, 5), [], `${name}: wrong packets`);
  }
  return captures.length;
}

function read(file: string, filter: string): string[] {
  const preferences = [
    'ip.check_checksum:TRUE',
    // A tunnel may do without the UDP checksum over IPv6 (RFC 6935), which tshark does not know of GUE.
    'udp.ignore_ipv6_zero_checksum:TRUE',
    // Packets are judged, not streams: a retransmission that overlaps what was there before is TCP's right.
    'tcp.desegment_tcp_streams:FALSE',
  ];
  const options = ['-n', ...preferences.flatMap((preference) => ['-o', preference]), '-r', file, '-Y', filter];
  const { status, stdout, stderr } = spawnSync('tshark', options, { encoding: 'utf8', maxBuffer: 2 ** 28 });
  assert.equal(status, 0, stderr);
  return stdout.split('\n').filter(Boolean);
}
