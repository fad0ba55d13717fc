/**
 * Installs the Debian packages that are missing, where that is possible: as root, with apt-get.
 *
 * The machine may be someone's server, so an installation starts nothing. Debian's maintainer scripts start and stop
 * services through invoke-rc.d and deb-systemd-invoke, and both ask /usr/sbin/policy-rc.d first (exit code 101 is a
 * no). Containers usually have one that forbids; elsewhere ours stands there while apt-get runs. It forbids only while
 * the process that wrote it lives, so that even a kill -9 leaves nothing that keeps a service down.
 */
import { spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { Failure, note, step } from './steps.mjs';

/**
 * A package, the command that it is wanted for (of a library, its name and a `file` of it), the services that it must not start when the machine boots, and what
 * happens without it; nothing happens without a package that has no `without`.
 */
export const iproute2 = { name: 'iproute2', command: 'ip' };
export const nginx = {
  name: 'nginx-light',
  command: 'nginx',
  services: ['nginx'],
  without: "the lab's backends are HTTP servers of Node",
};
export const haproxy = {
  name: 'haproxy',
  command: 'haproxy',
  services: ['haproxy'],
  without: 'the scenario l7-idle cannot run',
};
export const dnsmasq = {
  name: 'dnsmasq-base',
  command: 'dnsmasq',
  without: 'the scenario dns cannot run',
};
export const requests = {
  name: 'python3-requests',
  command: 'python3-requests',
  file: '/usr/lib/python3/dist-packages/requests/__init__.py',
  without: 'the scenarios direct-race and l7-idle cannot run',
};
export const nftables = {
  name: 'nftables',
  command: 'nft',
  services: ['nftables'],
  without: "lab matrix lacks the rows of the kernel's NAT",
};

const withoutPortable = 'io: portable is not there';
/** What the optional packages `cap` and `raw-socket` are built with. */
export const portableTools = [
  { name: 'libpcap-dev', command: "libpcap's headers", file: '/usr/include/pcap/pcap.h', without: withoutPortable },
  { name: 'g++', command: 'g++', without: withoutPortable },
  { name: 'make', command: 'make', without: withoutPortable },
  { name: 'python3', command: 'python3', without: withoutPortable },
];

/** Asks for pages as fast as they come, in the benchmark of real connections. */
export const wrk = { name: 'wrk', command: 'wrk', without: 'real-tcp is not measured' };
/** nginx as a proxy of connections, in the same benchmark. */
export const nginxStream = {
  name: 'libnginx-mod-stream',
  command: "nginx's stream module",
  file: '/usr/lib/nginx/modules/ngx_stream_module.so',
  without: 'real-tcp is not compared with nginx stream',
};

/** Draws the report's page in tests. It brings a font. */
export const chromium = { name: 'chromium', command: 'chromium' };
/** They read the report's captures, and those of replay, in tests. */
export const tshark = { name: 'tshark', command: 'tshark' };
export const tcpdump = { name: 'tcpdump', command: 'tcpdump' };
/** Makes certificates in tests. */
export const openssl = { name: 'openssl', command: 'openssl' };
/** The kernel's own words for offloads in tests. */
export const ethtool = { name: 'ethtool', command: 'ethtool' };
/** pgrep, which finds what a lab has left behind in tests. */
export const procps = { name: 'procps', command: 'pgrep' };
/** Reads what the forwarder makes of packets in tests. */
export const scapy = {
  name: 'python3-scapy',
  command: 'python3-scapy',
  file: '/usr/lib/python3/dist-packages/scapy/__init__.py',
};

/** Checks the systemd unit in tests, and runs it in a container. It starts nothing, where it is not what the machine was started by. */
export const systemd = { name: 'systemd', command: 'systemd-analyze' };
/** Scrapes a balancer in tests, and checks rules by its promtool. */
export const prometheus = { name: 'prometheus', command: 'prometheus', services: ['prometheus'] };

const POLICY = '/usr/sbin/policy-rc.d';
const FORBIDDEN = 101;
const OUR_POLICY = "#!/bin/sh\n# Of hushlb's set-up, which installs packages: no service is to start meanwhile.\n";

const LOCK_PATIENCE_S = 120;

/** Debian keeps administrators' commands out of a user's PATH. */
const SYSTEM_FOLDERS = ['/usr/local/sbin', '/usr/sbin', '/sbin'];

/** Makes the packages' commands available, or says what is missing and throws unless it goes on without. */
export async function installPackages(packages) {
  const missing = packages.filter((wanted) => !isThere(wanted));
  const needed = missing.filter(({ without }) => without === undefined);
  const optional = missing.filter(({ without }) => without !== undefined);
  for (const group of [needed, optional]) {
    if (group.length > 0) await installTogether(group);
  }
}

async function installTogether(packages) {
  const names = packages.map(({ name }) => name);
  const obstacle = findObstacle();
  if (obstacle !== undefined) {
    giveUp(packages, obstacle);
    return;
  }
  note(`installing Debian packages, without starting services: ${names.join(' ')}`);
  const removePolicy = holdServicesBack();
  try {
    await aptInstall(names);
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    giveUp(packages, error.message, error.output);
  } finally {
    removePolicy();
    for (const service of packages.flatMap(({ services = [] }) => services)) keepFromBooting(service);
  }
}

function findObstacle() {
  if (process.getuid() !== 0) return 'not root';
  if (!hasCommand('apt-get')) return 'no apt-get on this system';
  // A policy that allows services is its administrator's word: nothing is put in its place.
  if (policyOfOthers() && !policyForbids()) return `${POLICY} lets installations start services`;
  return undefined;
}

function giveUp(packages, reason, output = '') {
  for (const { name, command, without } of packages) {
    const what = `${command} is missing (${reason}): install it, on Debian with "apt-get install ${name}"`;
    // Without root nothing will be done that needs it: tests skip what needs root.
    if (without === undefined && process.getuid() === 0) throw new Failure(`${what}, then run this again`, output);
    process.stderr.write(output);
    note(`${what}; going on without it: ${without ?? 'only what needs root needs it'}`);
  }
}

/** Package lists may be absent (fresh containers) or old, and updating them is slow: only if it does not go without. */
async function aptInstall(names) {
  const options = ['--yes', '--no-install-recommends', '-o', `DPkg::Lock::Timeout=${LOCK_PATIENCE_S}`];
  // On Ubuntu needrestart would restart other services after an installation.
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', NEEDRESTART_SUSPEND: '1' };
  // apt-get puts off a signal until dpkg is done; dpkg itself would stop half-way.
  const aptGet = (...args) =>
    step(`apt-get ${args.join(' ')}`, 'apt-get', [...options, ...args], { env, signalGroup: false });
  try {
    await aptGet('install', ...names);
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    await aptGet('update');
    await aptGet('install', ...names);
  }
}

/** Puts our policy in place where there is none; returns what takes it away again. */
function holdServicesBack() {
  if (policyOfOthers()) return () => {};
  const script = `${OUR_POLICY}[ -d /proc/${process.pid} ] && exit ${FORBIDDEN}\nexit 0\n`;
  writeFileSync(POLICY, script, { mode: 0o755 });
  return () => rmSync(POLICY, { force: true });
}

/** Whether a policy is there that is not a leftover of ours. */
function policyOfOthers() {
  return existsSync(POLICY) && !readFileSync(POLICY, 'utf8').startsWith(OUR_POLICY);
}

function policyForbids() {
  return spawnSync(POLICY, ['nginx', 'start'], { stdio: 'ignore' }).status === FORBIDDEN;
}

/** Installing a package enables its service, which would then start at the next boot. */
function keepFromBooting(service) {
  spawnSync('update-rc.d', [service, 'disable'], { stdio: 'ignore' });
}

/** Whether the package's command, or of a library its file, is there. */
export function isThere({ command, file }) {
  return file === undefined ? hasCommand(command) : existsSync(file);
}

function hasCommand(command) {
  const folders = [...(process.env.PATH ?? '').split(delimiter), ...SYSTEM_FOLDERS];
  return folders.some((folder) => {
    try {
      accessSync(join(folder, command), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}
