/*
 * The two passes of lb/forwarder.ts over a batch in C, and the rows of lb/expiry-reset.ts. The same decisions and the same
 * counters; only the RST is not written: a packet that would be answered with one leaves by its exit untouched. For
 * decision.c and balance.c.
 */
#define FORWARDED 0
#define NOT_VIP 10
#define OTHER_PORT 11
#define NO_BACKEND_LEFT 12
#define NO_NEIGHBOUR 13
#define TOO_BIG 14
#define RESET_UNKNOWN 15
#define UNKNOWN_RESET 16
#define UNKNOWN_DROPPED 17
#define RESET_EXPIRED 18
#define EXITS 19

#define NO_BACKEND 0xffff
#define ON_MISS_FORWARD 0
#define ON_MISS_DROP 2

#define BATCH 64
#define WORTH_PREFETCHING 32768

struct expiry_row {
  int32_t sequence_end, acknowledged, source, ports, mac_low, state;
};

struct walker {
  struct state state;
  struct table table;
  struct expiry_row *expiry_rows;
  uint8_t *memory;
  uint32_t count, cursor, touched;
  uint32_t offset[BATCH], length[BATCH];
  uint8_t exit[BATCH];
  int32_t service[BATCH];
  uint32_t hash[BATCH];
  struct flow flow[BATCH];
  uint64_t exits[EXITS], stray_exits[EXITS];
  uint64_t hits, syn_misses, non_syn_misses, unfinished_checksums, expiry_resets;
  uint64_t *backend_packets, *backend_bytes;
};

static struct walker *create_walker(const char *state_path, uint8_t *frames) {
  struct walker *w = allocate(1, sizeof *w);
  w->state = read_state(state_path);
  w->memory = frames;
  const struct header *h = &w->state.h;
  if (h->capacity > 0) create_table(&w->table, (uint32_t)h->capacity, (uint32_t)h->idle_timeout_ms);
  if (h->resets_on_expiry) w->expiry_rows = map_huge((size_t)w->table.bucket_count * WAYS * sizeof(struct expiry_row));
  w->backend_packets = allocate((size_t)h->backend_count, 8);
  w->backend_bytes = allocate((size_t)h->backend_count, 8);
  return w;
}

/* Its tables are the process's until that ends. */
static inline void free_walker(struct walker *w) {
  free_state(&w->state);
  free(w->backend_packets);
  free(w->backend_bytes);
  free(w);
}

static int take_expired(struct walker *w) {
  int32_t slot = w->table.last_expired;
  w->table.last_expired = -1;
  if (slot < 0) return 0;
  int live = (uint32_t)w->expiry_rows[slot].state >> 16 != 0;
  w->expiry_rows[slot].state = 0;
  return live;
}

static void note_segment(struct walker *w, uint32_t i, int32_t backend, int is_new) {
  if (w->table.last_place < 0) return;
  struct expiry_row *row = &w->expiry_rows[w->table.last_place / SLOT_WORDS];
  const struct flow *flow = &w->flow[i];
  if (is_new) {
    if (row->source == flow->source && row->ports == flow->ports) w->table.last_expired = -1;
    else take_expired(w);
    row->state = 0;
  }
  if ((flow->tcp_flags & (FIN | RST)) != 0) row->state = 1;
  if ((flow->tcp_flags & ACK) == 0 || row->state == 1) return;
  const uint8_t *frame = w->memory + w->offset[i], *tcp = frame + ETHERNET + IPV4;
  uint32_t data = flow->ip_length - IPV4 - ((uint32_t)(tcp[12] >> 4) << 2);
  int32_t end = (int32_t)(__builtin_bswap32(load32(tcp + 4)) + data + ((flow->tcp_flags & SYN) != 0) +
                          ((flow->tcp_flags & FIN) != 0));
  int32_t acknowledged = (int32_t)__builtin_bswap32(load32(tcp + 8));
  int unset = row->state == 0;
  if (unset || (int32_t)((uint32_t)end - (uint32_t)row->sequence_end) > 0) row->sequence_end = end;
  if (unset || (int32_t)((uint32_t)acknowledged - (uint32_t)row->acknowledged) > 0) row->acknowledged = acknowledged;
  row->source = flow->source;
  row->ports = flow->ports;
  row->mac_low = (int32_t)load32(frame + 6);
  row->state = load16(frame + 10) | (backend + 1) << 16;
}

static inline int arrive(struct walker *w, uint32_t i) {
  struct flow *flow = &w->flow[i];
  int parsed = parse_flow(w->memory + w->offset[i], w->length[i], flow);
  w->service[i] = NO_SERVICE;
  if (parsed != FLOW) {
    return parsed >= OTHER_PROTOCOL && find_vip(&w->state, flow->destination) == NO_SERVICE ? NOT_VIP : parsed;
  }
  int32_t owner = find_service(&w->state, flow);
  if (owner < 0) return owner == VIP_ONLY ? OTHER_PORT : NOT_VIP;
  w->service[i] = owner;
  w->hash[i] = connection_hash(flow, (uint32_t)w->state.h.hash_seed);
  return FLOW;
}

static inline int32_t choose_backend(struct walker *w, uint32_t i) {
  const struct header *h = &w->state.h;
  if (h->rotation_length > 0) {
    uint32_t turn = w->cursor;
    w->cursor = turn + 1 < (uint32_t)h->rotation_length ? turn + 1 : 0;
    return w->state.rotation[turn];
  }
  return w->state.lookup_table[flow_hash(h->hash_kind, &w->flow[i], (uint32_t)h->hash_seed) % (uint32_t)h->table_size];
}

static inline int send_to(struct walker *w, int32_t backend, uint32_t i) {
  const int32_t *hop = w->state.hops + backend * HOP_WORDS;
  uint32_t bytes = w->flow[i].ip_length, largest = (uint32_t)hop[3];
  if (bytes > largest) return largest == 0 ? NO_NEIGHBOUR : TOO_BIG;
  uint32_t grown = encapsulate(w->memory + w->offset[i], bytes, w->state.h.encap, hop);
  w->offset[i] -= grown;
  w->length[i] = ETHERNET + bytes + grown;
  w->backend_packets[backend]++;
  w->backend_bytes[backend] += bytes;
  return FORWARDED;
}

static inline int leave(struct walker *w, uint32_t i, uint32_t now) {
  const struct header *h = &w->state.h;
  struct table *table = h->capacity > 0 ? &w->table : NULL;
  const struct flow *flow = &w->flow[i];
  int flags = flow->tcp_flags;
  int opens = (flags & (SYN | ACK | RST | FIN)) == SYN;
  int32_t backend = MISS;
  if (!opens && table != NULL) backend = find(table, w->hash[i], flow->source, flow->ports, now);
  if (backend != MISS) {
    w->hits++;
    if ((flags & (FIN | RST)) != 0) mark_closing(table);
    if (h->resets_on_expiry) note_segment(w, i, backend, 0);
    return send_to(w, backend, i);
  }
  if (opens) {
    w->syn_misses++;
    if (has_unfinished_checksum(w->memory + w->offset[i], flow->ip_length)) w->unfinished_checksums++;
  } else {
    w->non_syn_misses++;
  }
  if (!opens && h->resets_on_expiry && take_expired(w)) {
    if ((flags & RST) != 0) return UNKNOWN_RESET;
    w->expiry_resets++;
    return RESET_EXPIRED;
  }
  if (!opens && h->on_miss != ON_MISS_FORWARD) {
    if (h->on_miss == ON_MISS_DROP) return UNKNOWN_DROPPED;
    return (flags & RST) != 0 ? UNKNOWN_RESET : RESET_UNKNOWN;
  }
  backend = choose_backend(w, i);
  if (backend == NO_BACKEND) return NO_BACKEND_LEFT;
  if (table != NULL && (flags & RST) == 0) {
    insert(table, w->hash[i], flow->source, flow->ports, backend, now);
    if ((flags & FIN) != 0) mark_closing(table);
    if (h->resets_on_expiry) note_segment(w, i, backend, 1);
  }
  return send_to(w, backend, i);
}

static void walk(struct walker *w, uint32_t now) {
  uint32_t touched = 0;
  for (uint32_t i = 0; i < w->count; i++) {
    if (w->length[i] > 0) touched ^= w->memory[w->offset[i]];
  }
  w->touched = touched;
  for (uint32_t i = 0; i < w->count; i++) w->exit[i] = (uint8_t)arrive(w, i);
  if (w->state.h.capacity > 0) {
    for (uint32_t i = 0; i < w->count; i++) {
      if (w->exit[i] == FLOW) touched ^= (uint32_t)w->table.words[primary_bucket(&w->table, w->hash[i])];
    }
    w->touched = touched;
  }
  if (w->state.h.resets_on_expiry && w->table.size >= WORTH_PREFETCHING) {
    for (uint32_t i = 0; i < w->count; i++) {
      if (w->exit[i] != FLOW) continue;
      int32_t place = locate(&w->table, w->hash[i], w->flow[i].source, w->flow[i].ports);
      if (place < 0) continue;
      const struct expiry_row *row = &w->expiry_rows[place / SLOT_WORDS];
      touched ^= (uint32_t)(row->sequence_end ^ row->state);
    }
    w->touched = touched;
  }
  for (uint32_t i = 0; i < w->count; i++) {
    if (w->exit[i] == FLOW) w->exit[i] = (uint8_t)leave(w, i, now);
    (w->service[i] >= 0 ? w->exits : w->stray_exits)[w->exit[i]]++;
  }
}
