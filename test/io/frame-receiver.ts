/**
 * The far end of a veth pair: every frame that comes, as it is, by AF_XDP. (A packet socket would have lost its tags.) Not a
 * test.
 */
import { createAfXdpDevice } from '../../io/af-xdp-device.ts';
import { createMap, loadProgram, REDIRECT_MAP, XDP_MD_RX_QUEUE_INDEX, XDP_PASS } from '../../io/bpf.ts';
import { alu, assemble, call, exit, load, loadMap } from '../../io/bpf-assembler.ts';
import { closeDescriptor } from '../../io/ffi.ts';
import { inNamespace } from '../../io/namespace.ts';
import { attachXdp, requireLink } from '../../io/xdp.ts';

export interface FrameReceiver {
  /** What has come to a single host, tags and all; none where nothing comes within `timeoutMs`. */
  receive(timeoutMs: number): Buffer[];
  close(): void;
}

export function openFrameReceiver(namespace: string, interfaceName: string): FrameReceiver {
  const socketMapFd = createMap({ name: 'test_sockets', type: 'xskmap', keySize: 4, valueSize: 4, entries: 1 });
  const program = [
    load('u32', 'r2', 'r1', XDP_MD_RX_QUEUE_INDEX),
    loadMap('r1', socketMapFd),
    alu('r3', '=', XDP_PASS),
    call(REDIRECT_MAP),
    exit(),
  ];
  const programFd = loadProgram('test_receive', assemble(program));
  const [device, attachment] = inNamespace(namespace, () => {
    const interfaceIndex = requireLink(interfaceName).index;
    return [
      createAfXdpDevice({ interfaceIndex, queues: [0], socketMapFd }),
      attachXdp({ programFd, interfaceIndex, mode: 'native' }),
    ] as const;
  });
  return {
    receive(timeoutMs) {
      for (const end = performance.now() + timeoutMs; ; ) {
        const count = device.receive(Math.max(0, end - performance.now()));
        const { view, batch } = device;
        const frames = Array.from({ length: count }, (_, i) =>
          Buffer.copyBytesFrom(new Uint8Array(view.buffer, view.byteOffset + batch.offset[i]!, batch.length[i])),
        ).filter((frame) => !isNoise(frame));
        if (frames.length > 0 || performance.now() >= end) return frames;
      }
    },
    close() {
      attachment.detach();
      device.close();
      closeDescriptor(programFd);
      closeDescriptor(socketMapFd);
    },
  };
}

/** What the hosts themselves have to say: ARP, and IPv6 to groups. */
function isNoise(frame: Buffer): boolean {
  return (frame[0]! & 1) === 1 || frame.readUInt16BE(12) === 0x0806;
}
