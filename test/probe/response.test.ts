/**
 * When a response is over. Expected from RFC 9112, section 6.3 (how long a body is) and 7.1 (chunks).
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ResponseReader } from '../../probe/response.ts';

type End = 'done' | 'more' | 'until-end' | 'bad';

const ROWS: [what: string, method: string, bytes: string, end: End][] = [
  ['a length', 'GET', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello', 'done'],
  ['a length, one byte short', 'GET', 'HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello', 'more'],
  ['no body', 'GET', 'HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n', 'done'],
  ['HEAD with a length', 'HEAD', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n', 'done'],
  ['HEAD without', 'HEAD', 'HTTP/1.1 200 OK\r\nServer: x\r\n\r\n', 'done'],
  ['HEAD with chunks to come on GET', 'HEAD', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n', 'done'],
  ['204 has none', 'GET', 'HTTP/1.1 204 No Content\r\n\r\n', 'done'],
  ['304 has none whatever its length', 'GET', 'HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n', 'done'],
  ['no reason phrase', 'HEAD', 'HTTP/1.1 200 \r\n\r\n', 'done'],
  ['an interim response is not it', 'HEAD', 'HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n', 'more'],
  ['an interim response and it', 'HEAD', 'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n', 'done'],
  [
    'chunks',
    'GET',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n',
    'done',
  ],
  [
    'chunks and a trailer',
    'GET',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n1\r\na\r\n0\r\nE: t\r\n\r\n',
    'done',
  ],
  ['the last chunk is missing', 'GET', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n', 'more'],
  [
    'a chunk that looks like the last',
    'GET',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n0\r\n\r\n\r\n',
    'more',
  ],
  [
    'chunks rule over a length',
    'GET',
    'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    'done',
  ],
  ['no length at all', 'GET', 'HTTP/1.1 200 OK\r\n\r\nhello', 'until-end'],
  ['half a head', 'GET', 'HTTP/1.1 200 OK\r\nServer:', 'more'],
  ['half a word', 'GET', 'HTT', 'more'],
  ['another protocol', 'GET', 'SSH-2.0-OpenSSH_9.2\r\n', 'bad'],
  ['HTTP/2', 'GET', 'HTTP/2.0 200 OK\r\n\r\n', 'bad'],
  ['no status', 'GET', 'HTTP/1.1 fine\r\n\r\n', 'bad'],
  ['a length that is none', 'GET', 'HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n', 'bad'],
  ['a chunk size that is none', 'GET', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n', 'bad'],
];

for (const [what, method, bytes, end] of ROWS) {
  test(`${what}: ${end}`, () => {
    const whole = new ResponseReader(method);
    whole.push(Buffer.from(bytes));
    assert.equal(stateOf(whole), end);

    const piecewise = new ResponseReader(method);
    for (const byte of Buffer.from(bytes)) piecewise.push(Buffer.of(byte));
    assert.equal(stateOf(piecewise), end);
  });
}

test('status, version and headers are kept', () => {
  const reader = new ResponseReader('HEAD');
  reader.push(Buffer.from('HTTP/1.0 301 Moved Permanently\r\nKeep-Alive:  timeout=5 \r\nX: a:b\r\n\r\n'));
  assert.deepEqual(reader.head, {
    status: 301,
    version: '1.0',
    headers: new Map([
      ['keep-alive', 'timeout=5'],
      ['x', 'a:b'],
    ]),
  });
});

test('a head without end is given up', () => {
  const reader = new ResponseReader('GET');
  reader.push(Buffer.from('HTTP/1.1 200 OK\r\n'));
  for (let i = 0; i < 70; i++) reader.push(Buffer.alloc(1000, 'x'));
  assert.equal(stateOf(reader), 'bad');
});

function stateOf(reader: ResponseReader): End {
  if (reader.isBad) return 'bad';
  if (reader.lastsUntilEnd) return 'until-end';
  return reader.isDone ? 'done' : 'more';
}
