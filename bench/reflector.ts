/**
 * The limit that case `forwarding` compares with: the same AF_XDP device, each frame sent back with its MAC addresses
 * swapped and nothing else. Runs inside the balancer's namespace until SIGTERM.
 */
import { createAfXdpDevice } from '../io/af-xdp-device.ts';
import { TRANSMIT } from '../io/device.ts';
import { attachXdp, requireLink } from '../io/xdp.ts';
import { createSteering } from '../io/xdp-steering.ts';
import { ipv4Bytes, parseIpv4 } from '../wire/address.ts';
import {
  destinationMacHigh,
  destinationMacLow,
  setDestinationMac,
  setSourceMac,
  sourceMacHigh,
  sourceMacLow,
} from '../wire/ethernet.ts';
import { PROTOCOL_TCP } from '../wire/ipv4.ts';
import { PORT, VIP } from './balancer.ts';

const link = requireLink('eth0');
const steering = createSteering({ queueCount: 1 });
steering.setServices([{ address: ipv4Bytes(parseIpv4(VIP) ?? 0), protocol: PROTOCOL_TCP, port: PORT }]);
const device = createAfXdpDevice({ interfaceIndex: link.index, queue: 0, socketMapFd: steering.socketMapFd });
attachXdp({ programFd: steering.programFd, interfaceIndex: link.index, mode: 'native' });
process.stdout.write('ready\n');

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
