/* How every yardstick ends that cannot go on. */
#ifndef DIE_H
#define DIE_H
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* With the system's reason where a call has just failed, which is to say: where errno is set. */
static void die(const char *what) {
  if (errno == 0) fprintf(stderr, "%s\n", what);
  else fprintf(stderr, "%s: %s\n", what, strerror(errno));
  exit(1);
}
#endif
