/** Answers to a check's request as bytes, whole and in parts. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { judgeAnswer } from '../../health/http-answer.ts';

const ENDLESS = 65_537;
const rows: readonly (readonly [
  name: string,
  bytes: string,
  reasons: readonly [now: string | null, ended: string],
  body?: string,
])[] = [
  ['nothing yet', '', [null, 'connection ended before the answer']],
  ['half a status line', 'HTTP/1.1 20', [null, 'connection ended before the answer']],
  ['the head is not over', 'HTTP/1.1 200 OK\r\nServer: x\r\n', [null, 'connection ended before the answer']],
  ['the head', 'HTTP/1.1 200 OK\r\nServer: x\r\n\r\n', ['ok status 200', 'ok status 200']],
  ['no reason phrase', 'HTTP/1.0 204\r\n\r\n', ['ok status 204', 'ok status 204']],
  [
    'hints before the answer',
    'HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n',
    [null, 'connection ended before the answer'],
  ],
  [
    'hints and the answer',
    'HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\n\r\n',
    ['ok status 200', 'ok status 200'],
  ],
  ['503', 'HTTP/1.1 503 No\r\n\r\n', ['status 503, expected 200-399', 'status 503, expected 200-399']],
  ['another protocol', 'SSH-2.0-x\r\n', ['no HTTP answer', 'no HTTP answer']],
  ['another version', 'HTTP/2 200\r\n\r\n', ['no HTTP answer', 'no HTTP answer']],
  ['no status', 'HTTP/1.1 OK\r\n\r\n', ['no HTTP answer', 'no HTTP answer']],
  [
    'headers without end',
    `HTTP/1.1 200 OK\r\nx: ${'y'.repeat(ENDLESS)}`,
    ['endless headers', 'connection ended before the answer'],
  ],
  ['the text', 'HTTP/1.1 200 OK\r\n\r\nall is fine', ['ok status 200', 'ok status 200'], 'fine'],
  ['the text, in UTF-8', 'HTTP/1.1 200 OK\r\n\r\nall is süß', ['ok status 200', 'ok status 200'], 'süß'],
  [
    'a text only in a header',
    'HTTP/1.1 200 OK\r\nfine: x\r\n\r\n',
    [null, 'status 200, but no "fine" in the body'],
    'fine',
  ],
  [
    'another text, and its length says that this is all',
    'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nwell',
    ['status 200, but no "fine" in the body', 'status 200, but no "fine" in the body'],
    'fine',
  ],
  [
    'the text comes later',
    'HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nwell',
    [null, 'status 200, but no "fine" in the body'],
    'fine',
  ],
  [
    'the text comes after 64 KiB',
    `HTTP/1.1 200 OK\r\n\r\n${' '.repeat(65_533)}fine`,
    ['status 200, but no "fine" in the body', 'status 200, but no "fine" in the body'],
    'fine',
  ],
  [
    'the text ends with the 64 KiB',
    `HTTP/1.1 200 OK\r\n\r\n${' '.repeat(65_532)}fine`,
    ['ok status 200', 'ok status 200'],
    'fine',
  ],
];

for (const [name, text, [now, whenEnded], body = null] of rows) {
  test(name, () => {
    const expectation = { method: 'GET', path: '/', host: null, status: { first: 200, last: 399 }, body };
    const judged = (ended: boolean): string | null => {
      const result = judgeAnswer(Buffer.from(text), ended, expectation);
      return result === undefined ? null : `${result.ok ? 'ok ' : ''}${result.reason}`;
    };
    assert.deepEqual([judged(false), judged(true)], [now, whenEnded]);
  });
}
