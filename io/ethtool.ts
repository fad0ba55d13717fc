/**
 * The offloads of an interface that matter to a balancer, without the ethtool program.
 *
 * veth hands over TCP segments with unfinished checksums and packets of up to 64 KiB. The receiver's own stack knows
 * that, XDP and AF_XDP do not: what they forward is dropped further on. The lab turns `txChecksum` off on every sending
 * host; checks of a user's host read the state. Through SIOCETHTOOL and the one-feature commands of linux/ethtool.h, in
 * the network namespace of the calling thread.
 */
import { closeDescriptor, errno, ioctl, mapAnonymous, openSocket, SystemCallError } from './ffi.ts';

const AF_INET = 2;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;
const SIOCETHTOOL = 0x8946;
const IFNAMSIZ = 16;

export interface Offloads {
  /** The card finishes the checksums of sent packets. Turning it off turns tso off too. */
  readonly txChecksum: boolean;
  /** The card cuts large TCP segments. */
  readonly tso: boolean;
  /** The kernel cuts them just before the card. */
  readonly gso: boolean;
  /** The kernel merges received segments. */
  readonly gro: boolean;
}

/** ETHTOOL_G… and ETHTOOL_S…, in the order in which they can be turned on: tso needs txChecksum. */
const COMMANDS = [
  ['txChecksum', 0x16, 0x17],
  ['tso', 0x1e, 0x1f],
  ['gso', 0x23, 0x24],
  ['gro', 0x2b, 0x2c],
] as const;

/**
 * Opens the way to SIOCETHTOOL for `work`: `words` is the command's structure in 32-bit words, `call` hands it to the
 * kernel, which answers in place. Throws SystemCallError with the interface's name.
 */
function ethtool<T>(interfaceName: string, wordCount: number, work: (words: Uint32Array, call: () => void) => T): T {
  if (Buffer.byteLength(interfaceName) >= IFNAMSIZ) {
    throw new SystemCallError('ethtool', errno.ENODEV, `interface ${interfaceName}`);
  }
  const fd = openSocket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  // struct ifreq { char name[16]; void *data; … }
  const memory = mapAnonymous(wordCount * 4);
  const request = Buffer.alloc(40);
  request.write(interfaceName);
  request.writeBigUInt64LE(memory.address, IFNAMSIZ);
  try {
    return work(new Uint32Array(memory.buffer), () => ioctl(fd, SIOCETHTOOL, request));
  } catch (error) {
    if (!(error instanceof SystemCallError)) throw error;
    throw new SystemCallError('ethtool', error.errno, `interface ${interfaceName}`);
  } finally {
    memory.unmap();
    closeDescriptor(fd);
  }
}

/** Carries out one command for each `[command, value]` (struct ethtool_value) and returns the values left behind. */
function exchangeValues(interfaceName: string, commands: readonly (readonly [number, number])[]): number[] {
  return ethtool(interfaceName, 2, (words, call) =>
    commands.map(([command, value]) => {
      words[0] = command;
      words[1] = value;
      call();
      return words[1];
    }),
  );
}

const ETHTOOL_GCHANNELS = 0x3c;

/**
 * Receive queues in use: fewer than the driver has allocated (readLink's rxQueues), and each wants its own AF_XDP socket.
 * Undefined where the driver doesn't tell. Throws SystemCallError: ENODEV when there is no such interface.
 */
export function readReceiveQueues(interfaceName: string): number | undefined {
  try {
    // struct ethtool_channels { cmd, max_rx, max_tx, max_other, max_combined, rx_count, tx_count, other, combined }
    return ethtool(interfaceName, 9, (words, call) => {
      words[0] = ETHTOOL_GCHANNELS;
      call();
      return words[5] + words[8] || undefined;
    });
  } catch (error) {
    if (error instanceof SystemCallError && error.errno === errno.EOPNOTSUPP) return undefined;
    throw error;
  }
}

const ETHTOOL_GDRVINFO = 0x3;

/** The driver's name, for people; undefined where it doesn't tell. Throws SystemCallError: ENODEV without the interface. */
export function readDriver(interfaceName: string): string | undefined {
  try {
    // struct ethtool_drvinfo { u32 cmd; char driver[32]; … }, 196 bytes
    return ethtool(interfaceName, 49, (words, call) => {
      words[0] = ETHTOOL_GDRVINFO;
      call();
      const name = Buffer.from(words.buffer, 4, 32).toString('latin1');
      return name.slice(0, name.indexOf('\0')) || undefined;
    });
  } catch (error) {
    if (error instanceof SystemCallError && error.errno === errno.EOPNOTSUPP) return undefined;
    throw error;
  }
}

/** What is in effect now. Throws SystemCallError: ENODEV when there is no such interface. */
export function readOffloads(interfaceName: string): Offloads {
  const values = exchangeValues(
    interfaceName,
    COMMANDS.map(([, get]) => [get, 0]),
  );
  return Object.fromEntries(COMMANDS.map(([name], i) => [name, values[i] !== 0])) as unknown as Offloads;
}

/**
 * Turns offloads on or off; those that are not named stay. The kernel accepts some wishes without granting them (tso
 * while txChecksum is off): readOffloads tells. Throws SystemCallError: ENODEV when there is no such interface, EPERM
 * without CAP_NET_ADMIN, ENOTSUP when the driver cannot change the offload.
 */
export function setOffloads(interfaceName: string, wanted: Partial<Offloads>): void {
  const commands = COMMANDS.flatMap(([name, , set]) =>
    wanted[name] === undefined ? [] : [[set, Number(wanted[name])] as const],
  );
  exchangeValues(interfaceName, commands);
}
