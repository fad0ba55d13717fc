/*
 * The AF_PACKET yardstick: what io/af-packet-device.ts does, in C and for throughput alone: a receive ring of TPACKET_V3, which
 * hands over whole blocks, of as many bytes as the device's; each frame goes back with its MAC addresses swapped, from where
 * it lies, by sendmmsg past the queueing discipline, in batches as large. bench/forwarding/c-packet-reflector.ts attaches the
 * guard and starts it inside the namespace.
 *
 *   reflect-packet IFINDEX          descriptor 3 is the steering's socket filter; prints "ready PID", runs until a signal
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include "die.h"

#define BLOCK_SIZE (1 << 17)
#define BLOCKS 64
#define FRAME_SIZE 2048
#define BATCH 64
#define POLL_MS 50
#define FILTER_FD 3
#define SEND_BUFFER (8 * 1024 * 1024)

static int fd;
static uint8_t *ring;
static struct mmsghdr messages[BATCH];
static struct iovec frames[BATCH];

static void set_option(int level, int name, const void *value, socklen_t length) {
  if (setsockopt(fd, level, name, value, length) != 0) die("setsockopt of the packet socket");
}

static void open_socket(int interface_index) {
  const int version = TPACKET_V3, one = 1, filter = FILTER_FD, send_buffer = SEND_BUFFER;
  struct tpacket_req3 request;
  struct sockaddr_ll address;
  fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
  if (fd < 0) die("packet socket");
  set_option(SOL_SOCKET, SO_ATTACH_BPF, &filter, sizeof filter);
  set_option(SOL_PACKET, PACKET_VERSION, &version, sizeof version);
  memset(&request, 0, sizeof request);
  request.tp_block_size = BLOCK_SIZE;
  request.tp_block_nr = BLOCKS;
  request.tp_frame_size = FRAME_SIZE;
  request.tp_frame_nr = BLOCK_SIZE / FRAME_SIZE * BLOCKS;
  request.tp_retire_blk_tov = 1;
  set_option(SOL_PACKET, PACKET_RX_RING, &request, sizeof request);
  ring = mmap(NULL, (size_t)BLOCK_SIZE * BLOCKS, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
  if (ring == MAP_FAILED) die("mmap of the ring");
  set_option(SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof one);
  set_option(SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof one);
  set_option(SOL_SOCKET, SO_SNDBUFFORCE, &send_buffer, sizeof send_buffer);
  memset(&address, 0, sizeof address);
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(ETH_P_ALL);
  address.sll_ifindex = interface_index;
  if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0) die("bind of the packet socket");
}

static void swap_macs(uint8_t *frame) {
  uint8_t source[6];
  memcpy(source, frame + 6, 6);
  memcpy(frame + 6, frame, 6);
  memcpy(frame, source, 6);
}

/* The first that the kernel refuses ends a call and is dropped; without room for one there is none for the rest. */
static void transmit(int count) {
  int done = 0;
  while (done < count) {
    int sent = sendmmsg(fd, messages + done, (unsigned)(count - done), MSG_DONTWAIT);
    if (sent > 0) done += sent;
    else if (errno == EAGAIN) return;
    else done++;
  }
}

static void reflect_block(struct tpacket_block_desc *block) {
  uint8_t *at = (uint8_t *)block + block->hdr.bh1.offset_to_first_pkt;
  int queued = 0;
  for (uint32_t i = 0; i < block->hdr.bh1.num_pkts; i++) {
    struct tpacket3_hdr *header = (struct tpacket3_hdr *)at;
    frames[queued].iov_base = at + header->tp_mac;
    frames[queued].iov_len = header->tp_snaplen;
    swap_macs(frames[queued].iov_base);
    if (++queued == BATCH) {
      transmit(queued);
      queued = 0;
    }
    at += header->tp_next_offset;
  }
  if (queued != 0) transmit(queued);
}

int main(int count, char **arguments) {
  if (count != 2) {
    fputs("usage: reflect-packet IFINDEX\n", stderr);
    return 2;
  }
  /* However the process ends that attached the guard, this one ends with it. */
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  for (int i = 0; i < BATCH; i++) {
    messages[i].msg_hdr.msg_iov = &frames[i];
    messages[i].msg_hdr.msg_iovlen = 1;
  }
  open_socket(atoi(arguments[1]));
  printf("ready %d\n", getpid());
  fflush(stdout);
  struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
  for (uint32_t next = 0;;) {
    struct tpacket_block_desc *block = (struct tpacket_block_desc *)(ring + (size_t)next * BLOCK_SIZE);
    if ((__atomic_load_n(&block->hdr.bh1.block_status, __ATOMIC_ACQUIRE) & TP_STATUS_USER) == 0) {
      if (poll(&poll_fd, 1, POLL_MS) < 0 && errno != EINTR) die("poll");
      continue;
    }
    reflect_block(block);
    __atomic_store_n(&block->hdr.bh1.block_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
    next = (next + 1) % BLOCKS;
  }
}
