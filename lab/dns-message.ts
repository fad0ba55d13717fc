/**
 * The little of DNS that the lab speaks (RFC 1035, section 4): a question for a TXT record, and the text of its answer.
 * lab/dns-client.ts asks, lab/packets.ts names captured messages.
 */

const HEADER_LENGTH = 12;
const [TYPE_TXT, CLASS_IN] = [16, 1];
const RECURSION_DESIRED = 0x0100;
const RESPONSE = 0x8000;

/** The name that every DNS server of the lab answers with its own. */
export const WHO = 'who.lab';

export function buildQuestion(id: number, name: string): Buffer {
  const header = Buffer.alloc(HEADER_LENGTH);
  header.writeUInt16BE(id, 0);
  header.writeUInt16BE(RECURSION_DESIRED, 2);
  header.writeUInt16BE(1, 4);
  const labels = name.split('.').flatMap((label) => [label.length, ...Buffer.from(label, 'latin1')]);
  return Buffer.concat([header, Buffer.from([...labels, 0, 0, TYPE_TXT, 0, CLASS_IN])]);
}

export interface DnsAnswer {
  readonly id: number;
  /** Of the first TXT record; null where there is none. */
  readonly text: string | null;
}

/** Undefined for what is no answer to one question, or is cut. */
export function readAnswer(message: Buffer): DnsAnswer | undefined {
  if (message.length < HEADER_LENGTH || (message.readUInt16BE(2) & RESPONSE) === 0) return undefined;
  const id = message.readUInt16BE(0);
  if (message.readUInt16BE(4) !== 1) return undefined;
  let at = behindName(message, HEADER_LENGTH) + 4;
  for (let left = message.readUInt16BE(6); left > 0; left--) {
    const record = behindName(message, at);
    if (record + 10 > message.length) return undefined;
    const data = record + 10;
    const length = message.readUInt16BE(record + 8);
    if (data + length > message.length) return undefined;
    if (message.readUInt16BE(record) === TYPE_TXT && length > 0) {
      const end = Math.min(data + length, data + 1 + message[data]);
      return { id, text: message.toString('latin1', data + 1, end) };
    }
    at = data + length;
  }
  return { id, text: null };
}

/** The offset behind a name: labels, up to the empty one or a pointer (RFC 1035, 4.1.4); behind the message where it is cut. */
function behindName(message: Buffer, offset: number): number {
  let at = offset;
  while (at < message.length) {
    const length = message[at];
    if (length === 0) return at + 1;
    if (length >= 0xc0) return at + 2;
    at += 1 + length;
  }
  return message.length + 1;
}

/** 'query 4711' or 'answer 4711', by the first four bytes of a message; undefined where they are not there. */
export function describeMessage(view: DataView, offset: number): string | undefined {
  if (offset + 4 > view.byteLength) return undefined;
  const kind = (view.getUint16(offset + 2) & RESPONSE) === 0 ? 'query' : 'answer';
  return `${kind} ${view.getUint16(offset)}`;
}
