/*
 * The connection table of conntrack/table.ts in C: the same slots, buckets, hashes and rules, function by function. For
 * decision.c and balance.c.
 *
 *   slot: last seen | meta (backend, 16 occupied, 17 closing) | source address | both ports
 */
#define MISS -1
#define WAYS 4
#define SLOT_WORDS 4
#define LAST_SEEN 0
#define META 1
#define KEY 2
#define BACKEND_MASK 0xffff
#define OCCUPIED (1 << 16)
#define CLOSING (1 << 17)
#define PROVEN (1 << 18)
#define CLOSING_TIMEOUT_MS 5000
#define ROOM_SEARCH 32

struct table {
  int32_t *words;
  uint32_t bucket_count, capacity;
  uint32_t idle_timeout_ms, closing_timeout_ms;
  uint32_t size, inserted, expired, evicted, refused;
  int32_t last_place, last_expired;
  uint32_t room_slot;
};

static void create_table(struct table *t, uint32_t capacity, uint32_t idle_timeout_ms) {
  memset(t, 0, sizeof *t);
  t->bucket_count = (2 * capacity + WAYS - 1) / WAYS;
  t->capacity = capacity;
  t->idle_timeout_ms = idle_timeout_ms;
  t->closing_timeout_ms = idle_timeout_ms < CLOSING_TIMEOUT_MS ? idle_timeout_ms : CLOSING_TIMEOUT_MS;
  t->words = map_huge((size_t)t->bucket_count * WAYS * SLOT_WORDS * 4);
  t->last_place = t->last_expired = -1;
}

static inline int32_t primary_bucket(const struct table *t, uint32_t hash) {
  return (int32_t)((uint64_t)hash * t->bucket_count >> 32) * WAYS * SLOT_WORDS;
}

static inline int32_t secondary_bucket(const struct table *t, uint32_t hash) {
  return primary_bucket(t, (hash ^ (hash >> 16)) * 0x9e3779b1u);
}

static inline uint32_t age_of(const struct table *t, int32_t place, uint32_t now) {
  return now - (uint32_t)t->words[place + LAST_SEEN];
}

static inline int has_idled_out(const struct table *t, int32_t place, uint32_t now) {
  int closing = (t->words[place + META] & CLOSING) != 0;
  return age_of(t, place, now) >= (closing ? t->closing_timeout_ms : t->idle_timeout_ms);
}

static inline int32_t locate_in(const struct table *t, int32_t bucket, int32_t key0, int32_t key1) {
  for (int32_t place = bucket; place < bucket + WAYS * SLOT_WORDS; place += SLOT_WORDS) {
    int same = t->words[place + KEY] == key0 && t->words[place + KEY + 1] == key1;
    if (same && (t->words[place + META] & OCCUPIED) != 0) return place;
  }
  return -1;
}

static inline int32_t locate(const struct table *t, uint32_t hash, int32_t key0, int32_t key1) {
  int32_t place = locate_in(t, primary_bucket(t, hash), key0, key1);
  return place >= 0 ? place : locate_in(t, secondary_bucket(t, hash), key0, key1);
}

static void vacate(struct table *t, int32_t place, uint32_t now) {
  if ((t->words[place + META] & OCCUPIED) == 0) return;
  if (has_idled_out(t, place, now)) {
    t->expired++;
    t->last_expired = place / SLOT_WORDS;
  } else {
    t->evicted++;
  }
  t->size--;
  t->words[place + META] = 0;
}

static inline int32_t find(struct table *t, uint32_t hash, int32_t key0, int32_t key1, uint32_t now) {
  int32_t place = locate(t, hash, key0, key1);
  if (place < 0 || has_idled_out(t, place, now)) {
    if (place >= 0) vacate(t, place, now);
    t->last_place = -1;
    return MISS;
  }
  int32_t meta = t->words[place + META];
  t->words[place + LAST_SEEN] = (int32_t)now;
  t->words[place + META] = meta | PROVEN;
  t->last_place = place;
  return meta & BACKEND_MASK;
}

static int is_protected(const struct table *t, int32_t place, uint32_t age) {
  return (t->words[place + META] & PROVEN) != 0 && 2ULL * age < t->idle_timeout_ms;
}

static int make_room(struct table *t, uint32_t now) {
  for (int left = ROOM_SEARCH; left > 0; left--) {
    uint32_t slot = t->room_slot;
    t->room_slot = slot + 1 == t->bucket_count * WAYS ? 0 : slot + 1;
    int32_t place = (int32_t)slot * SLOT_WORDS;
    if ((t->words[place + META] & OCCUPIED) == 0) continue;
    if (is_protected(t, place, age_of(t, place, now)) && !has_idled_out(t, place, now)) continue;
    vacate(t, place, now);
    return 1;
  }
  return 0;
}

static int32_t choose_slot(struct table *t, uint32_t hash, uint32_t now) {
  int full = t->size >= t->capacity;
  int32_t primary = primary_bucket(t, hash), secondary = secondary_bucket(t, hash), free = -1, oldest = -1;
  int64_t oldest_age = -1;
  for (int way = 0; way < 2 * WAYS; way++) {
    int32_t place = (way < WAYS ? primary : secondary) + way % WAYS * SLOT_WORDS;
    if ((t->words[place + META] & OCCUPIED) == 0) {
      if (!full) return place;
      if (free < 0) free = place;
      continue;
    }
    if (has_idled_out(t, place, now)) return place;
    uint32_t age = age_of(t, place, now);
    if (age > oldest_age && !is_protected(t, place, age)) {
      oldest = place;
      oldest_age = age;
    }
  }
  if (oldest < 0 && free >= 0 && make_room(t, now)) return free;
  return oldest;
}

static void insert(struct table *t, uint32_t hash, int32_t key0, int32_t key1, int32_t backend, uint32_t now) {
  int32_t place = locate(t, hash, key0, key1);
  if (place < 0 || has_idled_out(t, place, now)) {
    if (place < 0) place = choose_slot(t, hash, now);
    if (place < 0) {
      t->last_place = -1;
      t->refused++;
      return;
    }
    vacate(t, place, now);
    t->size++;
    t->inserted++;
    t->words[place + KEY] = key0;
    t->words[place + KEY + 1] = key1;
  }
  t->words[place + LAST_SEEN] = (int32_t)now;
  t->words[place + META] = OCCUPIED | backend;
  t->last_place = place;
}

static inline void mark_closing(struct table *t) {
  if (t->last_place >= 0) t->words[t->last_place + META] |= CLOSING;
}
