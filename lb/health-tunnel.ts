/**
 * The ways of health checks through the tunnel: puts the service's encapsulation around a check's packet and sends it where
 * the forwarder would send a client's. Between health/tunnel.ts, which knows nothing of tunnels, and dsr/. Made by lb/health.ts.
 */
import { createNextHops, encapsulate, openRow, overhead, setNextHop } from '../dsr/encap.ts';
import type { TunnelTarget } from '../health/tunnel.ts';
import { type FrameSender, openFrameSender } from '../io/frame-sender.ts';
import { readLink } from '../io/links.ts';
import { lookupRoute } from '../io/routes.ts';
import { addressBytes } from '../wire/address.ts';
import { ETHERNET_HEADER_LENGTH, ETHERTYPE_IPV4, ETHERTYPE_IPV6, setEtherType } from '../wire/ethernet.ts';
import type { BackendConfig, ServiceConfig } from './config.ts';
import { encapsulationOf, type Hop } from './forwarding-state.ts';

/** What tunnels leave by, and what the kernel knows of the way to each backend. */
export interface TunnelDoor {
  readonly interface: string;
  hopOf(address: string): Hop | undefined;
}

export interface TunnelWays {
  /** `lane`: another one for each service that checks at this VIP and port. */
  targetOf(service: ServiceConfig, backend: BackendConfig, port: number, lane: number): TunnelTarget;
  close(): void;
}

interface OpenDoor extends FrameSender {
  readonly ownMac: Uint8Array;
}

export function createTunnelWays({ interface: name, hopOf }: TunnelDoor): TunnelWays {
  let door: OpenDoor | undefined;

  /** The interface may go, and come back as another one. */
  function open(): OpenDoor {
    const link = readLink(name);
    if (link?.mac === undefined) throw new Error(`there is no interface ${name}`);
    return { ...openFrameSender(link.index), ownMac: link.mac };
  }

  function hopTo(address: string): Hop {
    const hop = hopOf(address);
    if (hop === undefined) throw new Error('no neighbour on the way to it');
    return hop;
  }

  return {
    targetOf(service, { address }, port, lane) {
      const vip = addressBytes(service.vip);
      const destination = addressBytes(address);
      const encapsulation = encapsulationOf(service);
      return {
        vip,
        port,
        lane,
        source() {
          const { source } = hopTo(address);
          return source.length === vip.length ? source : ownAddress(vip);
        },
        send(packet) {
          const hops = createNextHops(1);
          openRow(hops, 0, 0);
          door ??= open();
          const { ownMac } = door;
          setNextHop(hops, 0, encapsulation, { ...hopTo(address), ownMac, destination });
          const room = overhead(encapsulation, destination.length === 16 ? 6 : 4);
          const frame = new Uint8Array(room + ETHERNET_HEADER_LENGTH + packet.length);
          frame.set(packet, room + ETHERNET_HEADER_LENGTH);
          const view = new DataView(frame.buffer);
          setEtherType(view, room, vip.length === 4 ? ETHERTYPE_IPV4 : ETHERTYPE_IPV6);
          const grown = encapsulate(view, room, packet.length, encapsulation.encap, hops, 0, 0);
          try {
            door.send(frame.subarray(room - grown));
          } catch (error) {
            door.close();
            door = undefined;
            throw error;
          }
        },
      };
    },
    close: () => door?.close(),
  };
}

/** That the kernel would ask the VIP from, where the backends are of the other family. */
function ownAddress(vip: Uint8Array): Uint8Array {
  const route = lookupRoute(vip);
  if (route?.source === undefined || route.local)
    throw new Error("this host has no address of the VIP's family to ask from");
  return route.source;
}
