/**
 * `npm run bench`: runs the cases, each a process of its own, and prints their figures with their spread and the machine that
 * they come from. `--quick` for a first look, `--only NAME` for one case, `--json FILE` for the figures as data.
 */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import os from 'node:os';
import Table from 'cli-table3';
import yargs from 'yargs';
import type { Spread } from './balancer.ts';
import type { DecisionCost } from './decision-cost.ts';
import type { ForwardingResult } from './forwarding.ts';

const CASES = ['decision-cost', 'forwarding'] as const;

const options = await yargs(process.argv.slice(2))
  .scriptName('npm run bench --')
  .usage('$0 [--quick] [--only NAME] [--json FILE]\n\nMeasures hushlb on this machine. `forwarding` needs root.')
  .option('quick', { type: 'boolean', default: false, describe: 'Fewer and shorter rounds' })
  .option('only', { choices: CASES, describe: 'Run one case' })
  .option('json', { type: 'string', requiresArg: true, describe: 'Write the figures to a file as well' })
  .strict()
  .parse();

async function run(name: string): Promise<unknown> {
  if (process.stderr.isTTY) process.stderr.write(`measuring ${name} …\r`);
  const script = new URL(`./${name}.js`, import.meta.url).pathname;
  const child = spawn(process.execPath, [script, ...(options.quick ? ['--quick'] : [])], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  child.stdout.on('data', (piece) => (output += piece));
  const [code] = await once(child, 'exit');
  if (code !== 0) {
    process.stderr.write(`bench: ${name} ended with ${code}\n`);
    process.exit(1);
  }
  return JSON.parse(output);
}

function machine(): Record<string, string | number> {
  const commit = attempt(() =>
    execFileSync('git', ['rev-parse', '--short', 'HEAD'], { stdio: 'pipe' }).toString().trim(),
  );
  return {
    processor: `${os.cpus()[0]?.model ?? 'unknown'}, ${os.cpus().length} cores`,
    kernel: os.release(),
    node: process.version,
    commit: commit ?? 'unknown',
  };
}

function attempt<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch {
    return undefined;
  }
}

function figure({ median, min, max }: Spread, digits: number): string {
  return `${median.toFixed(digits)}  (${min.toFixed(digits)} to ${max.toFixed(digits)})`;
}

function showDecisionCost(results: readonly DecisionCost[]): string {
  const table = new Table({ head: ['flows', 'ns a packet: median (range)'], style: { head: [], border: [] } });
  for (const { flows, nsPerPacket } of results) table.push([flows.toLocaleString('en'), figure(nsPerPacket, 0)]);
  return `Decision cost: parse, hash, connection table, IPIP encapsulation, no device; ${results[0].nsPerPacket.rounds} rounds\n${table}`;
}

function showForwarding({ flows, frameBytes, reflectMpps, balanceMpps, ratio }: ForwardingResult): string {
  const table = new Table({ head: ['AF_XDP on a veth pair', 'median (range)'], style: { head: [], border: [] } });
  table.push(
    ['every frame sent back, Mpps', figure(reflectMpps, 3)],
    ['hushlb run, IPIP, Mpps', figure(balanceMpps, 3)],
    ['ratio', figure(ratio, 2)],
  );
  return `Forwarding: ${frameBytes}-byte TCP, ${flows.toLocaleString('en')} flows; ${ratio.rounds} interleaved rounds\n${table}`;
}

const figures: Record<string, unknown> = { machine: machine() };
process.stdout.write(`${Object.values(machine()).join(' · ')}\n`);
for (const name of CASES) {
  if (options.only !== undefined && options.only !== name) continue;
  if (name === 'forwarding' && process.getuid?.() !== 0) {
    process.stderr.write('bench: forwarding makes network namespaces and needs root: sudo npm run bench\n');
    process.exitCode = 1;
    continue;
  }
  const result = await run(name);
  figures[name] = result;
  const text =
    name === 'forwarding' ? showForwarding(result as ForwardingResult) : showDecisionCost(result as DecisionCost[]);
  process.stdout.write(`\n${text}\n`);
}
if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify(figures, null, 2)}\n`);
