/** Metrics of the packets: where they leave the walk, who gets them, what was sent or changed on the way. */
import {
  BACKEND_BYTES,
  BACKEND_PACKETS,
  SERVICE_EXPIRY_RESETS_SENT,
  SERVICE_MSS_CLAMPED,
  SERVICE_QUIC_ROUTED,
  SERVICE_RELATED,
  SERVICE_RESETS_SENT,
  SERVICE_UNFINISHED_CHECKSUMS,
  sumSlots,
} from './counters.ts';
import { type Metric, perBackend, perService } from './metric.ts';

export const TRAFFIC_METRICS: readonly Metric[] = [
  {
    name: 'hushlb_packets_total',
    type: 'counter',
    labels: ['service', 'verdict', 'reason'],
    help: 'Packets by what became of them; service is empty for packets that belong to none.',
    means:
      'Every packet that reached the forwarder, once, at the exit by which it left the walk. The exits are listed in [packet-walk.md](packet-walk.md#the-exits).',
    moves:
      'Look at the rates by `reason`. `verdict="drop"` should stand still: the table of the exits says for each reason where to look. `no-neighbour`: a backend\'s next hop doesn\'t answer, its packets are lost. No series moves at all: the router sends nothing here.',
    *samples({ layout, workers }) {
      const { services, exits, exitBase } = layout();
      for (const [service, base] of exitBase.entries()) {
        const name = services[service]?.name ?? '';
        for (const [exit, { verdict, reason, ofService }] of exits.entries()) {
          // What cannot occur would only be lines to skip: a thousand services have enough of them.
          if (ofService !== undefined && ofService !== service < services.length) continue;
          yield [{ service: name, verdict, reason }, sumSlots(workers, base + exit)];
        }
      }
    },
  },
  {
    name: 'hushlb_backend_packets_total',
    type: 'counter',
    labels: ['service', 'backend'],
    help: 'Packets forwarded to a backend.',
    means: "The clients' half of the traffic: answers go past the balancer and are not in it.",
    moves:
      'Compare backends of a service by their weights (`hushlb table`). One that gets nothing while others do: it drains, it is down, or its weight was changed a moment ago. One that gets more: few clients with many packets, or `hash: source-ip` behind a NAT.',
    samples: perBackend(BACKEND_PACKETS),
  },
  {
    name: 'hushlb_backend_bytes_total',
    type: 'counter',
    labels: ['service', 'backend'],
    help: 'Bytes of the packets forwarded to a backend.',
    means: 'Of IP packets as they arrived: without Ethernet, without the headers that the encapsulation adds.',
    moves: 'As `hushlb_backend_packets_total`; together they say whether clients upload.',
    samples: perBackend(BACKEND_BYTES),
  },
  {
    name: 'hushlb_resets_sent_total',
    type: 'counter',
    labels: ['service'],
    help: 'RST segments that the balancer itself sent: 0 unless onMiss or onExpiry is reset.',
    means: 'The only TCP that hushlb can make. In `mode: stateless` it is 0 for ever.',
    moves:
      'Connections are being broken by this balancer. If that is not wanted: `onMiss: forward`, `onExpiry: silent`, or `mode: stateless`. If a profile wants it, raise `conntrack.idleTimeout` above the idle timeouts of clients and servers.',
    samples: perService({ slot: SERVICE_RESETS_SENT }),
  },
  {
    name: 'hushlb_expiry_resets_sent_total',
    type: 'counter',
    labels: ['service'],
    help: 'Of hushlb_resets_sent_total those for connections that idled out, one to each side.',
    means: 'Resets of `onExpiry: reset`; the rest of `hushlb_resets_sent_total` is `onMiss: reset`.',
    moves: 'Raise `conntrack.idleTimeout`, or set `onExpiry: silent`.',
    samples: perService({ slot: SERVICE_EXPIRY_RESETS_SENT }),
  },
  {
    name: 'hushlb_mss_clamped_total',
    type: 'counter',
    labels: ['service'],
    help: 'SYNs whose MSS was lowered to what fits the path to the backend (mssClamp).',
    means: 'With `mssClamp` most SYNs are: it follows the rate of new connections.',
    moves: 'Nothing to do. It stays 0 with `mssClamp: auto`: clients announce less than fits already.',
    samples: perService({ slot: SERVICE_MSS_CLAMPED }),
  },
  {
    name: 'hushlb_icmp_errors_forwarded_total',
    type: 'counter',
    labels: ['service'],
    help: 'ICMP errors about a flow of the service, sent to the backend that has it; in hushlb_packets_total they are forwarded.',
    means: 'Mostly "too big" from routers between backend and client: path MTU discovery works through the balancer.',
    moves:
      'A few are healthy. Many: a path with a small MTU; let backends announce a smaller MSS ([backends.md](backends.md#room-for-the-headers)).',
    samples: perService({ slot: SERVICE_RELATED }),
  },
  {
    name: 'hushlb_quic_routed_total',
    type: 'counter',
    labels: ['service'],
    help: 'Datagrams whose QUIC connection id named their backend (quic); they are in no other counter of the connection table.',
    means: 'Datagrams of established QUIC connections of a service with `quic`.',
    moves:
      "It stays 0 while QUIC flows: the servers don't write their `serverId` into connection ids, or `serverIdLength` or `rotation` differs ([packets.md](packets.md#quic)).",
    samples: perService({ slot: SERVICE_QUIC_ROUTED }),
  },
  {
    name: 'hushlb_unfinished_checksums_total',
    type: 'counter',
    labels: ['service'],
    help: 'SYNs whose sender left the TCP checksum to hardware that its link lacks: backends drop them.',
    means: 'A sender on the same host (virtual machine, container, namespace) with checksum offload.',
    moves: 'On the sender: `ethtool -K eth0 tx off`.',
    samples: perService({ slot: SERVICE_UNFINISHED_CHECKSUMS }),
  },
];
