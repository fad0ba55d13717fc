/**
 * VLAN tags (IEEE 802.1Q; two of them, QinQ: 802.1ad) around the walk: lb/arrivals.ts takes them off a frame that has one, so
 * that nothing behind it knows of tags, and lb/forwarder.ts puts them back on what leaves. The frame goes out on the VLAN that
 * it came from.
 *
 * ```
 *   in the frame    │ MACs │ tag │ tag │ type │ IP …
 *   to the walk            │ MACs      │ type │ IP …       the tags stand in `forwarder.tags`
 * ```
 */
// Hot path: no allocation, no throw, no closure, no await.
import { ETHERNET_HEADER_LENGTH, etherType } from '../wire/ethernet.ts';
import type { Forwarder } from './forwarder.ts';

const TAG = 0x8100;
const SERVICE_TAG = 0x88a8;
const TAG_LENGTH = 4;
/** Of both MACs, in front of the first tag. */
const TAGS_AT = 12;

/** True where frame `i` had one or two tags; its row then is that of the frame without them. A third is not looked for. */
export function takeTagsOff(forwarder: Forwarder, i: number): boolean {
  const { view, batch, tags, tagsLength } = forwarder;
  const offset = batch.offset[i];
  if (!isTag(etherType(view, offset)) || batch.length[i] < ETHERNET_HEADER_LENGTH + TAG_LENGTH) return false;
  let taken = TAG_LENGTH;
  tags[2 * i] = view.getInt32(offset + TAGS_AT, true);
  if (isTag(etherType(view, offset + TAG_LENGTH)) && batch.length[i] >= ETHERNET_HEADER_LENGTH + 2 * TAG_LENGTH) {
    taken += TAG_LENGTH;
    tags[2 * i + 1] = view.getInt32(offset + TAGS_AT + TAG_LENGTH, true);
  }
  moveMacs(view, offset, offset + taken);
  batch.offset[i] = offset + taken;
  batch.length[i] -= taken;
  tagsLength[i] = taken;
  forwarder.tagged++;
  return true;
}

/** Of all frames of the batch that had some, whatever became of them; to be called where `forwarder.tagged` is not 0. */
export function putTagsBack(forwarder: Forwarder): void {
  const { count } = forwarder.batch;
  for (let i = 0; i < count; i++) putTagsBackOn(forwarder, i);
  forwarder.tagged = 0;
}

/** Of one frame, before its batch ends: for a copy of the frame as it came. One without tags stays as it is. */
export function putTagsBackOn({ view, batch, tags, tagsLength }: Forwarder, i: number): void {
  const taken = tagsLength[i];
  if (taken === 0) return;
  const offset = batch.offset[i] - taken;
  moveMacs(view, batch.offset[i], offset);
  view.setInt32(offset + TAGS_AT, tags[2 * i], true);
  if (taken > TAG_LENGTH) view.setInt32(offset + TAGS_AT + TAG_LENGTH, tags[2 * i + 1], true);
  batch.offset[i] = offset;
  batch.length[i] += taken;
  tagsLength[i] = 0;
}

/** Row `to`, a piece of the packet of row `from`, leaves with the same tags. */
export function copyTags({ tags, tagsLength }: Forwarder, from: number, to: number): void {
  tags[2 * to] = tags[2 * from];
  tags[2 * to + 1] = tags[2 * from + 1];
  tagsLength[to] = tagsLength[from];
}

/** Where the IP header of the frame at `offset` begins, behind two tags at most; of a frame as it came, before `takeTagsOff`. */
export function startOfIp(view: DataView, offset: number, length: number): number {
  const end = offset + length - ETHERNET_HEADER_LENGTH - TAG_LENGTH;
  let at = offset;
  while (at < offset + 2 * TAG_LENGTH && at <= end && isTag(etherType(view, at))) at += TAG_LENGTH;
  return at + ETHERNET_HEADER_LENGTH;
}

function isTag(type: number): boolean {
  return type === TAG || type === SERVICE_TAG;
}

/** The places may overlap. */
function moveMacs(view: DataView, from: number, to: number): void {
  const word0 = view.getInt32(from, true);
  const word1 = view.getInt32(from + 4, true);
  const word2 = view.getInt32(from + 8, true);
  view.setInt32(to, word0, true);
  view.setInt32(to + 4, word1, true);
  view.setInt32(to + 8, word2, true);
}
