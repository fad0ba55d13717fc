/**
 * A subject of case `forwarding`: hushlb's AF_XDP device, each frame sent back with its MAC addresses swapped and nothing else:
 * what the balancer could reach if its decisions were free. Runs inside its namespace until SIGTERM; prints `ready PID`.
 */
import { createAfXdpDevice } from '../../io/af-xdp-device.ts';
import { TRANSMIT } from '../../io/device.ts';
import {
  destinationMacHigh,
  destinationMacLow,
  setDestinationMac,
  setSourceMac,
  sourceMacHigh,
  sourceMacLow,
} from '../../wire/ethernet.ts';
import { steerService } from './steer.ts';

const { link, socketMapFd, attach } = steerService();
const device = createAfXdpDevice({ interfaceIndex: link.index, queues: [0], socketMapFd });
attach();
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
