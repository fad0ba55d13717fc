/* How every yardstick ends that cannot go on. */
#ifndef DIE_H
#define DIE_H
#include <stdio.h>
#include <stdlib.h>

static void die(const char *what) {
  perror(what);
  exit(1);
}
#endif
