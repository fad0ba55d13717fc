/**
 * CPU time as the kernel counts it, for case `forwarding`. Of a process: user and system time of all its threads
 * (proc_pid_stat(5)), without the soft interrupts that the kernel runs between. Of the machine: all cores, all that is not idle
 * (proc_stat(5)), soft interrupts, generator and sink included.
 */
import { readFileSync } from 'node:fs';

/** USER_HZ: the unit of both files, on every architecture that Node runs on. */
const TICKS_A_SECOND = 100;

/** Seconds. NaN where the process has ended. */
export function processSeconds(pid: number): number {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The fields after the name in parentheses begin with the third; utime and stime are the 14th and 15th.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return (Number(fields[11]) + Number(fields[12])) / TICKS_A_SECOND;
  } catch {
    return Number.NaN;
  }
}

/** Seconds since boot in which a core was busy, summed over all cores. */
export function machineBusySeconds(): number {
  const [first] = readFileSync('/proc/stat', 'utf8').split('\n');
  const [user, nice, system, , , irq, softirq] = first.trim().split(/\s+/).slice(1).map(Number);
  return (user + nice + system + irq + softirq) / TICKS_A_SECOND;
}
