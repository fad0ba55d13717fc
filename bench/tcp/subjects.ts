/**
 * What case `real-tcp` loads in turn. Each has a host of its own (tcp/network.ts), and an address at which its backends answer;
 * all are started before the first is measured.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { stringify } from 'yaml';
import { waitForListener } from '../../lab/backends.ts';
import { balancerReady, startBalancer } from '../../lab/balancer.ts';
import { LabError } from '../../lab/errors.ts';
import type { Network } from '../../lab/network.ts';
import { httpBlock, writeNginx } from '../../lab/nginx.ts';
import { type HostProcess, HUSHLB as HUSHLB_PROGRAM, logMessage, startProcess } from '../../lab/processes.ts';
import { findProgram } from '../../lab/programs.ts';
import { CLIENT_ADDRESS } from '../../lab/topology.ts';
import { BACKENDS, HAPROXY, HUSHLB, type LanHost, NAT, NGINX, TUNNELLED_BACKENDS, VIPS } from './network.ts';

export type SubjectKey = 'straight' | 'hushlb' | 'ipip' | 'nft' | 'haproxy' | 'nginx';

export interface Subject {
  readonly key: SubjectKey;
  readonly name: string;
  /** Where the client sends to. */
  readonly address: string;
  /** Resolves when it takes connections. */
  start(stage: TcpStage): Promise<void>;
}

export interface TcpStage {
  readonly network: Network;
  readonly directory: string;
  readonly signal: AbortSignal;
  readonly started: (process: HostProcess) => void;
  readonly onUnexpectedEnd: (error: LabError) => void;
}

export const PORT = 80;
/** Paths on the backends. */
export const SMALL = '/';
export const LARGE = '/large';
export const LARGE_BYTES = 64 * 1024;

const READY_PATIENCE_MS = 10_000;
const STREAM_MODULE = '/usr/lib/nginx/modules/ngx_stream_module.so';

/** All that this machine can run; undefined where it lacks the client or the servers. */
export function findSubjects(): {
  readonly subjects: readonly Subject[] | undefined;
  readonly missing: readonly string[];
} {
  const needed = [
    ['wrk', 'wrk'],
    ['nginx', 'nginx-light'],
  ].filter(([program]) => findProgram(program) === undefined);
  if (needed.length > 0) {
    const missing = needed.map(([program, name]) => `Nothing was measured: no ${program} (${howTo(name)}).`);
    return { subjects: undefined, missing };
  }
  const missing: string[] = [];
  const subjects: Subject[] = [STRAIGHT, L2, IPIP];
  const add = (subject: Subject, isThere: boolean, what: string, debianPackage: string): void => {
    if (isThere) subjects.push(subject);
    else missing.push(`${subject.name} was left out: no ${what} (${howTo(debianPackage)}).`);
  };
  add(NFTABLES, findProgram('nft') !== undefined, 'nft', 'nftables');
  add(HAPROXY_TCP, findProgram('haproxy') !== undefined, 'haproxy', 'haproxy');
  add(NGINX_STREAM, existsSync(STREAM_MODULE), STREAM_MODULE, 'libnginx-mod-stream');
  return { subjects, missing };
}

function howTo(debianPackage: string): string {
  return `Debian: \`apt-get install ${debianPackage}\``;
}

const STRAIGHT: Subject = {
  key: 'straight',
  name: 'straight',
  address: VIPS.straight,
  start: (stage) => startServers(stage, BACKENDS),
};

const L2: Subject = {
  key: 'hushlb',
  name: 'hushlb run, L2',
  address: VIPS.l2,
  start: (stage) => startHushlb(stage),
};

/** Of the same process, another service. */
const IPIP: Subject = {
  key: 'ipip',
  name: 'hushlb run, IPIP',
  address: VIPS.ipip,
  async start(stage) {
    await Promise.all([
      startServers(stage, TUNNELLED_BACKENDS),
      ...TUNNELLED_BACKENDS.map((host) => startDecap(stage, host)),
    ]);
  },
};

const NFTABLES: Subject = {
  key: 'nft',
  name: 'nftables DNAT',
  address: VIPS.nat,
  start: async (stage) => loadNat(stage),
};

const HAPROXY_TCP: Subject = {
  key: 'haproxy',
  name: 'HAProxy, TCP mode',
  address: HAPROXY[1],
  start: startHaproxy,
};

const NGINX_STREAM: Subject = {
  key: 'nginx',
  name: 'nginx stream',
  address: NGINX[1],
  start: startNginxStream,
};

/** One process a backend: two cores have nothing to gain from more. */
async function startServers(stage: TcpStage, backends: readonly LanHost[]): Promise<void> {
  await Promise.all(
    backends.map(async (host) => {
      const directory = `${stage.directory}/${host[0]}`;
      const files = `${directory}-files`;
      mkdirSync(files);
      writeFileSync(files + LARGE, Buffer.alloc(LARGE_BYTES, host[0]));
      const server = `  sendfile on;
  server {
    listen ${PORT};
    keepalive_timeout 1h;
    root ${files};
    location = ${SMALL} { return 200 "${host[0]}\\n"; }
  }`;
      const command = writeNginx({ directory, blocks: [httpBlock(directory, [server])] });
      await startListener(stage, host, `nginx on ${host[0]}`, command);
    }),
  );
}

async function startHushlb({ network, directory, signal, started, onUnexpectedEnd }: TcpStage): Promise<void> {
  const service = (name: 'l2' | 'ipip', backends: readonly LanHost[]) => ({
    name,
    vip: VIPS[name],
    port: PORT,
    encap: name,
    conntrack: { idleTimeout: '1h' },
    backends: backends.map(([backend, address]) => ({ name: backend, address })),
  });
  const services = [service('l2', BACKENDS), service('ipip', TUNNELLED_BACKENDS)];
  const balancer = startBalancer({
    name: HUSHLB[0],
    namespace: network.namespace(HUSHLB[0]),
    configuration: stringify({ interface: 'eth0', metrics: false, services }),
    directory,
    onUnexpectedEnd,
  });
  started(balancer);
  await balancerReady(balancer, signal);
}

async function startDecap({ network, signal, started, onUnexpectedEnd }: TcpStage, [name]: LanHost): Promise<void> {
  const decap = startProcess({
    name: `hushlb decap on ${name}`,
    namespace: network.namespace(name),
    command: [process.execPath, HUSHLB_PROGRAM, 'decap', '--interface', 'eth0', '--encap', 'ipip'],
    onUnexpectedEnd,
  });
  started(decap);
  await decap.waitForLine((line) => logMessage(line) === 'ready', READY_PATIENCE_MS, signal);
}

/** The kernel's stateful NAT: the backend by a hash of source address and port; answers come back this way. */
function loadNat({ network, directory }: TcpStage): void {
  const targets = BACKENDS.map(([, address], i) => `${i} : ${address}`).join(', ');
  const file = `${directory}/nat.nft`;
  writeFileSync(
    file,
    `table ip bench {
  chain choose {
    type nat hook prerouting priority dstnat
    ip daddr ${VIPS.nat} tcp dport ${PORT} dnat to jhash ip saddr . tcp sport mod ${BACKENDS.length} map { ${targets} }
  }
  chain answer {
    type nat hook postrouting priority srcnat
    ip saddr ${CLIENT_ADDRESS} masquerade
  }
}
`,
  );
  const command = ['netns', 'exec', network.namespace(NAT[0]), findProgram('nft') ?? 'nft', '-f', file];
  const { status, stderr } = spawnSync('ip', command, { encoding: 'utf8' });
  if (status !== 0) throw new LabError('LAB_NETWORK', `could not load the rules of nftables: ${stderr.split('\n')[0]}`);
}

async function startHaproxy(stage: TcpStage): Promise<void> {
  const file = `${stage.directory}/haproxy.conf`;
  const servers = BACKENDS.map(([name, address]) => `  server ${name} ${address}:${PORT}`);
  writeFileSync(
    file,
    `global
  nbthread 1
  maxconn 4096
defaults
  mode tcp
  timeout connect 5s
  timeout client 1h
  timeout server 1h
frontend web
  bind :${PORT}
  default_backend servers
backend servers
${servers.join('\n')}
`,
  );
  await startListener(stage, HAPROXY, 'HAProxy', [findProgram('haproxy') ?? 'haproxy', '-db', '-f', file]);
}

async function startNginxStream(stage: TcpStage): Promise<void> {
  const servers = BACKENDS.map(([, address]) => `    server ${address}:${PORT};`);
  const stream = `stream {
  upstream servers {
${servers.join('\n')}
  }
  server {
    listen ${PORT};
    proxy_pass servers;
    proxy_timeout 1h;
  }
}`;
  const directory = `${stage.directory}/${NGINX[0]}`;
  const command = writeNginx({ directory, errors: 'crit', modules: [STREAM_MODULE], blocks: [stream] });
  await startListener(stage, NGINX, 'nginx stream', command);
}

async function startListener(
  stage: TcpStage,
  [host]: LanHost,
  name: string,
  command: readonly string[],
): Promise<void> {
  const { network, signal, started, onUnexpectedEnd } = stage;
  const namespace = network.namespace(host);
  started(startProcess({ name, namespace, command, onUnexpectedEnd }));
  await waitForListener(namespace, PORT, name, signal);
}
