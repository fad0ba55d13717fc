/**
 * The two npm packages of the portable device, which are optional: both are C++ that the host's compiler builds. Loaded by
 * io/portable-device.ts, on the main thread: they know one event loop only, the process's (docs/decisions/0008-portable-device.md).
 */
import { createRequire } from 'node:module';

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

const INSTALL =
  'install libpcap-dev, g++, make and python3, then `CXXFLAGS=-DNDEBUG npm install --ignore-scripts=false cap@0.2.1 raw-socket@1.8.1` beside hushlb';

/** Throws PortableError PACKAGES_MISSING where one is not installed, or not built for this Node. */
export function loadPortablePackages(): PortablePackages {
  const require = createRequire(import.meta.url);
  try {
    return { cap: require('cap'), rawSocket: require('raw-socket') };
  } catch (error) {
    const [reason] = String((error as Error).message).split('\n');
    throw new PortableError(
      'PACKAGES_MISSING',
      `io: portable needs the npm packages cap and raw-socket (${reason}): ${INSTALL}`,
    );
  }
}
