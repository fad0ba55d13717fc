/**
 * Two subjects of case `forwarding`: hushlb's AF_XDP device, or its AF_PACKET device, each frame sent back with its MAC addresses
 * swapped and nothing else: what the balancer could reach if its decisions were free. Argument: `af-xdp` or `af-packet`. Runs
 * inside its namespace until SIGTERM; prints `ready PID`.
 */
import { createAfPacketDevice } from '../../io/af-packet-device.ts';
import { createAfXdpDevice } from '../../io/af-xdp-device.ts';
import { type PacketDevice, TRANSMIT } from '../../io/device.ts';
import {
  destinationMacHigh,
  destinationMacLow,
  setDestinationMac,
  setSourceMac,
  sourceMacHigh,
  sourceMacLow,
} from '../../wire/ethernet.ts';
import { steerService, tapService } from './steer.ts';

async function openDevice(io: string): Promise<PacketDevice> {
  if (io === 'af-packet') {
    const { link, filterFd } = await tapService();
    return createAfPacketDevice({ interfaceIndex: link.index, filterFd });
  }
  const { link, socketMapFd, attach } = steerService();
  const device = createAfXdpDevice({ interfaceIndex: link.index, queues: [0], socketMapFd });
  attach();
  return device;
}

const device = await openDevice(process.argv[2]);
process.stdout.write(`ready ${process.pid}\n`);

const { view, batch } = device;
setImmediate(function turn() {
  // A while of batches, then one look at the event loop, where SIGTERM waits.
  const end = performance.now() + 100;
  while (performance.now() < end) {
    const count = device.receive(50);
    for (let i = 0; i < count; i++) {
      const offset = batch.offset[i];
      const low = sourceMacLow(view, offset);
      const high = sourceMacHigh(view, offset);
      setSourceMac(view, offset, destinationMacLow(view, offset), destinationMacHigh(view, offset));
      setDestinationMac(view, offset, low, high);
      batch.action[i] = TRANSMIT;
    }
    if (count > 0) device.send();
  }
  setImmediate(turn);
});
