/*
 * What bench/pause/gaps.ts does, for the C loop beside it in case `pause`: a histogram of the gaps between batches, those told
 * apart in which the thread had no core. Printed as the JSON of the interface `Gaps` there.
 */
#ifndef GAPS_H
#define GAPS_H
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

/* As BOUNDS_US and LONG_US there. */
static const double bounds_us[] = {50, 100, 200, 500, 1000, 2000, 5000, 10000, 50000};
#define ROWS (sizeof bounds_us / sizeof *bounds_us + 1)
#define LONG_US 200

static struct {
  uint64_t gaps[ROWS], waiting[ROWS], batches, frames, idle;
  double longest_us, longest_running_us;
  double last_us, last_ran_us;
  int is_busy;
  long sleeps;
} seen;

static double clock_us(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static void gaps_read_sleeps(void) {
  struct rusage usage;
  getrusage(RUSAGE_THREAD, &usage);
  seen.sleeps = usage.ru_nvcsw;
}

/* Forgets all gaps. */
static void gaps_restart(void) {
  memset(&seen, 0, sizeof seen);
  gaps_read_sleeps();
}

static void gaps_note(double gap_us, double ran_us) {
  double running_us = ran_us < gap_us ? ran_us : gap_us;
  size_t row = 0;
  while (row < ROWS - 1 && gap_us >= bounds_us[row]) row++;
  seen.gaps[row]++;
  if (gap_us >= LONG_US) {
    long before = seen.sleeps;
    gaps_read_sleeps();
    /* Whatever it slept for is of its own making: that counts in full. */
    if (seen.sleeps != before) running_us = gap_us;
    if (running_us < gap_us / 2) seen.waiting[row]++;
  }
  if (gap_us > seen.longest_us) seen.longest_us = gap_us;
  if (running_us > seen.longest_running_us) seen.longest_running_us = running_us;
}

static void gaps_batch(uint32_t count) {
  double now = clock_us(CLOCK_MONOTONIC), ran = clock_us(CLOCK_THREAD_CPUTIME_ID);
  if (seen.is_busy) gaps_note(now - seen.last_us, ran - seen.last_ran_us);
  seen.batches++;
  seen.frames += count;
  seen.last_us = now;
  seen.last_ran_us = ran;
  seen.is_busy = 1;
}

/* Because no frame was there. */
static void gaps_slept(void) {
  seen.idle += (uint64_t)seen.is_busy;
  seen.is_busy = 0;
  gaps_read_sleeps();
}

static void gaps_print_counts(const char *name, const uint64_t *counts) {
  printf("\"%s\":[", name);
  for (size_t row = 0; row < ROWS; row++) printf(row == 0 ? "%llu" : ",%llu", (unsigned long long)counts[row]);
  printf("],");
}

static void gaps_print(void) {
  printf("{\"batches\":%llu,\"frames\":%llu,\"idle\":%llu,", (unsigned long long)seen.batches,
         (unsigned long long)seen.frames, (unsigned long long)seen.idle);
  gaps_print_counts("gaps", seen.gaps);
  gaps_print_counts("waiting", seen.waiting);
  printf("\"longestUs\":%.0f,\"longestRunningUs\":%.0f}\n", seen.longest_us, seen.longest_running_us);
  fflush(stdout);
}
#endif
