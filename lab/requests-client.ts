/**
 * The client of lab/sessions.ts: many sessions of Python's requests library at once, each of which sends again and again
 * and ends at its first error, as a script would that nobody wrote a retry for. Reports as lab/keepalive-client.ts does;
 * of each session the last exchange is the second, and the connection it went over the one that is reported.
 */
import { spawnSync } from 'node:child_process';

/** The system's, for which the distribution has the library. */
export const PYTHON = '/usr/bin/python3';

export function hasRequestsLibrary(): boolean {
  return spawnSync(PYTHON, ['-c', 'import requests'], { stdio: 'ignore' }).status === 0;
}

/** Arguments: one JSON object, as `SessionSettings`. */
export interface SessionSettings {
  readonly url: string;
  readonly method: 'GET' | 'POST';
  readonly sessions: number;
  readonly requests: number;
  /** Bounds of the wait between two requests, in milliseconds. */
  readonly low: number;
  readonly high: number;
  /** All sessions wait equally long, and so send at about the same time. */
  readonly together: boolean;
  /** A connection that was idle for longer is closed and not used again. */
  readonly idle: number;
  readonly seed: number;
}

export const REQUESTS_CLIENT = `
import json, random, sys, threading, time
import requests

settings = json.loads(sys.argv[1])
chance = random.Random(settings['seed'])
bounds = settings['low'] / 1000, settings['high'] / 1000
common = [chance.uniform(*bounds) for _ in range(settings['requests'])]
seeds = [chance.random() for _ in range(settings['sessions'])]
lock = threading.Lock()
sent = [0]

def say(report):
    with lock:
        print(json.dumps(report), flush=True)

def now():
    return int(time.time() * 1000)

def port_of(session):
    """The local port of the session's one connection, which lies in its pool between two requests."""
    pool = session.get_adapter(settings['url']).poolmanager.connection_from_url(settings['url']).pool
    connection = pool.queue[-1] if pool is not None and pool.queue else None
    sock = getattr(connection, 'sock', None)
    return sock.getsockname()[1] if sock is not None else 0

def ask(session):
    """Status, who answered, error."""
    try:
        answer = session.request(settings['method'], settings['url'], timeout=5)
        return answer.status_code, answer.headers.get('X-Backend'), None
    except requests.exceptions.Timeout:
        return None, None, 'hung'
    except requests.exceptions.ConnectionError as error:
        text = repr(error)
        if 'RemoteDisconnected' in text:
            return None, None, 'closed'
        return None, None, 'ECONNRESET' if 'ConnectionResetError' in text else text[:200]

def run(number):
    own = random.Random(seeds[number])
    session = requests.Session()
    session.trust_env = False
    if not settings['together']:
        time.sleep(own.uniform(0, bounds[1]))
    last_used = time.monotonic()
    first_sent = None
    port = 0
    for turn in range(settings['requests']):
        if turn > 0:
            time.sleep(common[turn] if settings['together'] else own.uniform(*bounds))
        if (time.monotonic() - last_used) * 1000 > settings['idle']:
            session.close()
        sent_at = now()
        first_sent = first_sent or sent_at
        status, backend, error = ask(session)
        ended_at = now()
        last_used = time.monotonic()
        with lock:
            sent[0] += 1
        port = (port_of(session) if error is None else 0) or port
        if error is not None or status != 200:
            break
    exchange = {'event': 'exchange', 'connection': number, 'localPort': port}
    say({**exchange, 'round': 'first', 'sentAtMs': first_sent, 'endedAtMs': first_sent, 'status': 200, 'backend': None, 'error': None})
    say({**exchange, 'round': 'second', 'sentAtMs': sent_at, 'endedAtMs': ended_at, 'status': status, 'backend': backend, 'error': error})

threads = [threading.Thread(target=run, args=(number,)) for number in range(settings['sessions'])]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
say({'event': 'done', 'requests': sent[0]})
sys.stdin.read()
`;
