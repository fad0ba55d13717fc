/**
 * A client, a balancer and backends on one virtual clock, and the router between them that carries frames by their
 * destination: the VIP's to the balancer, the tunnel's to its backend, answers directly to the client (DSR).
 * simulate/run.ts fills it with connections and lets it run.
 */
import type { Config } from '../lb/config.ts';
import { ipv4Bytes, parseIpv4 } from '../wire/address.ts';
import { addressWord } from '../wire/ipv4.ts';
import { createBalancer, type SimulatedBalancer } from './balancer.ts';
import { createClock, type VirtualClock } from './clock.ts';
import { createHost, type Host } from './host.ts';
import { decapsulate, frameDestination, readFrame, type Segment, writeFrame } from './segment.ts';
import {
  BALANCER_ADDRESS,
  backendAddress,
  backendNames,
  CLIENT_ADDRESS,
  type Settings,
  VIP,
  VIP_PORT,
} from './settings.ts';
import { createStory, type Story } from './story.ts';

/** One host to the next. */
export const LEG_MS = 1;

export interface World {
  readonly clock: VirtualClock;
  readonly story: Story;
  readonly client: Host;
  readonly backends: readonly Host[];
  readonly balancer: SimulatedBalancer;
  readonly vip: number;
  /** RSTs that the balancer made itself, as they left it. */
  ownResets(): number;
}

export function createWorld(settings: Settings, config: Config, random: () => number): World {
  const clock = createClock();
  const story = createStory(clock);
  const vip = wordOf(VIP);
  const clientAddress = wordOf(CLIENT_ADDRESS);
  const tunnels = new Map<number, Host>();
  let ownResets = 0;

  /** `by` made the segment inside, whoever carries it. */
  function carry(frame: Uint8Array, by: string): void {
    clock.after(LEG_MS, () => {
      const destination = frameDestination(frame);
      if (destination === vip) {
        balancer.receive(frame);
        return;
      }
      const segment = readFrame(decapsulate(frame));
      const host = destination === clientAddress ? client : tunnels.get(destination);
      if (segment !== undefined) host?.receive(segment, by);
    });
  }

  function send(segment: Segment, by: string): void {
    carry(writeFrame(segment, macOf(by), macOf('router')), by);
  }

  function hostOf(name: string, address: number, keepaliveMs: number | null): Host {
    return createHost({
      name,
      address,
      clock,
      keepaliveMs,
      keepaliveIntervalMs: settings.keepaliveIntervalMs,
      random,
      transmit: (segment) => send(segment, name),
      onStray({ sourcePort, destinationPort }) {
        const clientPort = sourcePort === VIP_PORT ? destinationPort : sourcePort;
        story.tell(clientPort, name, 'reset', 'does not know the connection and answers RST');
      },
    });
  }

  const client = hostOf('client', clientAddress, settings.clientKeepaliveMs);
  const backends = backendNames(settings).map((name) => hostOf(name, vip, settings.serverKeepaliveMs));
  for (const backend of backends) tunnels.set(wordOf(backendAddress(backend.name)), backend);
  const balancer = createBalancer({
    config,
    clock,
    story,
    ownMac: macOf('balancer'),
    hopOf: () => ({ mac: macOf('router'), source: ipv4Bytes(numberOf(BALANCER_ADDRESS)), mtu: 1500 }),
    transmit(frame, isOwn) {
      if (isOwn) ownResets++;
      // Only the client sends to the VIP.
      carry(frame, isOwn ? 'balancer' : 'client');
    },
  });
  return { clock, story, client, backends, balancer, vip, ownResets: () => ownResets };
}

const MAC_ENDS: Readonly<Record<string, number>> = { router: 0xfe, balancer: 0xfd, client: 0xfc };

/** Locally administered; a backend's ends in its number. */
function macOf(name: string): Uint8Array {
  return Uint8Array.of(2, 0, 0, 0, 0, MAC_ENDS[name] ?? Number(name.slice(1)));
}

function numberOf(address: string): number {
  const number = parseIpv4(address);
  if (number === undefined) throw new TypeError(`not an IPv4 address: ${address}`);
  return number;
}

function wordOf(address: string): number {
  return addressWord(numberOf(address));
}
