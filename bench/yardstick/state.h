/*
 * What the decision yardstick works on: the forwarding state as bench/decision/state-file.ts wrote it (the very arrays that
 * the TypeScript forwarder reads), and memory like a worker's, on huge pages where the kernel grants them. For decision.c and balance.c.
 *
 *   header: the 16 words of struct header
 *   rows of the service index (int32) | next hops, 16 words a backend (int32) | lookup table (uint16) | rotation (uint16)
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "die.h"

struct header {
  int32_t hash_kind, hash_seed, on_miss, resets_on_expiry;
  int32_t encap, table_size, rotation_length, backend_count;
  int32_t capacity, idle_timeout_ms, index_words, index_shift;
  int32_t frame_mac_words[3], unused;
};

struct state {
  struct header h;
  int32_t *index_rows;
  int32_t *hops;
  uint16_t *lookup_table;
  uint16_t *rotation;
};

static void read_or_die(void *into, size_t size, size_t count, FILE *file) {
  errno = 0;
  if (fread(into, size, count, file) != count) die("a file ends too early");
}

static void *allocate(size_t count, size_t size) {
  void *zeroed = calloc(count > 0 ? count : 1, size);
  if (zeroed == NULL) die("calloc");
  return zeroed;
}

static void *read_array(size_t size, int32_t count, FILE *file) {
  void *array = allocate((size_t)count, size);
  read_or_die(array, size, (size_t)count, file);
  return array;
}

static struct state read_state(const char *path) {
  struct state s;
  FILE *file = fopen(path, "rb");
  if (file == NULL) die(path);
  read_or_die(&s.h, sizeof s.h, 1, file);
  s.index_rows = read_array(4, s.h.index_words, file);
  s.hops = read_array(4, s.h.backend_count * 16, file);
  s.lookup_table = read_array(2, s.h.table_size, file);
  s.rotation = read_array(2, s.h.rotation_length, file);
  fclose(file);
  return s;
}

static inline void free_state(struct state *s) {
  free(s->index_rows);
  free(s->hops);
  free(s->lookup_table);
  free(s->rotation);
}

/* Zeroed and resident, as mapHuge of io/ffi.ts. */
static void *map_huge(size_t length) {
  const size_t page = 2 << 20;
  const size_t whole = (length + page - 1) / page * page;
  uint8_t *start = mmap(NULL, whole + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (start == MAP_FAILED) die("mmap");
  uint8_t *aligned = (uint8_t *)(((uintptr_t)start + page - 1) / page * page);
  madvise(aligned, whole, MADV_HUGEPAGE);
  memset(aligned, 0, length);
  return aligned;
}
