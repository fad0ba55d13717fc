/**
 * The kernel's settings below /proc/sys/net, as the network namespace of the process has them. Read only: for checks of a host.
 */
import { readFileSync } from 'node:fs';

/** A number below /proc/sys/net, `ipv4/conf/all/rp_filter` for example; undefined where there is none, or it is not for us. */
export function readSysctl(path: string): number | undefined {
  try {
    const value = Number(readFileSync(`/proc/sys/net/${path}`, 'latin1').trim());
    return Number.isFinite(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Of the IPv4 settings that stand for all interfaces and for each: the larger one counts (ip-sysctl.rst on rp_filter,
 * arp_ignore and arp_announce). Undefined where the interface has none.
 */
export function readInterfaceSysctl(interfaceName: string, key: string): number | undefined {
  const own = readSysctl(`ipv4/conf/${interfaceName}/${key}`);
  return own === undefined ? undefined : Math.max(own, readSysctl(`ipv4/conf/all/${key}`) ?? 0);
}

/** How many TCP segments came in, and how many of them with a wrong checksum (/proc/net/snmp). */
export function parseTcpCounts(text: string): { readonly received: number; readonly damaged: number } {
  const [names = [], values = []] = text
    .split('\n')
    .filter((line) => line.startsWith('Tcp:'))
    .map((line) => line.trim().split(' '));
  const value = (name: string): number => Number(values[names.indexOf(name)] ?? 0);
  return { received: value('InSegs'), damaged: value('InCsumErrors') };
}

export function readTcpCounts(): { readonly received: number; readonly damaged: number } {
  return parseTcpCounts(readFileSync('/proc/net/snmp', 'latin1'));
}
