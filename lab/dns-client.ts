/**
 * A program of the lab, run in the client's namespace: asks a DNS server over UDP who it is, from many ports at once; waits,
 * and asks once more from each port when it reads a line on stdin. As resolvers do, it asks again where no answer came. It
 * reports as lab/keepalive-client.ts does, and stays until it is stopped.
 *
 *     node dns-client.js --host 198.18.10.1 --port 53 --connections 60 --seed 1 --patience 3000
 */
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { isIPv6 } from 'node:net';
import { parseArgs } from 'node:util';
import { endWhenTold, report, runRound, toldToGoOn } from './client-rounds.ts';
import { buildQuestion, readAnswer, WHO } from './dns-message.ts';
import type { ExchangeReport } from './keepalive-client.ts';
import { shuffled } from './shuffled.ts';

/** Without an answer it asks again, as often as its patience lets it. */
const AGAIN_AFTER_MS = 1000;

const { values } = parseArgs({
  options: {
    host: { type: 'string', default: '' },
    port: { type: 'string', default: '53' },
    connections: { type: 'string', default: '60' },
    seed: { type: 'string', default: '1' },
    patience: { type: 'string', default: '3000' },
  },
});

async function openPort(): Promise<Socket> {
  const socket = createSocket(isIPv6(values.host) ? 'udp6' : 'udp4');
  socket.connect(Number(values.port), values.host);
  await once(socket, 'connect');
  return socket;
}

/** Resolves with who answered, or rejects: with the code of an ICMP error, or `hung`. */
function ask(socket: Socket, id: number): Promise<string | null> {
  const question = buildQuestion(id, WHO);
  return new Promise((resolve, reject) => {
    const deadline = performance.now() + Number(values.patience);
    const timer = setInterval(() => {
      if (performance.now() >= deadline) finish(() => reject(new Error('hung')));
      else socket.send(question);
    }, AGAIN_AFTER_MS);
    const finish = (settle: () => void): void => {
      clearInterval(timer);
      socket.removeAllListeners('message').removeAllListeners('error');
      settle();
    };
    socket.on('message', (message) => {
      const answer = readAnswer(message);
      if (answer?.id === id) finish(() => resolve(answer.text));
    });
    socket.on('error', (error: NodeJS.ErrnoException) => finish(() => reject(new Error(error.code ?? error.message))));
    socket.send(question);
  });
}

const sockets: Socket[] = [];

async function converse(round: ExchangeReport['round'], connection: number): Promise<void> {
  sockets[connection] ??= await openPort();
  const socket = sockets[connection];
  const sentAtMs = Date.now();
  // Of one port, two questions differ.
  const id = 2 * connection + (round === 'first' ? 0 : 1);
  const outcome = await ask(socket, id).then(
    (backend) => ({ backend, error: null }),
    (error: Error) => ({ backend: null, error: error.message }),
  );
  const localPort = socket.address().port;
  report({
    event: 'exchange',
    round,
    connection,
    localPort,
    sentAtMs,
    endedAtMs: Date.now(),
    status: null,
    ...outcome,
  });
}

const inOrder = Array.from({ length: Number(values.connections) }, (_, id) => id);
await runRound(inOrder, (id) => converse('first', id));
report({ event: 'idle' });
await toldToGoOn();
await runRound(shuffled(inOrder, Number(values.seed)), (id) => converse('second', id));
report({ event: 'done' });
await endWhenTold();
