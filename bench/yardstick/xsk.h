/*
 * What io/af-xdp-device.ts does, in C on the kernel's own interface, no library: the same frame memory, ring and batch sizes,
 * copy mode, wake-ups and transmit budget. For reflect.c and balance.c.
 */
#ifndef XSK_H
#define XSK_H
#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_xdp.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "die.h"

/* Linux 6.17; headers may be older. */
#ifndef XDP_MAX_TX_SKB_BUDGET
#define XDP_MAX_TX_SKB_BUDGET 9
#endif
#ifndef AF_XDP
#define AF_XDP 44
#endif
#ifndef SOL_XDP
#define SOL_XDP 283
#endif

#define FRAMES 4096
#define FRAME_SIZE 2048
#define RING 2048
#define BATCH 64
#define MAX_KICKS 4
#define POLL_MS 50
#define SOCKET_MAP_FD 3

struct ring {
  uint32_t *producer, *consumer, *flags;
  uint8_t *entries;
};

static int fd;
static uint8_t *memory;
static struct ring fill, completion, rx, tx;
static uint64_t free_frames[FRAMES];
static uint32_t free_count;
static struct xdp_desc batch[BATCH];

static void set_option(int name, const void *value, socklen_t length) {
  if (setsockopt(fd, SOL_XDP, name, value, length) != 0) die("setsockopt of the AF_XDP socket");
}

static void map_ring(struct ring *ring, const struct xdp_ring_offset *at, off_t page, size_t entry) {
  uint8_t *start = mmap(NULL, at->desc + RING * entry, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, page);
  if (start == MAP_FAILED) die("mmap of a ring");
  ring->producer = (uint32_t *)(start + at->producer);
  ring->consumer = (uint32_t *)(start + at->consumer);
  ring->flags = (uint32_t *)(start + at->flags);
  ring->entries = start + at->desc;
}

static void open_socket(uint32_t interface_index) {
  const uint32_t entries = RING, budget = RING;
  struct xdp_umem_reg registration;
  struct xdp_mmap_offsets offsets;
  socklen_t length = sizeof offsets;
  fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
  if (fd < 0) die("AF_XDP socket");
  memory = mmap(NULL, FRAMES * FRAME_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (memory == MAP_FAILED) die("mmap of frame memory");
  memset(&registration, 0, sizeof registration);
  registration.addr = (uintptr_t)memory;
  registration.len = FRAMES * FRAME_SIZE;
  registration.chunk_size = FRAME_SIZE;
  set_option(XDP_UMEM_REG, &registration, sizeof registration);
  set_option(XDP_UMEM_FILL_RING, &entries, sizeof entries);
  set_option(XDP_UMEM_COMPLETION_RING, &entries, sizeof entries);
  set_option(XDP_RX_RING, &entries, sizeof entries);
  set_option(XDP_TX_RING, &entries, sizeof entries);
  if (getsockopt(fd, SOL_XDP, XDP_MMAP_OFFSETS, &offsets, &length) != 0) die("XDP_MMAP_OFFSETS");
  map_ring(&rx, &offsets.rx, XDP_PGOFF_RX_RING, sizeof(struct xdp_desc));
  map_ring(&tx, &offsets.tx, XDP_PGOFF_TX_RING, sizeof(struct xdp_desc));
  map_ring(&fill, &offsets.fr, XDP_UMEM_PGOFF_FILL_RING, sizeof(uint64_t));
  map_ring(&completion, &offsets.cr, XDP_UMEM_PGOFF_COMPLETION_RING, sizeof(uint64_t));
  /* Older kernels send 32 frames a call, and don't know the option. */
  setsockopt(fd, SOL_XDP, XDP_MAX_TX_SKB_BUDGET, &budget, sizeof budget);

  struct sockaddr_xdp address = {.sxdp_family = AF_XDP, .sxdp_ifindex = interface_index};
  address.sxdp_flags = XDP_COPY | XDP_USE_NEED_WAKEUP;
  if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0) die("bind of the AF_XDP socket");
}

static void enter_map(void) {
  uint32_t queue = 0, value = (uint32_t)fd;
  union bpf_attr attributes;
  memset(&attributes, 0, sizeof attributes);
  attributes.map_fd = SOCKET_MAP_FD;
  attributes.key = (uintptr_t)&queue;
  attributes.value = (uintptr_t)&value;
  if (syscall(SYS_bpf, BPF_MAP_UPDATE_ELEM, &attributes, sizeof attributes) != 0) die("entry in the XSKMAP");
}

static inline uint32_t read_counter(const uint32_t *counter) { return __atomic_load_n(counter, __ATOMIC_ACQUIRE); }
static inline void publish(uint32_t *counter, uint32_t value) { __atomic_store_n(counter, value, __ATOMIC_RELEASE); }

static void reclaim(void) {
  uint32_t start = *completion.consumer, end = read_counter(completion.producer);
  const uint64_t *entries = (uint64_t *)completion.entries;
  for (uint32_t i = start; i != end; i++) free_frames[free_count++] = entries[i % RING] & ~(uint64_t)(FRAME_SIZE - 1);
  if (start != end) publish(completion.consumer, end);
}

static void refill(void) {
  uint32_t start = *fill.producer, receiving = start - *rx.consumer;
  uint32_t count = RING - receiving < free_count ? RING - receiving : free_count;
  uint64_t *entries = (uint64_t *)fill.entries;
  for (uint32_t i = 0; i < count; i++) entries[(start + i) % RING] = free_frames[--free_count];
  if (count != 0) publish(fill.producer, start + count);
}

static uint32_t take(void) {
  uint32_t start = *rx.consumer, count = read_counter(rx.producer) - start;
  const struct xdp_desc *entries = (struct xdp_desc *)rx.entries;
  if (count > BATCH) count = BATCH;
  for (uint32_t i = 0; i < count; i++) batch[i] = entries[(start + i) % RING];
  if (count != 0) publish(rx.consumer, start + count);
  return count;
}

static void transmit(uint32_t count) {
  uint32_t start = *tx.producer, room = RING - (start - read_counter(completion.consumer)), queued = 0;
  struct xdp_desc *entries = (struct xdp_desc *)tx.entries;
  for (uint32_t i = 0; i < count; i++) {
    if (queued < room) entries[(start + queued++) % RING] = batch[i];
    else free_frames[free_count++] = batch[i].addr & ~(uint64_t)(FRAME_SIZE - 1);
  }
  if (queued != 0) publish(tx.producer, start + queued);
  for (int kicks = 0; kicks < MAX_KICKS; kicks++) {
    if (read_counter(tx.producer) == read_counter(tx.consumer)) break;
    if ((read_counter(tx.flags) & XDP_RING_NEED_WAKEUP) == 0) break;
    sendto(fd, NULL, 0, MSG_DONTWAIT, NULL, 0);
  }
}

/* Returns how many frames there are in the batch; waits for a moment where none is. */
static uint32_t receive(void) {
  reclaim();
  refill();
  uint32_t received = take();
  if (received == 0) {
    int waits_to_send = read_counter(tx.producer) != read_counter(tx.consumer);
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    if (poll(&poll_fd, 1, waits_to_send ? 1 : POLL_MS) < 0 && errno != EINTR) die("poll");
  }
  return received;
}

/* Opens queue 0 of the interface behind the steering program and says so. */
static void start(uint32_t interface_index) {
  /* However the process ends that attached the steering program, this one ends with it. */
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  open_socket(interface_index);
  while (free_count < FRAMES) {
    free_frames[free_count] = (uint64_t)free_count * FRAME_SIZE;
    free_count++;
  }
  refill();
  enter_map();
  printf("ready %d\n", getpid());
  fflush(stdout);
}
#endif
