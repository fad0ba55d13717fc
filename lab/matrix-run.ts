/**
 * Runs the matrix on live traffic: a network for each row, several rows at a time, all six cells of a row at once; takes
 * everything down again, whatever happened. lab/matrix-session.ts calls it.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { addressesOf, type Family } from './addresses.ts';
import { webServerKind } from './backends.ts';
import { startCaptures } from './captures.ts';
import type { ExchangeReport } from './keepalive-client.ts';
import { CABLE_MS, type MatrixResult, type MatrixRowResult, ORDERINGS } from './matrix.ts';
import { backendsOf, capturePointsOf, type RowStage, rolesOf, startParts, topologyOf } from './matrix-parts.ts';
import { type Planned, planRow } from './matrix-plan.ts';
import type { MatrixRow } from './matrix-rows.ts';
import { judgeRow } from './matrix-verdict.ts';
import { meet } from './neighbours.ts';
import { buildNetwork } from './network.ts';
import { parsePackets } from './packets.ts';
import { type HostProcess, labProgram, pause, startProcess } from './processes.ts';
import { openRun, removeRun, runDirectory } from './runs.ts';
import { isEvent, parseReport } from './stage.ts';

export interface MatrixOptions {
  readonly rows: readonly MatrixRow[];
  /** At each moment of each cell. */
  readonly connections: number;
  /** Of the client's ports and the order in which connections send again. */
  readonly seed: number;
  readonly family: Family;
  /** Aborting it ends the run: everything is taken down, then the promise rejects with the signal's reason. */
  readonly signal: AbortSignal;
  /** Told which rows are running right now, and how many are done. */
  readonly progress: (running: readonly string[], done: number) => void;
}

/** Rows that are run at the same time: they mostly wait, but their starts want a processor. */
const ROWS_AT_ONCE = 3;

/** Rejects with a LabError when a part fails, or with the reason of `options.signal`. */
export async function runMatrix(options: MatrixOptions): Promise<MatrixResult> {
  const { rows, connections, seed, progress } = options;
  const failure = new AbortController();
  const signal = AbortSignal.any([options.signal, failure.signal]);
  const runId = openRun();
  // For the ways out that pass no `finally`: an exception that nobody catches, a closed pipe.
  const onExit = (): void => void removeRun(runId);
  process.once('exit', onExit);
  const results: MatrixRowResult[] = [];
  const running = new Set<string>();
  const waiting = [...rows.entries()];
  const work = async (): Promise<void> => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const [index, row] = next;
      running.add(row.name);
      progress([...running], results.filter(Boolean).length);
      // A namespace's name begins with the run's, so that `lab clean` finds it.
      results[index] = await runRow(row, { ...options, signal, networkId: `${runId}-${index + 1}`, runId });
      running.delete(row.name);
    }
  };
  try {
    const workers = Array.from({ length: ROWS_AT_ONCE }, () => work().catch((error) => failure.abort(error)));
    await Promise.all(workers);
    signal.throwIfAborted();
  } finally {
    removeRun(runId);
    process.removeListener('exit', onExit);
  }
  const settings = { connections, seed, webServer: webServerKind(), cableMs: CABLE_MS };
  return { orderings: ORDERINGS, settings, rows: results, held: results.every(({ held }) => held) };
}

interface RowOptions extends MatrixOptions {
  readonly runId: string;
  readonly networkId: string;
}

async function runRow(row: MatrixRow, options: RowOptions): Promise<MatrixRowResult> {
  const { connections, seed, family, networkId, runId } = options;
  const addresses = addressesOf(family);
  const failure = new AbortController();
  const signal = AbortSignal.any([options.signal, failure.signal]);
  const processes: HostProcess[] = [];
  const backends = backendsOf(row);
  const directory = `${runDirectory(runId)}/${networkId}`;
  try {
    signal.throwIfAborted();
    mkdirSync(directory);
    const stage: RowStage = {
      row,
      backends,
      network: buildNetwork(networkId, topologyOf(row, backends, family)),
      addresses,
      directory,
      webServer: webServerKind(),
      signal,
      started: (process) => processes.push(process),
      onUnexpectedEnd: (error) => failure.abort(error),
    };
    return await perform(stage, planRow(row, connections, seed, addresses));
  } finally {
    failure.abort(); // whoever still waits for a part of it
    for (const each of processes.reverse()) await each.stop();
    removeRun(networkId);
  }
}

/** A request without an answer for this long hangs; answers take a second at most, the first behind layer 7 two. */
const PATIENCE_MS = 4000;
/** For the longest conversation: two answers and the longest pause. */
const CLIENT_PATIENCE_MS = 30_000;
/** After the last answer: time for the last packets to reach the captures. */
const AFTERMATH_MS = 300;

async function perform(stage: RowStage, plan: readonly Planned[]): Promise<MatrixRowResult> {
  const { row, backends, signal } = stage;
  const captures = startCaptures(capturePointsOf(stage));
  try {
    await startParts(stage);
    await introduce(stage);
    const reports = await converse(stage, plan);
    await pause(AFTERMATH_MS, signal);
    const framesLost = captures.stop();
    const packets = parsePackets(captures.frames);
    return judgeRow(row, {
      plan,
      reports,
      packets,
      framesLost,
      roles: rolesOf(stage),
      backends,
      addresses: stage.addresses,
    });
  } finally {
    captures.stop();
  }
}

/** Client and router, whatever is between them. */
async function introduce({ network, addresses, signal }: RowStage): Promise<void> {
  const client = { namespace: network.namespace('client'), interface: 'eth0', neighbour: addresses.clientGateway };
  const router = { namespace: network.namespace('router'), interface: 'client', neighbour: addresses.client };
  await Promise.all([meet(client, signal), meet(router, signal)]);
}

/** All connections of all cells, to their ends. */
async function converse(stage: RowStage, plan: readonly Planned[]): Promise<ExchangeReport[]> {
  const { network, directory, signal, started, onUnexpectedEnd } = stage;
  const file = `${directory}/plan.json`;
  writeFileSync(file, JSON.stringify(plan.map(({ paced }) => paced)));
  const reports: ExchangeReport[] = [];
  const client = startProcess({
    name: 'the client',
    namespace: network.namespace('client'),
    command: [process.execPath, labProgram('paced-client'), '--plan', file, '--patience', String(PATIENCE_MS)],
    onLine: (line) => {
      const report = parseReport(line);
      if (report?.event === 'exchange') reports.push(report);
    },
    onUnexpectedEnd,
  });
  started(client);
  await client.waitForLine((line) => isEvent(line, 'done'), CLIENT_PATIENCE_MS, signal);
  return reports;
}
