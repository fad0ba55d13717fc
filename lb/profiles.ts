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

const AWS_UPDATE = 'AWS: Network Load Balancers user guide, Update the TCP idle timeout for your listener';
const AWS_GUIDE = 'AWS: Network Load Balancers user guide, Network Load Balancers, Connection idle timeout';
const AZURE_TIMEOUT = 'Microsoft Learn: Configure TCP reset and idle timeout for Azure Load Balancer';
const AZURE_RESET = 'Microsoft Learn: Load Balancer TCP Reset and Idle Timeout';
const GCP_TIMEOUT = 'Google Cloud: Compute API, BackendServiceConnectionTrackingPolicy.idleTimeoutSec';
const GCP_EXTERNAL =
  'Google Cloud: Traffic distribution for external passthrough Network Load Balancers, Backend selection and connection tracking';
const GCP_INTERNAL =
  'Google Cloud: Traffic distribution for internal passthrough Network Load Balancers, Backend selection and connection tracking';
const F5_SCHEMA = 'F5 BIG-IP: AS3 schema reference, L4_Profile';
const F5_RESETS = 'F5: K9812, Overview of BIG-IP TCP RST behavior, TM.MaxRejectRate';
const NETSCALER_TIMEOUT =
  'Citrix ADC: Manage client connections for a virtual server, Configure client timeout (cltTimeout)';
const NETSCALER_FAQ = 'Citrix ADC: TCP optimization, Frequently Asked Questions, Timeouts';
const NETSCALER_FAILOVER = 'Citrix ADC: Protect a load balancing configuration, Connection failover';
const IPVS_TIMEOUTS = 'Linux: net/netfilter/ipvs/ip_vs_proto_tcp.c, tcp_timeouts';
const IPVS_EXPIRY = 'Linux: net/netfilter/ipvs/ip_vs_conn.c, ip_vs_conn_expire';
const IPVS_MISS = 'Linux: net/netfilter/ipvs/ip_vs_core.c, ip_vs_try_to_schedule';
const IPVS_SLOPPY = 'Linux: net/netfilter/ipvs/ip_vs_proto_tcp.c, tcp_conn_schedule (sysctl net.ipv4.vs.sloppy_tcp)';
const DPVS_TIMEOUTS = 'DPVS: src/ipvs/ip_vs_proto_tcp.c, tcp_timeouts';
const DPVS_EXPIRY = 'DPVS: src/ipvs/ip_vs_proto_tcp.c, tcp_conn_expire';
const DPVS_MISS = 'DPVS: src/ipvs/ip_vs_proto_tcp.c, tcp_conn_sched';
const KATRAN_LOOKUP = 'Katran: katran/lib/bpf/balancer.bpf.c, connection_table_lookup';
const KATRAN_MISS = 'Katran: katran/lib/bpf/balancer.bpf.c, process_packet and get_packet_dst';
const CILIUM_FLAG = 'Cilium: agent flag bpf-ct-timeout-service-tcp';
const CILIUM_MISS = 'Cilium: bpf/lib/lb.h, lb4_local (CT_NEW)';
const VPP_TIMEOUT = 'VPP: src/plugins/lb/lb.h, LB_DEFAULT_FLOW_TIMEOUT';
const VPP_MISS = 'VPP: src/plugins/lb/node.c, lb_node_fn';
const CONNTRACK_TIMEOUT =
  'Linux: Documentation/networking/nf_conntrack-sysctl.rst, nf_conntrack_tcp_timeout_established';
const CONNTRACK_LOOSE = 'Linux: Documentation/networking/nf_conntrack-sysctl.rst, nf_conntrack_tcp_loose';

export const PROFILES = {
  'aws-nlb': {
    product: 'AWS Network Load Balancer',
    idleTimeoutMs: known(350_000, AWS_UPDATE, '60s to 6000s can be set'),
    onExpiry: known('silent', AWS_GUIDE, 'nobody is told before somebody sends again'),
    onMiss: known('reset', AWS_GUIDE, 'an RST to whichever side sends next; with DSR only the client can be that'),
  },
  'azure-lb': {
    product: 'Azure Load Balancer',
    idleTimeoutMs: known(240_000, AZURE_TIMEOUT, '4 to 100 minutes can be set'),
    onExpiry: known('silent', AZURE_RESET, 'with TCP reset enabled on the rule: reset, to both sides'),
    onMiss: read('drop', AZURE_RESET, 'not documented: taken for a drop, as the flow itself is dropped silently'),
  },
  'gcp-external': {
    product: 'Google Cloud external passthrough Network Load Balancer',
    idleTimeoutMs: known(60_000, GCP_TIMEOUT),
    onExpiry: known('silent', GCP_EXTERNAL, 'the entry of the connection tracking table goes'),
    onMiss: known('forward', GCP_EXTERNAL, 'by consistent hash again, unless a backend came or went'),
  },
  'gcp-internal': {
    product: 'Google Cloud internal passthrough Network Load Balancer',
    idleTimeoutMs: known(600_000, GCP_TIMEOUT, 'up to 16 hours can be set for some session affinities'),
    onExpiry: known('silent', GCP_INTERNAL, 'the entry of the connection tracking table goes'),
    onMiss: known('forward', GCP_INTERNAL, 'by consistent hash again, unless a backend came or went'),
  },
  'f5-fastl4': {
    product: 'F5 BIG-IP, Fast L4',
    idleTimeoutMs: known(300_000, F5_SCHEMA, 'idleTimeout'),
    onExpiry: known('reset', F5_SCHEMA, 'resetOnTimeout, on by default'),
    onMiss: known('reset', F5_RESETS, 'looseInitialization is off by default; tm.maxrejectrate limits these RSTs'),
  },
  'f5-fastl4-loose': {
    product: 'F5 BIG-IP, Fast L4 with loose initiation',
    idleTimeoutMs: known(300_000, F5_SCHEMA, 'idleTimeout'),
    onExpiry: known('reset', F5_SCHEMA, 'resetOnTimeout, on by default, whatever looseInitialization says'),
    onMiss: known('forward', F5_SCHEMA, 'looseInitialization: any segment opens a flow'),
  },
  netscaler: {
    product: 'Citrix NetScaler',
    idleTimeoutMs: known(9_000_000, NETSCALER_TIMEOUT, 'for services of type TCP; 180s for HTTP and SSL'),
    onExpiry: read('reset', NETSCALER_FAQ, 'an RST to both sides is said of the cleanup after a half-close'),
    onMiss: read('reset', NETSCALER_FAILOVER, 'said of connections that a failover made unknown'),
  },
  'netscaler-stateless': {
    product: 'Citrix NetScaler with connfailover stateless',
    idleTimeoutMs: known(9_000_000, NETSCALER_TIMEOUT, 'for services of type TCP; 180s for HTTP and SSL'),
    onExpiry: read('reset', NETSCALER_FAQ, 'not said for connfailover stateless: taken to stay as without it'),
    onMiss: read(
      'forward',
      NETSCALER_FAILOVER,
      'said of connections that a failover made unknown: created again from the packet, where the servers see the ' +
        "client's address (USIP)",
    ),
  },
  ipvs: {
    product: 'Linux IPVS',
    idleTimeoutMs: known(900_000, IPVS_TIMEOUTS, 'ESTABLISHED; ipvsadm --set changes it'),
    onExpiry: known('silent', IPVS_EXPIRY),
    onMiss: known(
      'reset',
      IPVS_MISS,
      "only a SYN is scheduled; the rest is left to the host's own stack, which has the VIP and no such connection: RST, " +
        'unless a firewall drops it',
    ),
  },
  'ipvs-sloppy': {
    product: 'Linux IPVS with sloppy_tcp=1',
    idleTimeoutMs: known(900_000, IPVS_TIMEOUTS, 'ESTABLISHED; ipvsadm --set changes it'),
    onExpiry: known('silent', IPVS_EXPIRY),
    onMiss: read(
      'forward',
      IPVS_SLOPPY,
      'the scheduler picks a server again: the same one only with a hashing scheduler',
    ),
  },
  dpvs: {
    product: 'DPVS',
    idleTimeoutMs: known(90_000, DPVS_TIMEOUTS, 'ESTABLISHED'),
    onExpiry: read('reset', DPVS_EXPIRY, 'to both sides in the modes NAT and FullNAT, silent with DR and tunnels'),
    onMiss: read(
      'drop',
      DPVS_MISS,
      'only a pure SYN is scheduled; others are dropped with defence_tcp_drop, else passed on: taken for a drop where ' +
        'no stack has the VIP',
    ),
  },
  katran: {
    product: 'Katran',
    idleTimeoutMs: read(
      null,
      KATRAN_LOOKUP,
      'none for TCP: an LRU map, entries go to make room; here the longest timeout, 30d',
    ),
    onExpiry: known('silent', KATRAN_LOOKUP),
    onMiss: known('forward', KATRAN_MISS, 'by consistent hash, and counted'),
  },
  cilium: {
    product: 'Cilium',
    idleTimeoutMs: known(8_000_000, CILIUM_FLAG, '21600s in older releases'),
    onExpiry: known('silent', CILIUM_FLAG),
    onMiss: read(
      'forward',
      CILIUM_MISS,
      'a backend is selected again, whatever the flags: the same one only with bpf-lb-algorithm maglev; the default is ' +
        'random',
    ),
  },
  'vpp-lb': {
    product: 'VPP load-balancer plugin',
    idleTimeoutMs: known(40_000, VPP_TIMEOUT),
    onExpiry: known('silent', VPP_MISS),
    onMiss: known('forward', VPP_MISS, 'by hash'),
  },
  'nf-conntrack': {
    product: 'Linux nf_conntrack',
    idleTimeoutMs: known(432_000_000, CONNTRACK_TIMEOUT),
    onExpiry: known('silent', CONNTRACK_TIMEOUT),
    onMiss: read(
      'forward',
      CONNTRACK_LOOSE,
      'picked up by default, INVALID with tcp_loose=0; a NAT rule chooses anew, the same server only if it hashes',
    ),
  },
} as const satisfies Record<string, Profile>;

export type ProfileName = keyof typeof PROFILES;

export const PROFILE_NAMES = Object.keys(PROFILES) as ProfileName[];

/** The profile by its general type, for callers that walk over all of them. */
export function profileOf(name: ProfileName): Profile {
  return PROFILES[name];
}
