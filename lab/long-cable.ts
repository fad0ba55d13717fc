/**
 * A program of the lab, run on a host between two others: hands every frame from one of its two interfaces to the other,
 * some milliseconds later, as a long cable would. The race between a request and a server's FIN needs distance: on a
 * cable without delay both ends learn within microseconds what the other did. (The kernel's netem is not built in
 * everywhere.) lab/plots.ts starts it.
 *
 *     node long-cable.js --near near --far far --delay 5
 */
import { parseArgs } from 'node:util';
import { openCapture } from '../io/capture.ts';
import { bindSocket, openSocket, sendto } from '../io/ffi.ts';
import { readLink } from '../io/links.ts';

const AF_PACKET = 17;
const SOCK_RAW_CLOEXEC = 3 | 0o2000000;
/** A whole Ethernet frame; the lab's hosts send no larger ones. */
const FRAME_LENGTH = 1600;
const POLL_MS = 1;

const { values } = parseArgs({
  options: {
    near: { type: 'string', default: 'near' },
    far: { type: 'string', default: 'far' },
    delay: { type: 'string', default: '5' },
  },
});

function linkIndex(name: string): number {
  const link = readLink(name);
  if (link === undefined) throw new Error(`no interface ${name}`);
  return link.index;
}

/** A socket that sends on one interface and, of protocol 0, receives nothing. */
function openSender(index: number): number {
  const fd = openSocket(AF_PACKET, SOCK_RAW_CLOEXEC, 0);
  // struct sockaddr_ll {u16 family; be16 protocol; s32 ifindex; …}
  const address = Buffer.alloc(20);
  address.writeUInt16LE(AF_PACKET, 0);
  address.writeInt32LE(index, 4);
  bindSocket(fd, address);
  return fd;
}

/** Frames that came in at `from` leave at `to`, in their order, `delayMs` after the kernel saw them. */
function carry(from: string, to: string, delayMs: number): () => void {
  const capture = openCapture({ interface: linkIndex(from), snapLength: FRAME_LENGTH, frameCount: 2048 });
  const sender = openSender(linkIndex(to));
  const onTheWay: { readonly bytes: Uint8Array; readonly dueMs: number }[] = [];
  return () => {
    capture.read(({ bytes, timestampNs, outgoing }) => {
      if (!outgoing) onTheWay.push({ bytes, dueMs: Number(timestampNs / 1000n) / 1000 + delayMs });
    });
    const nowMs = Date.now();
    while (onTheWay.length > 0 && onTheWay[0].dueMs <= nowMs) {
      const { bytes } = onTheWay.shift() as { bytes: Uint8Array };
      // A frame that cannot be sent is lost, as on any cable; TCP sends again.
      sendto(sender, bytes, bytes.byteLength, 0, null, 0);
    }
  };
}

const delayMs = Number(values.delay);
const ways = [carry(values.near, values.far, delayMs), carry(values.far, values.near, delayMs)];
setInterval(() => {
  for (const step of ways) step();
}, POLL_MS);
process.stdout.write('ready\n');
