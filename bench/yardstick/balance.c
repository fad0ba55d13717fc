/*
 * The whole balancer in C: the device of xsk.h around the walk of walk.h, with the forwarding state of a file. What it gets
 * over the reflector of reflect.c is what a decision leaves of the wire where it costs what it does in C.
 * bench/forwarding/c-subject.ts attaches the steering program and starts it inside the namespace.
 *
 *   balance IFINDEX STATE          prints "ready PID", runs until a signal; descriptor 3 is the steering program's XSKMAP
 */
#define _GNU_SOURCE
#include <time.h>
#include "xsk.h"
#include "state.h"
#include "table.h"
#include "packet.h"
#include "walk.h"

static uint32_t milliseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return (uint32_t)now.tv_sec * 1000u + (uint32_t)(now.tv_nsec / 1000000);
}

/* The batch as the walk has it, and back: who is not forwarded gives its frame back. */
static void balance(struct walker *w, uint32_t received) {
  uint32_t forwarded = 0;
  for (uint32_t i = 0; i < received; i++) {
    w->offset[i] = (uint32_t)batch[i].addr;
    w->length[i] = batch[i].len;
  }
  w->count = received;
  walk(w, milliseconds());
  for (uint32_t i = 0; i < received; i++) {
    if (w->exit[i] == FORWARDED) batch[forwarded++] = (struct xdp_desc){w->offset[i], w->length[i], 0};
    else free_frames[free_count++] = batch[i].addr & ~(uint64_t)(FRAME_SIZE - 1);
  }
  if (forwarded > 0) transmit(forwarded);
}

int main(int count, char **arguments) {
  if (count != 3) {
    fputs("usage: balance IFINDEX STATE\n", stderr);
    return 2;
  }
  struct walker *w = create_walker(arguments[2], NULL);
  start((uint32_t)atoi(arguments[1]));
  w->memory = memory;
  for (;;) {
    uint32_t received = receive();
    if (received > 0) balance(w, received);
  }
}
