/**
 * The kernel's settings that decide on a backend whether it takes packets for the VIP, and who learns that it has it:
 * reverse-path filter and ARP (ip-sysctl.rst). IPv6 has neither.
 */
import { type Finding, tell } from './finding.ts';

const { ok, warning, error } = tell('kernel settings');

export interface FilterFacts {
  /** Where the packets come in once their headers are off: the interface, or a tunnel device. */
  readonly device: string;
  readonly own: number;
  readonly all: number;
}

export interface SysctlFacts {
  readonly interface: string;
  /** Empty where no packet inside is IPv4. */
  readonly filters: readonly FilterFacts[];
  /** The interface by which answers leave for clients; null without a route. */
  readonly clientsBehind: string | null;
  /** What counts, the larger one of `all` and the interface; null where no VIP is IPv4. */
  readonly arpIgnore: number | null;
  readonly arpAnnounce: number | null;
  /** Packets come without a tunnel, so balancer and backend share a link for certain. */
  readonly sharesLink: boolean;
}

const STRICT = 1;

export function judgeSysctls(facts: SysctlFacts): Finding[] {
  const findings = [...facts.filters.flatMap((filter) => judgeFilter(filter, facts.clientsBehind)), ...judgeArp(facts)];
  if (findings.length === 0)
    findings.push(ok('sysctls', 'rp_filter, arp_ignore and arp_announce are as they should be'));
  return findings;
}

/** The larger one counts; 2 is loose, and takes what any route leads back to. */
function judgeFilter({ device, own, all }: FilterFacts, clientsBehind: string | null): Finding[] {
  if (Math.max(own, all) !== STRICT) return [];
  const settings = [...(all > 0 ? [`all`] : []), ...(own > 0 ? [device] : [])].map(
    (name) => `net.ipv4.conf.${sysctlName(name)}.rp_filter=0`,
  );
  const mend = [`sysctl -w ${settings.join(' ')}`];
  const found = `rp_filter is strict on ${device}`;
  if (clientsBehind === device) {
    const why = `drops packets of clients whose answers would not leave by ${device}; those of the default route pass`;
    return [warning('rp-filter', found, why, mend)];
  }
  const where = clientsBehind === null ? 'nowhere' : `by ${clientsBehind}`;
  const why = `clients' packets come in there and their answers leave ${where}: the kernel drops them without a word`;
  return [error('rp-filter', found, why, mend)];
}

function* judgeArp({ arpIgnore, arpAnnounce, sharesLink }: SysctlFacts): Generator<Finding> {
  const bad = sharesLink ? error : warning;
  if (arpIgnore === 0) {
    yield bad(
      'arp-ignore',
      'arp_ignore is 0: this host answers ARP for the VIP on any link',
      'whoever asks for the VIP on this link sends its packets here, past the balancer',
      ['sysctl -w net.ipv4.conf.all.arp_ignore=1'],
    );
  }
  if (arpAnnounce !== null && arpAnnounce < 2) {
    yield bad(
      'arp-announce',
      `arp_announce is ${arpAnnounce}: ARP requests of this host may name the VIP as theirs`,
      'the router then takes this host for the owner of the VIP and sends its packets here, past the balancer',
      ['sysctl -w net.ipv4.conf.all.arp_announce=2'],
    );
  }
}

/** sysctl(8) takes a dot in a name as a slash. */
function sysctlName(interfaceName: string): string {
  return interfaceName.replaceAll('.', '/');
}
