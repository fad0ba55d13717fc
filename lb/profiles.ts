/**
 * How well-known load balancers treat an idle connection, as settings of a service: `profile: NAME` in the configuration
 * (lb/behaviour.ts), `hushlb profiles` (cli/profiles.ts), and whoever runs all of them through the forwarder.
 *
 * Each fact names the document, source file or sysctl that it stands in. `uncertain` marks what no document says, or what
 * had to be translated into our keys; the note says how it was read then. Defaults of the products, not what somebody has
 * set: a service may give its own idle timeout beside a profile.
 */

/** What happens to a packet that opens no connection and whose connection the table doesn't know. */
export type OnMiss = 'forward' | 'reset' | 'drop';
/** What happens when an entry has idled out: nothing that anybody could see, or an RST to both sides. */
export type OnExpiry = 'silent' | 'reset';

export interface Fact<T> {
  readonly value: T;
  readonly source: string;
  readonly uncertain: boolean;
  /** How an uncertain fact was read, or what else is good to know; may be empty. */
  readonly note: string;
}

export interface Profile {
  readonly product: string;
  /** Null: the product has none; entries go only to make room. */
  readonly idleTimeoutMs: Fact<number | null>;
  readonly onExpiry: Fact<OnExpiry>;
  readonly onMiss: Fact<OnMiss>;
}

function known<const T>(value: T, source: string, note = ''): Fact<T> {
  return { value, source, uncertain: false, note };
}

function read<const T>(value: T, source: string, note: string): Fact<T> {
  return { value, source, uncertain: true, note };
}

const AWS_GUIDE = 'AWS: Network Load Balancers user guide, connection idle timeout';
const AZURE_GUIDE = 'Microsoft Learn: Load Balancer TCP Reset and Idle Timeout';
const GCP_EXTERNAL_GUIDE = 'Google Cloud: external passthrough Network Load Balancer overview, connection tracking';
const GCP_INTERNAL_GUIDE = 'Google Cloud: internal passthrough Network Load Balancer overview, connection tracking';
const F5_GUIDE = 'F5 BIG-IP: AS3 schema reference, L4_Profile';
const NETSCALER_TIMEOUTS = 'Citrix NetScaler: client and server idle timeouts (cltTimeout, svrTimeout)';
const NETSCALER_FAQ = 'NetScaler: TCP optimization, frequently asked questions, timeouts';
const NETSCALER_FAILOVER = 'Citrix NetScaler: lb vserver parameter connfailover';
const IPVS_TIMEOUTS = 'Linux: net/netfilter/ipvs/ip_vs_proto_tcp.c';
const IPVS_SLOPPY = 'Linux: sysctl net.ipv4.vs.sloppy_tcp';
const DPVS_TCP = 'DPVS: src/ipvs/ip_vs_proto_tcp.c';
const KATRAN_PROGRAM = 'Katran: katran/lib/bpf/balancer.bpf.c';
const CILIUM_FLAG = 'Cilium: agent flag bpf-ct-timeout-regular-tcp';
const CILIUM_PROGRAM = 'Cilium: bpf/lib/lb.h';
const VPP_HEADER = 'VPP: src/plugins/lb/lb.h, LB_DEFAULT_FLOW_TIMEOUT';
const VPP_NODE = 'VPP: src/plugins/lb/node.c';
const CONNTRACK_TIMEOUT = 'Linux: sysctl net.netfilter.nf_conntrack_tcp_timeout_established';
const CONNTRACK_LOOSE = 'Linux: sysctl net.netfilter.nf_conntrack_tcp_loose';

export const PROFILES = {
  'aws-nlb': {
    product: 'AWS Network Load Balancer',
    idleTimeoutMs: known(350_000, AWS_GUIDE, '60s to 6000s can be set'),
    onExpiry: known('silent', AWS_GUIDE),
    onMiss: known('reset', AWS_GUIDE, 'an RST to whichever side sends next; with DSR only the client can be that'),
  },
  'azure-lb': {
    product: 'Azure Load Balancer',
    idleTimeoutMs: known(240_000, AZURE_GUIDE),
    onExpiry: known('silent', AZURE_GUIDE, 'with TCP reset enabled on the rule: reset, to both sides'),
    onMiss: read('drop', AZURE_GUIDE, 'not documented: taken for a drop, as the flow itself is dropped silently'),
  },
  'gcp-external': {
    product: 'Google Cloud external passthrough Network Load Balancer',
    idleTimeoutMs: known(60_000, GCP_EXTERNAL_GUIDE),
    onExpiry: known('silent', GCP_EXTERNAL_GUIDE),
    onMiss: known('forward', GCP_EXTERNAL_GUIDE, 'by consistent hash again'),
  },
  'gcp-internal': {
    product: 'Google Cloud internal passthrough Network Load Balancer',
    idleTimeoutMs: known(600_000, GCP_INTERNAL_GUIDE),
    onExpiry: known('silent', GCP_INTERNAL_GUIDE),
    onMiss: known('forward', GCP_INTERNAL_GUIDE, 'by consistent hash again'),
  },
  'f5-fastl4': {
    product: 'F5 BIG-IP, Fast L4',
    idleTimeoutMs: known(300_000, F5_GUIDE),
    onExpiry: known('reset', F5_GUIDE, 'resetOnTimeout, on by default'),
    onMiss: read('reset', F5_GUIDE, 'looseInitialization, off by default: the packet is refused, taken for an RST'),
  },
  'f5-fastl4-loose': {
    product: 'F5 BIG-IP, Fast L4 with loose initiation',
    idleTimeoutMs: known(300_000, F5_GUIDE),
    onExpiry: known('reset', F5_GUIDE, 'resetOnTimeout, on by default, whatever looseInitialization says'),
    onMiss: known('forward', F5_GUIDE, 'any segment opens a flow'),
  },
  netscaler: {
    product: 'Citrix NetScaler',
    idleTimeoutMs: known(9_000_000, NETSCALER_TIMEOUTS),
    onExpiry: known('reset', NETSCALER_FAQ, 'to both sides'),
    onMiss: known('reset', NETSCALER_FAILOVER),
  },
  'netscaler-stateless': {
    product: 'Citrix NetScaler with connfailover stateless',
    idleTimeoutMs: known(9_000_000, NETSCALER_TIMEOUTS),
    onExpiry: read('reset', NETSCALER_FAQ, 'not said for connfailover stateless: taken to stay as without it'),
    onMiss: known('forward', NETSCALER_FAILOVER, 'the flow is created again from the packet'),
  },
  ipvs: {
    product: 'Linux IPVS',
    idleTimeoutMs: known(900_000, IPVS_TIMEOUTS),
    onExpiry: known('silent', IPVS_TIMEOUTS),
    onMiss: read(
      'reset',
      IPVS_SLOPPY,
      "not scheduled: where the VIP is local, as is usual, the host's own stack answers RST; elsewhere it is a drop",
    ),
  },
  'ipvs-sloppy': {
    product: 'Linux IPVS with sloppy_tcp=1',
    idleTimeoutMs: known(900_000, IPVS_TIMEOUTS),
    onExpiry: known('silent', IPVS_TIMEOUTS),
    onMiss: read(
      'forward',
      IPVS_SLOPPY,
      'the scheduler picks a server again: the same one only with a hashing scheduler',
    ),
  },
  dpvs: {
    product: 'DPVS',
    idleTimeoutMs: known(90_000, DPVS_TCP),
    onExpiry: read('reset', DPVS_TCP, 'in the NAT modes; here it is sent with DSR too'),
    onMiss: read('drop', DPVS_TCP, 'only a pure SYN is scheduled: taken for a drop where no stack has the VIP'),
  },
  katran: {
    product: 'Katran',
    idleTimeoutMs: read(
      null,
      KATRAN_PROGRAM,
      'none: an LRU map, entries go to make room; here the longest timeout, 30d',
    ),
    onExpiry: known('silent', KATRAN_PROGRAM),
    onMiss: known('forward', KATRAN_PROGRAM, 'by consistent hash, and counted'),
  },
  cilium: {
    product: 'Cilium',
    idleTimeoutMs: known(8_000_000, CILIUM_FLAG),
    onExpiry: known('silent', CILIUM_PROGRAM),
    onMiss: known('forward', CILIUM_PROGRAM, 'selected again; by Maglev where that is the algorithm'),
  },
  'vpp-lb': {
    product: 'VPP load-balancer plugin',
    idleTimeoutMs: known(40_000, VPP_HEADER),
    onExpiry: known('silent', VPP_NODE),
    onMiss: known('forward', VPP_NODE, 'by hash'),
  },
  'nf-conntrack': {
    product: 'Linux nf_conntrack',
    idleTimeoutMs: known(432_000_000, CONNTRACK_TIMEOUT),
    onExpiry: known('silent', CONNTRACK_TIMEOUT),
    onMiss: known('forward', CONNTRACK_LOOSE, 'tcp_loose=1 is the default; with 0 the packet is INVALID'),
  },
} as const satisfies Record<string, Profile>;

export type ProfileName = keyof typeof PROFILES;

export const PROFILE_NAMES = Object.keys(PROFILES) as ProfileName[];

/** The profile by its general type, for callers that walk over all of them. */
export function profileOf(name: ProfileName): Profile {
  return PROFILES[name];
}
