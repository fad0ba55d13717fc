/**
 * Looks for what a test run left on the machine, and takes it away: processes, network namespaces, lab directories.
 *
 * XDP programs and sockets need no search: they are attached by links and descriptors that go with their process.
 * Other runs on the same machine are left alone: our processes carry a mark in their environment or are of the test
 * runner's session (nginx overwrites its environment), and names that were there before, or carry the pid of a living
 * process, are not ours.
 */
import { spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';

const NAMESPACES = '/run/netns';
const LAB_DIRECTORIES = '/run';
const OUR_NAME = /^hushlb-(?:[a-z]+-)*(\d+)?/;

const PATIENCE_MS = 5000;
const POLL_MS = 100;

/** Call before the run: `env` is for the runner's environment, the whole for `removeLeaks`. */
export function markRun() {
  return {
    env: { HUSHLB_TEST_RUN: randomUUID() },
    names: new Set([...ourNames(NAMESPACES), ...ourNames(LAB_DIRECTORIES)]),
  };
}

/**
 * Waits a moment for processes that are about to end, then removes what is left; `session` is the runner's pid.
 * Returns a line for each leak.
 */
export async function removeLeaks({ env, names }, session) {
  const findProcesses = () => ourProcesses(`HUSHLB_TEST_RUN=${env.HUSHLB_TEST_RUN}`, session);
  const processes = await leftAfter(PATIENCE_MS, findProcesses);
  for (const { pid } of processes) kill(pid);
  await leftAfter(PATIENCE_MS, findProcesses);

  const isLeak = (name) => !names.has(name) && !hasLivingOwner(name);
  const namespaces = ourNames(NAMESPACES).filter(isLeak);
  for (const name of namespaces) spawnSync('ip', ['netns', 'delete', name], { stdio: 'ignore' });
  const directories = ourNames(LAB_DIRECTORIES).filter(isLeak);
  for (const name of directories) rmSync(`${LAB_DIRECTORIES}/${name}`, { recursive: true, force: true });

  return [
    ...processes.map(({ pid, command }) => `process ${pid} (${command})`),
    ...namespaces.map((name) => `network namespace ${name}`),
    ...directories.map((name) => `directory ${LAB_DIRECTORIES}/${name}`),
  ];
}

async function leftAfter(patienceMs, find) {
  const deadline = performance.now() + patienceMs;
  let found = find();
  while (found.length > 0 && performance.now() < deadline) {
    await setTimeout(POLL_MS);
    found = find();
  }
  return found;
}

function ourProcesses(mark, session) {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        // proc_pid_stat(5): the fields after the name in parentheses are state, ppid, pgrp, session.
        const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
        const [state, , , processSession] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
        const marked = readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0').includes(mark);
        if (state === 'Z' || !(marked || Number(processSession) === session)) return [];
        const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
        return [{ pid: Number(pid), command }];
      } catch {
        // It has ended meanwhile, or is another user's.
        return [];
      }
    });
}

function kill(pid) {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if (error.code !== 'ESRCH') throw error;
  }
}

function ourNames(folder) {
  return existsSync(folder) ? readdirSync(folder).filter((name) => OUR_NAME.test(name)) : [];
}

/** Names of labs and tests carry the pid of the process that made them. */
function hasLivingOwner(name) {
  const pid = OUR_NAME.exec(name)?.[1];
  return pid !== undefined && existsSync(`/proc/${pid}`);
}
