/*
 * The AF_XDP yardstick: the device in C (xsk.h) and bench/forwarding/reflector.ts; each frame goes back with its MAC addresses
 * swapped. bench/forwarding/c-subject.ts attaches the steering program and starts it inside the namespace.
 *
 *   reflect IFINDEX                         prints "ready PID", runs until a signal
 *   reflect IFINDEX WARM_UP_MS MEASURE_MS   then prints the gaps between its batches as a line of JSON (gaps.h), too
 *
 * Descriptor 3 is the steering program's XSKMAP.
 */
#define _GNU_SOURCE
#include "xsk.h"
#include "gaps.h"

static void swap_macs(uint8_t *frame) {
  uint8_t source[6];
  memcpy(source, frame + 6, 6);
  memcpy(frame + 6, frame, 6);
  memcpy(frame, source, 6);
}

/* Returns how many frames there were. */
static uint32_t reflect(void) {
  uint32_t received = receive();
  for (uint32_t i = 0; i < received; i++) swap_macs(memory + batch[i].addr);
  if (received > 0) transmit(received);
  return received;
}

/* Counted from the end of one batch to that of the next, which is as long as from beginning to beginning. */
static void measure_gaps(double warm_up_us, double measure_us) {
  double began = clock_us(CLOCK_MONOTONIC), now = began;
  int is_warm = 0;
  while ((now = clock_us(CLOCK_MONOTONIC)) < began + warm_up_us + measure_us) {
    if (!is_warm && now >= began + warm_up_us) {
      gaps_restart();
      is_warm = 1;
    }
    uint32_t count = reflect();
    if (count == 0) gaps_slept();
    else gaps_batch(count);
  }
  gaps_print();
}

int main(int count, char **arguments) {
  if (count != 2 && count != 4) {
    fputs("usage: reflect IFINDEX [WARM_UP_MS MEASURE_MS]\n", stderr);
    return 2;
  }
  start((uint32_t)atoi(arguments[1]));
  if (count == 4) measure_gaps(atof(arguments[2]) * 1e3, atof(arguments[3]) * 1e3);
  for (;;) reflect();
}
