/** The simplest forwarder: every frame of the batch goes back where it came from. */
import { type PacketDevice, TRANSMIT } from '../../io/device.ts';

export function echoBatch({ batch, view, send }: PacketDevice): void {
  for (let i = 0; i < batch.count; i++) {
    swapMacs(view, batch.offset[i]!);
    batch.action[i] = TRANSMIT;
  }
  send();
}

export function swapMacs(view: DataView, offset: number): void {
  const [high, low] = [view.getUint16(offset), view.getUint32(offset + 2)];
  view.setUint32(offset, view.getUint32(offset + 6));
  view.setUint16(offset + 4, view.getUint16(offset + 10));
  view.setUint16(offset + 6, high);
  view.setUint32(offset + 8, low);
}
