/**
 * The LAN of test/lb/lan.ts for the tests of `io: af-packet` and `io: portable`, with HTTP on two backends. The VIP is an
 * address of the balancer's own host here, so that its kernel answers with RST whatever reaches it: that nothing does is what
 * those tests show. Not a test.
 */
import assert from 'node:assert/strict';
import { before } from 'node:test';
import { type HostProcess, HUSHLB, logMessage } from '../../lab/processes.ts';
import { backendNames, VIP } from '../../lab/topology.ts';
import { backendYaml, type Lan, never, PATIENCE_MS, useLan } from './lan.ts';

export const BACKENDS = backendNames(2);

export const FORWARDED = 'hushlb_packets_total{service="web0",verdict="forward",reason="forwarded"}';
export const STEERED = 'hushlb_steered_packets_total{to="socket",reason="service"}';
export const OTHER_PORT = 'hushlb_steered_packets_total{to="kernel",reason="other_port"}';
/** Of the first worker's socket. */
export const droppedBy = (reason: string): string =>
  `hushlb_device_dropped_packets_total{queue="0",reason="${reason}"}`;

interface Service {
  readonly vip?: string;
  readonly port?: number;
  readonly encap?: string;
}

export interface DeviceLan extends Lan {
  /** Writes the file: lines of YAML for the top level, and services `web0`, `web1` …, each on both backends. */
  configure(top: string, services?: readonly Service[]): void;
  /** `hushlb run` with that file, under setpriv with the options `rights`. */
  run(top: string, services?: readonly Service[], rights?: readonly string[]): HostProcess;
  /** iproute2 in a host's namespace. */
  ipOf(host: string, ...command: string[]): string;
  metric(name: string): Promise<number>;
  /** GETs of the VIP come to both backends, and to nobody else. */
  balanced(vip?: string, count?: number): Promise<void>;
}

export function useDeviceLan(): DeviceLan {
  const lan = useLan(BACKENDS);
  before(() => void lan.inHost('lb', 'ip', 'address', 'add', `${VIP}/32`, 'dev', 'lo'));

  function configure(top: string, services: readonly Service[] = [{}]): void {
    const backends = BACKENDS.map((name) => backendYaml(name)).join(', ');
    const rows = services.map(
      ({ vip = VIP, port = 80, encap = 'ipip' }, i) =>
        `  - { name: web${i}, vip: ${vip}, port: ${port}, encap: ${encap}, backends: [${backends}] }\n`,
    );
    lan.write(`interface: eth0\n${top}\nservices:\n${rows.join('')}`);
  }

  return {
    ...lan,
    configure,
    run(top, services, rights = []) {
      configure(top, services);
      const command = [process.execPath, HUSHLB, 'run', '-c', lan.file(), '--log-format', 'json'];
      return lan.start('lb', rights.length === 0 ? command : ['setpriv', ...rights, ...command]);
    },
    ipOf: (host, ...command) => lan.inHost(host, 'ip', ...command),
    async metric(name) {
      const lines = (await lan.ask('lb', 'http://127.0.0.1:9108/metrics')).flatMap((text) => text.split('\n'));
      const line = lines.find((candidate) => candidate.startsWith(name));
      assert.ok(line !== undefined, `${name} is exposed`);
      return Number(line.split(' ').at(-1));
    },
    async balanced(vip = VIP, count = 20) {
      assert.deepEqual(new Set(await lan.ask('client', `http://${vip}/`, count)), new Set(BACKENDS));
    },
  };
}

/** The log line that begins so, once it is there. */
export async function said(balancer: HostProcess, text: string): Promise<Record<string, unknown>> {
  const isIt = (line: string) => logMessage(line)?.startsWith(text) === true;
  return JSON.parse(await balancer.waitForLine(isIt, PATIENCE_MS, never));
}

/** The one line of a start that fails. */
export function complaint(balancer: HostProcess): Promise<string> {
  return balancer.waitForLine((line) => line.startsWith('hushlb: '), PATIENCE_MS, never);
}
