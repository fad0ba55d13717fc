/**
 * Which captured packets decide a run, each with a sentence that says why: the first packet after the idle time, the RST,
 * the 502, the FIN that meets a request, the request sent again. They become comments in the run's capture file.
 */
import type { CapturedFrame } from '../lab/captures.ts';
import { isReset } from '../lab/connections.ts';
import { hostLabel } from '../lab/draw.ts';
import type { Evidence } from '../lab/findings.ts';
import { type Packet, packetIdentity, parsePacket } from '../lab/packets.ts';
import type { Scenario } from '../lab/scenario.ts';
import { FIN, SYN } from '../wire/tcp.ts';
import { span } from './words.ts';

type Story = Pick<Scenario, 'balancer' | 'plot' | 'timeouts' | 'proxy'>;

/** A comment for each of the frames that has one. */
export function findDecisive(evidence: Evidence, scenario: Story): Map<CapturedFrame, string> {
  const comments = new Map<CapturedFrame, string>();
  const seen = evidence.frames
    .flatMap((frame) => {
      const packet = parsePacket(frame);
      return packet === undefined ? [] : [{ frame, packet }];
    })
    .sort((a, b) => a.packet.timeMs - b.packet.timeMs);
  for (const connection of groupByConnection(seen).values()) {
    const tale = new Tale(connection, evidence, scenario);
    for (const { frame, packet } of connection) {
      const comment = tale.next(packet);
      if (comment !== undefined) comments.set(frame, comment);
    }
  }
  return comments;
}

interface Seen {
  readonly frame: CapturedFrame;
  readonly packet: Packet;
}

function groupByConnection(seen: readonly Seen[]): Map<string, Seen[]> {
  const groups = new Map<string, Seen[]>();
  for (const each of seen) {
    const { source, sourcePort, destination, destinationPort } = each.packet;
    const key = [`${source}:${sourcePort}`, `${destination}:${destinationPort}`].sort().join(' ');
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [each]);
    else group.push(each);
  }
  return groups;
}

/** One connection's packets, told one after another. */
class Tale {
  readonly #balancers: readonly string[];
  readonly #backends: readonly string[];
  readonly #packets: readonly Packet[];
  readonly #scenario: Story;
  /** When each balancer saw a packet of it last. */
  readonly #lastAt = new Map<string, number>();
  /** What each balancer was sent: the same packet a second time was sent again. */
  readonly #sentTo = new Map<string, { count: number; timeMs: number }>();
  /** The silence before the packet that a balancer saw last, where the balancer was set to forget meanwhile. */
  #forgottenForMs: number | undefined;
  readonly #opened = new Set<string>();
  /** Backends that have sent data. */
  readonly #answered = new Set<string>();
  readonly #closedAt = new Map<string, number>();
  /** Of a layer-7 balancer: the data that it saw last was a request to it. */
  #owesAnswer = false;

  constructor(connection: readonly Seen[], { roles, backends }: Evidence, scenario: Story) {
    this.#balancers = [roles.balancer, roles.spare ?? null].filter((host) => host !== null);
    this.#backends = backends;
    this.#packets = connection.map(({ packet }) => packet);
    this.#scenario = scenario;
  }

  next(packet: Packet): string | undefined {
    const { host, direction, flags } = packet;
    if (direction === 'in' && this.#balancers.includes(host) && this.#scenario.balancer !== null) {
      return this.#atBalancer(packet);
    }
    if (isReset(packet)) return direction === 'out' ? this.#reset(packet) : undefined;
    if (direction === 'in' && (flags & SYN) !== 0) this.#opened.add(host);
    if (direction === 'out' && packet.payloadLength > 0 && this.#backends.includes(host)) this.#answered.add(host);
    if (direction === 'out' && (flags & FIN) !== 0 && this.#backends.includes(host)) return this.#goodbye(packet);
    if (direction === 'in' && packet.payloadLength > 0 && this.#backends.includes(host)) return this.#tooLate(packet);
    if (direction === 'out' && / 502\b/.test(packet.httpLine ?? '')) {
      return `${host === 'lb' ? 'The balancer' : hostLabel(host)} answers 502: a server closed the connection on which it had sent the request.`;
    }
    return this.#balancers.includes(host) ? this.#atProxy(packet) : undefined;
  }

  /** At a layer-7 balancer. */
  #atProxy({ direction, flags, payloadLength }: Packet): string | undefined {
    if (payloadLength > 0) this.#owesAnswer = direction === 'in';
    if (direction === 'in' || (flags & FIN) === 0 || !this.#owesAnswer) return undefined;
    return 'The balancer closes without an answer: a server closed the connection on which it had sent the request.';
  }

  /** From the client, at a balancer that forwards packets. */
  #atBalancer(packet: Packet): string | undefined {
    const { host, timeMs, flags } = packet;
    const before = this.#lastAt.get(host);
    this.#lastAt.set(host, timeMs);
    const copies = this.#sentTo.get(packetIdentity(packet));
    this.#sentTo.set(packetIdentity(packet), { count: (copies?.count ?? 0) + 1, timeMs });
    if ((flags & SYN) !== 0) return undefined;
    if (copies !== undefined) {
      if (packet.payloadLength === 0) return undefined;
      const again = `Sent again, ${tenths(timeMs - copies.timeMs)} after the one before: attempt ${copies.count + 1}`;
      return this.#scenario.balancer?.onMiss === 'drop'
        ? `${again}. The balancer drops it, as all before.`
        : `${again}.`;
    }
    const idleMs = this.#scenario.timeouts.balancer;
    if (before === undefined) {
      this.#forgottenForMs = 0;
      return `The first packet of this connection that this balancer sees, in the middle of it: it ${this.#answer()}.`;
    }
    if (timeMs - before <= idleMs) return undefined;
    this.#forgottenForMs = timeMs - before;
    const sinceMs = timeMs - before - idleMs;
    return (
      `The first packet after ${tenths(timeMs - before)} of silence. The balancer's idle timeout is ${span(idleMs)}, so it ` +
      `forgot this connection ${tenths(sinceMs)} ago; it ${this.#answer()}.`
    );
  }

  /** What this balancer does with a packet that it doesn't know. */
  #answer(): string {
    const { balancer } = this.#scenario;
    if (balancer?.onMiss === 'drop') return 'drops what it does not know';
    if (balancer?.mode === 'stateful') return 'admits nothing but a SYN, and answers RST';
    if (balancer?.scheduler === 'round-robin') return 'hands the packet to the backend that is next in turn';
    return 'hashes the packet again, to the same backend';
  }

  #reset(packet: Packet): string | undefined {
    const { host, timeMs } = packet;
    if (this.#balancers.includes(host) && this.#scenario.balancer !== null) {
      // What a backend sends passes it by (DSR): this is its own.
      const why =
        this.#forgottenForMs !== undefined && this.#forgottenForMs > 0
          ? `it forgot this connection ${tenths(this.#forgottenForMs - this.#scenario.timeouts.balancer)} ago`
          : `its table ${this.#lostTable()}`;
      return `The balancer itself sends this RST: ${why}, and only a SYN may open a new entry. The backend never hears of it.`;
    }
    if (!this.#backends.includes(host)) return undefined;
    const closedAt = this.#closedAt.get(host);
    if (closedAt !== undefined) {
      return `${host} answers RST: it had closed this connection ${tenths(timeMs - closedAt)} before the data came.`;
    }
    if (this.#answered.has(host)) {
      return `${host} sends this RST: it closed the connection at the very moment, with the request unread in its socket.`;
    }
    if (this.#opened.has(host)) return undefined;
    const owner = [...this.#opened].find((each) => this.#backends.includes(each));
    return `${host} sends this RST: it never saw this connection's handshake${owner === undefined ? '' : `, ${owner} did`}. The balancer sent the packet to a stranger.`;
  }

  #lostTable(): string {
    const { plot } = this.#scenario;
    const disaster = plot.kind === 'transfer' ? plot.disaster : null;
    if (disaster === 'restart') return 'was lost when it was killed and started again';
    return disaster === 'failover' ? 'never had this connection, which was that of the dead one' : 'does not know it';
  }

  /** A server's FIN is decisive where data comes after it. */
  #goodbye({ host, timeMs }: Packet): string | undefined {
    this.#closedAt.set(host, timeMs);
    const late = this.#packets.find(
      (packet) =>
        packet.host === host && packet.direction === 'in' && packet.payloadLength > 0 && packet.timeMs > timeMs,
    );
    if (late === undefined) return undefined;
    return `${host} closes: its idle timeout of ${span(this.#scenario.timeouts.server)} is over. A request that is already on its way arrives ${tenths(late.timeMs - timeMs)} later.`;
  }

  #tooLate(packet: Packet): string | undefined {
    const closedAt = this.#closedAt.get(packet.host);
    if (closedAt === undefined) return undefined;
    return `This request met the FIN on the way: ${packet.host} had closed ${tenths(packet.timeMs - closedAt)} before.`;
  }
}

/** A tenth of a millisecond is what a reader of captures wants; of longer times, a tenth of a second. */
function tenths(milliseconds: number): string {
  return milliseconds < 1000 ? `${milliseconds.toFixed(1)} ms` : `${(milliseconds / 1000).toFixed(1)} s`;
}
