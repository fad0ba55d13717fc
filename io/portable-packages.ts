/**
 * The two npm packages of the portable device, which are optional: both are C++ that the host's compiler builds. Loaded by
 * io/portable-device.ts, on the main thread: they know one event loop only, the process's (docs/decisions/0008-portable-device.md).
 */
import { createRequire } from 'node:module';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';

/** What is used of `cap`: a capture of libpcap, and frames that are sent as they are. */
export interface Capture {
  /**
   * Captures in promiscuous mode what passes the filter. Each packet is copied into `buffer`, to which nothing but the
   * caller refers, and announced before the next one is.
   */
  open(interfaceName: string, filter: string, kernelBufferBytes: number, buffer: Buffer): string;
  on(event: 'packet', listener: (length: number, truncated: boolean) => void): this;
  send(frame: Buffer, length: number): void;
  close(): boolean;
}

/** What is used of `raw-socket`: IP packets with their own header, sent by the kernel's routes. */
export interface RawSocket {
  /** The addon's own object sends at once or throws; the methods around it send one packet a turn of the event loop. */
  readonly wrap: {
    send(buffer: Buffer, offset: number, length: number, address: string, sent: () => void): void;
  };
  pauseRecv(): this;
  close(): this;
}

export interface PortablePackages {
  readonly cap: { readonly Cap: new () => Capture };
  readonly rawSocket: {
    readonly AddressFamily: { readonly IPv4: number; readonly IPv6: number };
    createSocket(options: { readonly protocol: number; readonly addressFamily: number }): RawSocket;
  };
}

/** Its line says what to do. */
export class PortableError extends Error {
  override readonly name = 'PortableError';
  readonly code: 'PACKAGES_MISSING' | 'CAPTURE_FAILED';

  constructor(code: PortableError['code'], message: string) {
    super(message);
    this.code = code;
  }
}

/** Above dist/io: hushlb's own, where npm looks for its packages. */
const DIRECTORY = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

/**
 * On Debian. Two steps of npm: `install` runs no script of a package that lies there unbuilt already, as after every `npm ci`
 * of ours, and `rebuild` brings none that was left out. Without NDEBUG `cap` aborts the process when its interface goes down.
 */
export const PORTABLE_INSTALL = {
  tools: 'apt-get install libpcap-dev g++ make python3',
  packages: `cd ${DIRECTORY} && npm install cap@0.2.1 raw-socket@1.8.1 && CXXFLAGS=-DNDEBUG npm rebuild --ignore-scripts=false cap raw-socket`,
} as const;

/** Throws PortableError PACKAGES_MISSING where one is not installed, or not built for this Node. */
export function loadPortablePackages(): PortablePackages {
  const require = createRequire(import.meta.url);
  try {
    return { cap: require('cap'), rawSocket: require('raw-socket') };
  } catch (error) {
    const [reason] = String((error as Error).message).split('\n');
    throw new PortableError(
      'PACKAGES_MISSING',
      `io: portable needs the npm packages cap and raw-socket (${reason}): \`${PORTABLE_INSTALL.tools}\`, then \`${PORTABLE_INSTALL.packages}\``,
    );
  }
}
