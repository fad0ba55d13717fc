/**
 * Reads one HTTP/1 response from the bytes of a connection, only to know when it is over. connection.ts calls it.
 *
 * Not node:http, whose client takes a HEAD response without Content-Length for one that lasts until the connection ends,
 * and closes it: the very connection that is to idle.
 */

export interface Head {
  readonly status: number;
  readonly version: string;
  /** By lower-case name; of several with one name the last. */
  readonly headers: ReadonlyMap<string, string>;
}

type State = 'head' | 'length' | 'chunk-size' | 'chunk' | 'trailer' | 'until-end' | 'done' | 'bad';

const LONGEST_HEAD = 65_536;

export class ResponseReader {
  readonly #headOnly: boolean;
  #state: State = 'head';
  #rest = '';
  /** Bytes of body still to come, in states 'length' and 'chunk'. */
  #remaining = 0;
  #head: Head | undefined;

  constructor(method: string) {
    this.#headOnly = method === 'HEAD';
  }

  /** Undefined until it has come. */
  get head(): Head | undefined {
    return this.#head;
  }

  get isDone(): boolean {
    return this.#state === 'done';
  }

  /** It is no HTTP/1. */
  get isBad(): boolean {
    return this.#state === 'bad';
  }

  /** The body has no length: the end of the connection is its end. */
  get lastsUntilEnd(): boolean {
    return this.#state === 'until-end';
  }

  push(chunk: Buffer): void {
    this.#rest += chunk.toString('latin1');
    while (this.#step());
  }

  /** Whether it went a step further. */
  #step(): boolean {
    switch (this.#state) {
      case 'head':
        return this.#readHead();
      case 'length':
      case 'chunk':
        return this.#skip();
      case 'chunk-size':
        return this.#readChunkSize();
      case 'trailer':
        return this.#readTrailer();
      default:
        this.#rest = '';
        return false;
    }
  }

  #readHead(): boolean {
    const isHttp = this.#rest.startsWith('HTTP/1.'.slice(0, this.#rest.length));
    const end = this.#rest.indexOf('\r\n\r\n');
    if (!isHttp || (end < 0 && this.#rest.length > LONGEST_HEAD)) return this.#enter('bad');
    if (end < 0) return false;
    const head = parseHead(this.#rest.slice(0, end));
    this.#rest = this.#rest.slice(end + 4);
    if (head === undefined) return this.#enter('bad');
    // 100 Continue, 103 Early Hints: the response proper follows.
    if (head.status < 200 && head.status !== 101) return true;
    this.#head = head;
    return this.#enter(this.#bodyOf(head));
  }

  /** RFC 9112, section 6.3. */
  #bodyOf({ status, headers }: Head): State {
    if (this.#headOnly || status === 101 || status === 204 || status === 304) return 'done';
    if (/\bchunked$/i.test(headers.get('transfer-encoding') ?? '')) return 'chunk-size';
    const length = headers.get('content-length');
    if (length === undefined) return 'until-end';
    if (!/^\d+$/.test(length)) return 'bad';
    this.#remaining = Number(length);
    return this.#remaining === 0 ? 'done' : 'length';
  }

  #skip(): boolean {
    if (this.#rest === '') return false;
    const skipped = Math.min(this.#remaining, this.#rest.length);
    this.#rest = this.#rest.slice(skipped);
    this.#remaining -= skipped;
    if (this.#remaining > 0) return false;
    return this.#enter(this.#state === 'length' ? 'done' : 'chunk-size');
  }

  #readChunkSize(): boolean {
    const line = this.#takeLine();
    if (line === undefined) return false;
    const [, digits] = /^([0-9a-f]{1,8})[ \t]*(?:;.*)?$/i.exec(line) ?? [];
    if (digits === undefined) return this.#enter('bad');
    const size = Number.parseInt(digits, 16);
    // The line's end after the data counts as data.
    this.#remaining = size + 2;
    return this.#enter(size === 0 ? 'trailer' : 'chunk');
  }

  #readTrailer(): boolean {
    const line = this.#takeLine();
    if (line === undefined) return false;
    return line === '' ? this.#enter('done') : true;
  }

  #takeLine(): string | undefined {
    const end = this.#rest.indexOf('\r\n');
    if (end < 0) {
      if (this.#rest.length > LONGEST_HEAD) this.#enter('bad');
      return undefined;
    }
    const line = this.#rest.slice(0, end);
    this.#rest = this.#rest.slice(end + 2);
    return line;
  }

  #enter(state: State): boolean {
    this.#state = state;
    return true;
  }
}

function parseHead(text: string): Head | undefined {
  const [statusLine, ...lines] = text.split('\r\n');
  const [, version, digits] = /^HTTP\/(1\.\d) (\d{3})(?: |$)/.exec(statusLine) ?? [];
  if (digits === undefined) return undefined;
  const headers = new Map<string, string>();
  for (const line of lines) {
    const colon = line.indexOf(':');
    if (colon > 0) headers.set(line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim());
  }
  return { status: Number(digits), version, headers };
}
