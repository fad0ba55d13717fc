/*
 * The decision yardstick: what lb/forwarder.ts does to a batch of packets, in C, with the same passes, hashes, memory layout
 * and batch size. bench/yardstick/compile.ts compiles it with `cc -O2`, bench/cases/decision-cost.ts starts it.
 *
 *   decision STATE FLOWS RESTORES   reads lines "open N", "run N" from stdin: N SYNs, N ACKs of the next flows in turn; answers
 *                                   "NANOSECONDS HITS CONNECTIONS"
 *   decision STATE replay IN OUT    walks recorded batches; test/bench/ compares OUT with the TypeScript forwarder's
 *
 * IN is records of: u32 now (ms), u32 count, and for each frame u32 length and its bytes. OUT is for each frame: u32 exit, u32
 * length and the bytes, none of those unless it is forwarded.
 */
#define _GNU_SOURCE
#include <time.h>
#include "state.h"
#include "table.h"
#include "packet.h"
#include "walk.h"

#define FRAMES 256
#define FRAME_SIZE 2048
#define HEADROOM 256
#define FRAME_LENGTH 60
#define ACK_BYTES 0x1050
#define SYN_BYTES 0x0250

static const uint8_t VIP[4] = {198, 18, 10, 1};

/* bench/balancer.ts, ackFrame. */
static void write_frame(uint8_t *frame, const struct header *h) {
  memset(frame, 0, FRAME_LENGTH);
  memcpy(frame, h->frame_mac_words, 12);
  store16(frame + 12, 0x0008);
  store16(frame + 14, 0x0045);
  store16(frame + 16, swap16(40));
  store16(frame + 20, swap16(0x4000));
  store16(frame + 22, swap16(64 << 8 | 6));
  memcpy(frame + 30, VIP, 4);
  store16(frame + 46, ACK_BYTES);
}

/* bench/decision/modes.ts, sourceWord and portsWord. */
static inline uint32_t source_word(uint32_t flow) {
  uint32_t host = flow >> 6;
  return 198u | (18u + (host >> 16 & 1u)) << 8 | (host >> 8 & 255u) << 16 | (host & 255u) << 24;
}

static inline uint32_t ports_word(uint32_t flow) { return 0x50000000u | swap16((uint16_t)(1024 + (flow & 63))); }

struct load {
  uint32_t flows, stride, flow, chunk;
  int restores;
};

static void run(struct walker *w, struct load *load, uint64_t packets, uint16_t flag_bytes) {
  uint32_t vip = load32(VIP);
  int restores = load->restores || flag_bytes != ACK_BYTES;
  for (uint64_t done = 0; done < packets; done += BATCH) {
    for (int i = 0; i < BATCH; i++) {
      uint32_t offset = load->chunk * FRAME_SIZE + HEADROOM;
      uint8_t *frame = w->memory + offset;
      load->chunk = load->chunk + 1 == FRAMES ? 0 : load->chunk + 1;
      store16(frame + 12, 0x0008);
      store32(frame + 26, source_word(load->flow));
      store32(frame + 34, ports_word(load->flow));
      if (restores) {
        store32(frame + 30, vip);
        store16(frame + 46, flag_bytes);
      }
      load->flow += load->stride;
      if (load->flow >= load->flows) load->flow -= load->flows;
      w->offset[i] = offset;
      w->length[i] = FRAME_LENGTH;
    }
    w->count = BATCH;
    walk(w, 1);
  }
}

static void serve(struct walker *w, uint32_t flows, int restores) {
  struct load load = {flows, (7368787u % flows) | 1u, 0, 0, restores};
  char command[16];
  unsigned long long packets;
  for (int i = 0; i < FRAMES; i++) write_frame(w->memory + i * FRAME_SIZE + HEADROOM, &w->state.h);
  while (scanf("%15s %llu", command, &packets) == 2) {
    int opens = strcmp(command, "open") == 0;
    struct timespec start, end;
    uint64_t hits = w->hits;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &start);
    run(w, &load, packets, opens ? SYN_BYTES : ACK_BYTES);
    /* Frames carry a SYN now: they get their ACK back outside of the measured runs. */
    if (opens) {
      for (int i = 0; i < FRAMES; i++) store16(w->memory + i * FRAME_SIZE + HEADROOM + 46, ACK_BYTES);
    }
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &end);
    long long ns = (end.tv_sec - start.tv_sec) * 1000000000ll + (end.tv_nsec - start.tv_nsec);
    printf("%lld %llu %u\n", ns, (unsigned long long)(w->hits - hits), w->table.size);
    fflush(stdout);
  }
}

static void replay(struct walker *w, FILE *in, FILE *out) {
  uint32_t head[2];
  errno = 0;
  while (fread(head, sizeof head, 1, in) == 1) {
    if (head[1] > BATCH) die("a batch of more than 64 frames");
    w->count = head[1];
    for (uint32_t i = 0; i < w->count; i++) {
      w->offset[i] = i * FRAME_SIZE + HEADROOM;
      read_or_die(&w->length[i], 4, 1, in);
      if (w->length[i] > FRAME_SIZE - HEADROOM) die("a frame that is too long");
      read_or_die(w->memory + w->offset[i], 1, w->length[i], in);
    }
    walk(w, head[0]);
    for (uint32_t i = 0; i < w->count; i++) {
      uint32_t length = w->exit[i] == FORWARDED ? w->length[i] : 0, exit_number = w->exit[i];
      fwrite(&exit_number, 4, 1, out);
      fwrite(&length, 4, 1, out);
      fwrite(w->memory + w->offset[i], 1, length, out);
    }
  }
}

static FILE *open_file(const char *path, const char *mode) {
  FILE *file = fopen(path, mode);
  if (file == NULL) die(path);
  return file;
}

int main(int count, char **arguments) {
  if (count != 4 && count != 5) {
    fputs("usage: decision STATE FLOWS RESTORES | decision STATE replay IN OUT\n", stderr);
    return 2;
  }
  uint8_t *memory = mmap(NULL, FRAMES * FRAME_SIZE, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (memory == MAP_FAILED) die("mmap");
  struct walker *w = create_walker(arguments[1], memory);
  if (count == 4) {
    serve(w, (uint32_t)atoi(arguments[2]), atoi(arguments[3]));
    free_walker(w);
    return 0;
  }
  FILE *in = open_file(arguments[3], "rb"), *out = open_file(arguments[4], "wb");
  replay(w, in, out);
  free_walker(w);
  fclose(in);
  if (fclose(out) != 0) die(arguments[4]);
  return 0;
}
