/** Questions and answers of DNS laid out byte by byte from RFC 1035, section 4.1, and answers of any bytes. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { buildQuestion, describeMessage, readAnswer } from '../../lab/dns-message.ts';

const bytes = (...hex: string[]) => Buffer.from(hex.join('').replaceAll(' ', ''), 'hex');

// who.lab, TXT, IN.
const QUESTION = '03 77686f 03 6c6162 00 0010 0001';
/** Answered by a pointer to the question's name, with a TTL of 0. */
const txt = (data: string) => `c00c 0010 0001 00000000 ${(data.length / 2).toString(16).padStart(4, '0')} ${data}`;
const B2 = txt('026232');

describe('messages of DNS', () => {
  it('asks for a TXT record', () => {
    assert.deepEqual(buildQuestion(0x1234, 'who.lab'), bytes('1234 0100 0001 0000 0000 0000', QUESTION));
  });

  it('reads who answered', () => {
    assert.deepEqual(readAnswer(bytes('1234 8580 0001 0001 0000 0000', QUESTION, B2)), { id: 0x1234, text: 'b2' });
    // Behind a CNAME, which has a name written out.
    const alias = `${QUESTION.slice(0, -10)} 0005 0001 00000000 0002 c00c`;
    assert.deepEqual(readAnswer(bytes('0007 8580 0001 0002 0000 0000', QUESTION, alias, B2)), { id: 7, text: 'b2' });
    assert.deepEqual(readAnswer(bytes('0007 8583 0001 0000 0000 0000', QUESTION)), { id: 7, text: null });
  });

  it('takes nothing else for an answer', () => {
    const cut = [
      '1234',
      '1234 0100 0001 0000 0000 0000',
      '1234 8580 0000 0001 0000 0000',
      `1234 8580 0001 0001 0000 0000 ${QUESTION}`,
      `1234 8580 0001 0001 0000 0000 ${QUESTION} ${B2.slice(0, -4)}`,
    ];
    for (const message of cut) assert.equal(readAnswer(bytes(message)), undefined, message);
    const answer = bytes('1234 8580 0001 0001 0000 0000', QUESTION);
    fc.assert(fc.property(fc.uint8Array(), (rest) => void readAnswer(Buffer.concat([answer, rest]))));
    fc.assert(fc.property(fc.uint8Array(), (all) => void readAnswer(Buffer.from(all))));
  });

  it('names a message by its first bytes', () => {
    const named = (hex: string) => describeMessage(new DataView(Uint8Array.from(bytes(hex)).buffer), 0);
    assert.equal(named('1267 0100'), 'query 4711');
    assert.equal(named('1267 8583'), 'answer 4711');
    assert.equal(named('1267 85'), undefined);
  });
});
