/**
 * The portable device: libpcap captures, a raw socket sends, and no program of ours runs in the kernel. It is the one to read
 * first, and the one for hosts that allow no BPF. lb/portable-worker.ts drives it, on the main thread: both packages know
 * no other event loop, so frames are announced (`onFrames`) and `receive` never waits.
 *
 * ```
 *   libpcap ─► filter: to a VIP, for this host ─► copied into the batch ─► onFrames: receive, walk, send
 *                                                                                                   │
 *   IP packet for a backend or a client ◄── raw-socket, by the kernel's routes ◄──────────────────────┤
 *   frame whose MAC says where it goes  ◄── cap, as it is ◄───────────────────────────────────────────┘
 * ```
 *
 * What it captures are copies: io/tap-guard.ts keeps the kernel from answering the originals. Unlike the other devices it
 * allocates for each packet, and so do the packages.
 */
import { createFrameBatch, PASS, type PacketDevice, RELEASE, TRANSMIT } from './device.ts';
import { errno, SystemCallError } from './ffi.ts';
import { openInterfaceSentinel } from './interface-sentinel.ts';
import { readLink } from './links.ts';
import { type Capture, loadPortablePackages, PortableError, type RawSocket } from './portable-packages.ts';
import type { SteeredService, SteeringCounters } from './service-map.ts';
import { requireLink } from './xdp.ts';

/** A row of the batch has a slot of its own: room for outer headers, then the frame. */
const SLOT_SIZE = 2048;
const HEADROOM = 128;
const MAX_FRAME = SLOT_SIZE - HEADROOM;

/** Of libpcap, in the kernel: 500 packets where the interface merges segments (64 KiB each), 16,000 where it does not. */
const CAPTURE_BUFFER = 32 * 1024 * 1024;

/** `cap` hands over packets as long as there are any; after this long others get their turn: timers, signals, reloads. */
const LONGEST_TURN_MS = 1000;

/** A raw socket of this protocol sends packets that have their IP header, of both families, and receives nothing. */
const IPPROTO_RAW = 255;

const ETHERNET_HEADER_LENGTH = 14;
const ETHERTYPE_AT = 12;
const ETHERTYPE_IPV4 = 0x0800;
const ETHERTYPE_IPV6 = 0x86dd;
/** Of the destination address, from the start of the frame. */
const IPV4_DESTINATION_AT = ETHERNET_HEADER_LENGTH + 16;
const IPV6_DESTINATION_AT = ETHERNET_HEADER_LENGTH + 24;

export interface PortableOptions {
  readonly interfaceIndex: number;
  /** Frames wait: to be received, forwarded and sent before it returns. */
  onFrames(): void;
  readonly batchSize?: number;
}

export interface PortableStatistics {
  /** Frames that are longer than a slot: merged segments (GRO, GSO), or an MTU beyond 1900. */
  readonly rxTooLong: number;
  /** TRANSMIT frames that the kernel refused: no route, longer than the MTU, the queue was full. */
  readonly txDropped: number;
}

export interface PortableDevice extends PacketDevice {
  /** Captures what is for the interface's MAC and the VIPs of these services from now on; nothing before the first call. */
  setServices(services: readonly Pick<SteeredService, 'address'>[]): void;
  /** A packet that the forwarder passes was for another port: the kernel has its own copy. */
  counters(): SteeringCounters;
  statistics(): PortableStatistics;
}

/**
 * Captures that were closed. A poll handle of theirs stays in libuv's list for good (`cap` stops it and does not close it),
 * so their memory must too: half a kilobyte each. Of one that did not open `cap` would stop a handle that it never made.
 */
const closedCaptures: Capture[] = [];

/**
 * A capture ends when its interface goes down; the device opens another when that is up again. Throws PortableError with what
 * to install, or SystemCallError: EPERM without the privilege, ENODEV without the interface, and from `receive` ENXIO when that
 * was deleted: one that comes in its place wants a device of its own.
 */
export function createPortableDevice(options: PortableOptions): PortableDevice {
  const { interfaceIndex, onFrames, batchSize = 64 } = options;
  const { name } = requireLink(interfaceIndex);
  const { cap, rawSocket } = loadPortablePackages();
  // First, because the packages' own errors are sentences without a code.
  const sentinel = openInterfaceSentinel(interfaceIndex);
  const { IPv4, IPv6 } = rawSocket.AddressFamily;
  const openRaw = (addressFamily: number): RawSocket =>
    rawSocket.createSocket({ protocol: IPPROTO_RAW, addressFamily }).pauseRecv();
  const ipv4Socket = openRaw(IPv4);
  const ipv6Socket = openRawOrNot(() => openRaw(IPv6));

  const memory = Buffer.alloc(batchSize * SLOT_SIZE);
  const batch = createFrameBatch(batchSize);
  const { offset, length, action } = batch;
  /** Where `cap` copies each packet to. */
  const arrival = Buffer.alloc(MAX_FRAME);
  let capture: Capture | undefined;
  let vips = new Set<string>();
  /** Which its filter asks for. */
  let capturedMac = '';
  /** There is to be a capture as soon as the interface is up. */
  let isDown = false;

  let closed = false;
  let failure: unknown;

  let taken = 0;
  let passed = 0;
  let rxTooLong = 0;
  let txDropped = 0;

  /** When frames began to be handed over, in this turn of the event loop; undefined before. */
  let turnBegan: number | undefined;

  function takePacket(packetLength: number, truncated: boolean): void {
    if (turnBegan === undefined) {
      turnBegan = performance.now();
      setImmediate(endTurn);
    } else if (performance.now() - turnBegan > LONGEST_TURN_MS) {
      reopenCapture();
    }
    if (truncated) {
      rxTooLong++;
      return;
    }
    if (batch.count === batchSize) onFrames();
    taken++;
    const row = appendRow(packetLength, RELEASE);
    arrival.copy(memory, offset[row], 0, packetLength);
  }

  function endTurn(): void {
    turnBegan = undefined;
    if (!closed && batch.count > 0) onFrames();
  }

  function appendRow(frameLength: number, itsAction: number): number {
    const row = batch.count++;
    offset[row] = row * SLOT_SIZE + HEADROOM;
    length[row] = frameLength;
    action[row] = itsAction;
    return row;
  }

  /** In place of the one there is, whose packets that nobody has taken yet are lost. Later, where the interface is down. */
  function openCapture(): void {
    const next = new cap.Cap();
    next.on('packet', (packetLength, truncated) => {
      if (next === capture) takePacket(packetLength, truncated);
    });
    const hosts = [...vips].map((vip) => `${vip.includes(':') ? 'ip6' : 'ip'} dst host ${vip}`).join(' or ');
    const mac = macOf(interfaceIndex);
    try {
      // It is promiscuous, and would see what is for other hosts too. `inbound` would lose the first packet: libpcap itself
      // looks at that one, behind the kernel, where nobody knows any more which way it went.
      next.open(
        name,
        `ether dst ${mac} and (${hosts} or (vlan and (${hosts} or (vlan and (${hosts})))))`,
        CAPTURE_BUFFER,
        arrival,
      );
    } catch (error) {
      closedCaptures.push(next);
      isDown = !isUp();
      if (!isDown) throw new PortableError('CAPTURE_FAILED', `capture on ${name}: ${(error as Error).message}`);
      closeCapture();
      return;
    }
    isDown = false;
    closeCapture();
    capture = next;
    capturedMac = mac;
  }

  function isUp(): boolean {
    return readLink(interfaceIndex)?.up === true;
  }

  function followInterface(): void {
    if (sentinel.wentDown() && capture !== undefined) {
      closeCapture();
      isDown = true;
    }
    if (!isDown) return;
    if (sentinel.isGone()) throw new SystemCallError(`capture on ${name}`, errno.ENXIO, 'the interface was deleted');
    if (isUp()) reopenCapture();
  }

  /** On behalf of nobody who could be told: the next `receive` throws what goes wrong. */
  function reopenCapture(): void {
    try {
      openCapture();
    } catch (error) {
      failure = error;
      closeCapture();
    }
  }

  function closeCapture(): void {
    if (capture === undefined) return;
    capture.close();
    closedCaptures.push(capture);
    capture = undefined;
  }

  function transmit(frame: number, frameLength: number): void {
    const type = memory.readUInt16BE(frame + ETHERTYPE_AT);
    const isIpv6 = type === ETHERTYPE_IPV6;
    const destination = isIpv6
      ? ipv6Text(memory, frame + IPV6_DESTINATION_AT)
      : ipv4Text(memory, frame + IPV4_DESTINATION_AT);
    // Packets to a VIP go where their MAC says (encap l2), tagged ones where the tag does: routes know of neither.
    const isRouted = (isIpv6 || type === ETHERTYPE_IPV4) && !vips.has(destination);
    try {
      if (isRouted) {
        const socket = isIpv6 ? ipv6Socket : ipv4Socket;
        if (socket === undefined) throw new Error('this host has no IPv6');
        const packetLength = frameLength - ETHERNET_HEADER_LENGTH;
        socket.wrap.send(memory, frame + ETHERNET_HEADER_LENGTH, packetLength, destination, () => {});
      } else {
        if (capture === undefined) throw new Error('nothing is captured');
        capture.send(memory.subarray(frame, frame + frameLength), frameLength);
      }
    } catch {
      txDropped++;
    }
  }

  return {
    name: 'portable',
    view: new DataView(memory.buffer, memory.byteOffset, memory.byteLength),
    batch,
    headroom: HEADROOM,
    receive() {
      followInterface();
      if (failure !== undefined) throw failure;
      return batch.count;
    },
    send() {
      for (let i = 0; i < batch.count; i++) {
        if (action[i] === TRANSMIT) transmit(offset[i], length[i]);
        else if (action[i] === PASS) passed++;
      }
      batch.count = 0;
    },
    append(frameLength) {
      return batch.count === batchSize || frameLength > MAX_FRAME ? -1 : appendRow(frameLength, TRANSMIT);
    },
    setServices(services) {
      const wanted = services.map(({ address }) =>
        address.length === 4 ? ipv4Text(address, 0) : ipv6Text(address, 0),
      );
      const isSame = vips.size === new Set(wanted).size && wanted.every((vip) => vips.has(vip));
      if (capture !== undefined && isSame && capturedMac === macOf(interfaceIndex)) return;
      vips = new Set(wanted);
      isDown = vips.size > 0 && !isUp();
      if (vips.size === 0 || isDown) closeCapture();
      else openCapture();
    },
    counters: () => ({ toSocket: taken - passed, otherPort: passed, noSocket: 0 }),
    statistics: () => ({ rxTooLong, txDropped }),
    close() {
      if (closed) return;
      closed = true;
      closeCapture();
      batch.count = 0;
      ipv4Socket.close();
      ipv6Socket?.close();
      sentinel.close();
    },
  };
}

/** As libpcap's filters write it. */
function macOf(interfaceIndex: number): string {
  return Array.from(readLink(interfaceIndex)?.mac ?? [], (byte) => byte.toString(16).padStart(2, '0')).join(':');
}

/** Undefined on a host without IPv6. */
function openRawOrNot(open: () => RawSocket): RawSocket | undefined {
  try {
    return open();
  } catch {
    return undefined;
  }
}

function ipv4Text(bytes: Uint8Array, at: number): string {
  return `${bytes[at]}.${bytes[at + 1]}.${bytes[at + 2]}.${bytes[at + 3]}`;
}

/** All eight groups: the same text for the same address, which is all that it is compared for. */
function ipv6Text(bytes: Uint8Array, at: number): string {
  const groups = Array.from({ length: 8 }, (_, i) => (bytes[at + 2 * i] << 8) | bytes[at + 2 * i + 1]);
  return groups.map((group) => group.toString(16)).join(':');
}
