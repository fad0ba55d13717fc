/**
 * The kernel's own stateful balancer as a subject of case `stateful-stateless`: destination NAT by nftables, backend by a hash
 * of the client's address and port, masquerade, so that answers come back through it; connections in nf_conntrack. What is
 * spoofed is not masqueraded: one address has 64,512 ports for each backend, and looking for a free one where there is none
 * left takes the kernel so long that a flood would be over before it began.
 */
import { readFileSync } from 'node:fs';
import { setOffloads } from '../../io/ethtool.ts';
import { closeDescriptor, lastErrno, openSocket, SystemCallError, sendto } from '../../io/ffi.ts';
import { inNamespace } from '../../io/namespace.ts';
import { replaceRoute } from '../../lab/network.ts';
import { run, sysctl } from '../forwarding/network.ts';
import { backendAddress, balancerAddress, CLIENT_ADDRESS, PORT } from './network.ts';
import type { Place, Setup, Subject } from './subject.ts';

/** Of nf_conntrack's buckets: a pointer each. */
const BYTES_A_BUCKET = 8;

export async function startNat({ network, seat }: Place, setup: Setup): Promise<Subject> {
  let current = setup;
  let [host] = seat.balancers;
  const load = (on: string): void => {
    const namespace = network.namespace(on);
    run('ip', ['netns', 'exec', namespace, 'nft', '-f', '-'], rules(seat.vip, current.backends));
    sysctl(namespace, 'netfilter/nf_conntrack_tcp_timeout_established', Math.ceil(current.idleTimeoutMs / 1000));
  };
  const prepare = (on: string): void => {
    // Without an XDP program a veth end takes frames that XDP sends, as the flood's, only while it does GRO.
    inNamespace(network.namespace(on), () => setOffloads('eth0', { gro: true }));
    load(on);
  };
  prepare(host);
  const countedNow = (): number => {
    const list = ['netns', 'exec', network.namespace(host), 'nft', 'list', 'counter', 'ip', 'bench', 'syns'];
    return Number(/packets (\d+)/.exec(run('ip', list, ''))?.[1] ?? 0);
  };
  // By rules that are gone.
  let counted = 0;
  return {
    key: 'nat',
    get host() {
      return host;
    },
    async configure(next) {
      current = next;
      counted += countedNow();
      load(host);
    },
    async restart() {
      forgetConnections(network.namespace(host));
    },
    async failOver() {
      [, host] = seat.balancers;
      counted = 0;
      prepare(host);
      replaceRoute(network, 'router', { to: `${seat.vip}/32`, via: balancerAddress(host) });
    },
    async counts() {
      return {
        entries: conntrackNumber(network.namespace(host), 'count'),
        syns: counted + countedNow(),
        evicted: 0,
        refused: 0,
        resets: undefined,
      };
    },
    async memory() {
      const namespace = network.namespace(host);
      const entries = conntrackNumber(namespace, 'count') * entryBytes();
      return { resident: undefined, table: entries + conntrackNumber(namespace, 'buckets') * BYTES_A_BUCKET };
    },
    async stop() {},
  };
}

/** All in one transaction: no packet meets half of them. The counter starts anew with each load. */
function rules(vip: string, backends: readonly string[]): string {
  const targets = backends.map((name, i) => `${i} : ${backendAddress(name)}`).join(', ');
  // Without a seed each load of the rules, on each host, would draw one of its own.
  const choice = `jhash ip saddr . tcp sport mod ${backends.length} seed 0x1`;
  return `table ip bench {}
delete table ip bench
table ip bench {
  counter syns {}
  chain count {
    type filter hook prerouting priority raw
    ip daddr ${vip} tcp flags & (syn | ack) == syn counter name "syns"
  }
  chain choose {
    type nat hook prerouting priority dstnat
    ip daddr ${vip} tcp dport ${PORT} dnat to ${choice} map { ${targets} }
  }
  chain answer {
    type nat hook postrouting priority srcnat
    ip saddr ${CLIENT_ADDRESS} masquerade
  }
}
`;
}

function conntrackNumber(namespace: string, name: string): number {
  return inNamespace(namespace, () => Number(readFileSync(`/proc/sys/net/netfilter/nf_conntrack_${name}`, 'utf8')));
}

/** Of an entry, as the kernel's allocator has it; 256 bytes where it doesn't tell. */
function entryBytes(): number {
  const slab = /^nf_conntrack\s+\d+\s+\d+\s+(\d+)/m.exec(readFileSync('/proc/slabinfo', 'utf8'));
  return Number(slab?.[1] ?? 256);
}

const AF_NETLINK = 16;
const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0o2000000;
const NETLINK_NETFILTER = 12;
const NFNL_SUBSYS_CTNETLINK = 1;
const IPCTNL_MSG_CT_DELETE = 2;
const NLM_F_REQUEST = 1;

/** As `conntrack -F` does: a message to delete that names no connection (linux/netfilter/nfnetlink_conntrack.h). */
function forgetConnections(namespace: string): void {
  inNamespace(namespace, () => {
    const fd = openSocket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
    try {
      const message = Buffer.alloc(20); // struct nlmsghdr and struct nfgenmsg
      message.writeUInt32LE(message.length, 0);
      message.writeUInt16LE((NFNL_SUBSYS_CTNETLINK << 8) | IPCTNL_MSG_CT_DELETE, 4);
      message.writeUInt16LE(NLM_F_REQUEST, 6);
      if (sendto(fd, message, message.length, 0, null, 0) < 0)
        throw new SystemCallError('flush conntrack', lastErrno());
    } finally {
      closeDescriptor(fd);
    }
  });
}
