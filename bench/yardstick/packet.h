/*
 * What wire/flow.ts, hashing/flow-hash.ts, lb/service-index.ts and dsr/encap.ts do to one packet, in C, function by function.
 * For decision.c. Words are loaded little-endian, as there. IPv4 alone, without fragments and ICMP: what is no part of the
 * forwarder's own walk is none here.
 */
#define FLOW 0
#define NOT_IPV4 1
#define TRUNCATED 2
#define BAD_IP_HEADER 3
#define OTHER_PROTOCOL 4
#define IP_OPTIONS 5
#define TTL_EXPIRED 6
#define FRAGMENT 7
#define BAD_TCP_HEADER 8
#define BAD_UDP_HEADER 9

#define ETHERNET 14
#define IPV4 20
#define PROTOCOL_TCP 6
#define PROTOCOL_UDP 17
#define PROTOCOL_IPIP 4

#define FIN 1
#define SYN 2
#define RST 4
#define ACK 16

#define NO_SERVICE -1
#define VIP_ONLY -2
#define EMPTY -3
#define VIP_KEY 255
#define INDEX_ROW 8

#define SOURCE_IP 0
#define SOURCE_IP_PORT 1
#define ENCAP_IPIP 1

#define HOP_WORDS 16

struct flow {
  int32_t source, destination, ports;
  uint16_t ip_length;
  uint8_t tcp_flags, protocol;
  uint32_t l4;
};

static inline uint16_t load16(const uint8_t *at) {
  uint16_t word;
  memcpy(&word, at, 2);
  return word;
}

static inline uint32_t load32(const uint8_t *at) {
  uint32_t word;
  memcpy(&word, at, 4);
  return word;
}

static inline void store16(uint8_t *at, uint16_t word) { memcpy(at, &word, 2); }
static inline void store32(uint8_t *at, uint32_t word) { memcpy(at, &word, 4); }

static inline uint16_t swap16(uint16_t word) { return (uint16_t)(word << 8 | word >> 8); }

static inline int parse_flow(const uint8_t *frame, uint32_t length, struct flow *flow) {
  if (length < ETHERNET) return TRUNCATED;
  if (swap16(load16(frame + 12)) != 0x0800) return NOT_IPV4;
  uint32_t available = length - ETHERNET;
  if (available < IPV4) return TRUNCATED;
  const uint8_t *ip = frame + ETHERNET;
  uint32_t header_length = (ip[0] & 15u) << 2, total_length = swap16(load16(ip + 2));
  if (ip[0] >> 4 != 4 || header_length < IPV4) return BAD_IP_HEADER;
  if (total_length < header_length || total_length > available) return BAD_IP_HEADER;
  flow->source = (int32_t)load32(ip + 12);
  flow->destination = (int32_t)load32(ip + 16);
  flow->ip_length = (uint16_t)total_length;
  flow->protocol = ip[9];
  flow->l4 = ETHERNET + header_length;
  if (ip[9] != PROTOCOL_TCP && ip[9] != PROTOCOL_UDP) return OTHER_PROTOCOL;
  if (ip[8] == 0) return TTL_EXPIRED;
  if ((swap16(load16(ip + 6)) & 0x3fff) != 0) return FRAGMENT;
  if (header_length != IPV4) return IP_OPTIONS;
  const uint8_t *tcp = ip + header_length;
  uint32_t tcp_length = total_length - header_length;
  if (ip[9] == PROTOCOL_UDP) {
    uint32_t claimed = tcp_length < 8 ? 0 : swap16(load16(tcp + 4));
    if (claimed < 8 || claimed > tcp_length) return BAD_UDP_HEADER;
    flow->ports = (int32_t)load32(tcp);
    flow->tcp_flags = 0;
    return FLOW;
  }
  if (tcp_length < 20) return BAD_TCP_HEADER;
  uint32_t tcp_header_length = (uint32_t)(tcp[12] >> 4) << 2;
  if (tcp_header_length < 20 || tcp_header_length > tcp_length) return BAD_TCP_HEADER;
  flow->ports = (int32_t)load32(tcp);
  flow->tcp_flags = tcp[13];
  return FLOW;
}

/* Sum of the pseudo-header in big-endian words: what an unfinished checksum carries. */
static int has_unfinished_checksum(const uint8_t *frame, uint32_t ip_length) {
  const uint8_t *ip = frame + ETHERNET;
  uint32_t sum = ip[9] + ip_length - IPV4;
  for (int i = 12; i < 20; i += 2) sum += swap16(load16(ip + i));
  sum = (sum & 0xffff) + (sum >> 16);
  return swap16(load16(ip + IPV4 + 16)) == (sum & 0xffff) + (sum >> 16);
}

static inline uint32_t rotate(uint32_t word, int bits) { return word << bits | word >> (32 - bits); }

static inline uint32_t mix_word(uint32_t hash, uint32_t word) {
  return rotate(hash + word * 0xc2b2ae3du, 17) * 0x27d4eb2fu;
}

static inline uint32_t avalanche(uint32_t hash) {
  hash = (hash ^ (hash >> 15)) * 0x85ebca77u;
  hash = (hash ^ (hash >> 13)) * 0xc2b2ae3du;
  return hash ^ (hash >> 16);
}

static inline uint32_t xxh32_word(uint32_t word, uint32_t seed) {
  return avalanche(mix_word(seed + 0x165667b1u + 4, word));
}

static inline uint32_t connection_hash(const struct flow *flow, uint32_t seed) {
  return xxh32_word((uint32_t)flow->ports, xxh32_word((uint32_t)flow->source, seed));
}

static inline uint32_t flow_hash(int kind, const struct flow *flow, uint32_t seed) {
  uint32_t ports = (uint32_t)flow->ports, hash = xxh32_word((uint32_t)flow->source, seed);
  if (kind == SOURCE_IP) return hash;
  if (kind == SOURCE_IP_PORT) return xxh32_word(ports & 0xffff, hash);
  hash = xxh32_word((uint32_t)flow->destination, hash);
  return xxh32_word(flow->protocol, xxh32_word(ports, hash));
}

static inline int32_t probe(const struct state *s, int32_t vip, int32_t key) {
  const int32_t *rows = s->index_rows;
  uint32_t hash = ((uint32_t)vip * 0x9e3779b1u ^ (uint32_t)key) * 0x85ebca6bu;
  int32_t at = (int32_t)(hash >> s->h.index_shift) * INDEX_ROW;
  while (rows[at + 5] != EMPTY && (rows[at] != vip || rows[at + 4] != key)) {
    at += INDEX_ROW;
    if (at == s->h.index_words) at = 0;
  }
  return rows[at + 5];
}

static inline int32_t find_vip(const struct state *s, int32_t vip) {
  int32_t value = probe(s, vip, VIP_KEY);
  return value != EMPTY ? value : NO_SERVICE;
}

static inline int32_t find_service(const struct state *s, const struct flow *flow) {
  uint32_t port = (uint32_t)flow->ports >> 16;
  int32_t value = probe(s, flow->destination, (int32_t)(port << 8 | flow->protocol));
  return value != EMPTY ? value : find_vip(s, flow->destination);
}

static inline uint32_t halves(uint32_t word) { return (word & 0xffff) + (word >> 16); }

static inline uint32_t fold(uint32_t sum) {
  sum = halves(sum);
  return halves(sum);
}

/* Returns the bytes that the frame grew at its front. */
static inline uint32_t encapsulate(uint8_t *frame, uint32_t ip_length, int encap, const int32_t *hop) {
  uint32_t grown = encap == ENCAP_IPIP ? IPV4 : 0;
  if (encap == ENCAP_IPIP) {
    const uint8_t *inner = frame + ETHERNET;
    uint8_t *outer = frame + ETHERNET - IPV4;
    uint32_t length = ip_length + IPV4;
    uint32_t first = 0x45u | (uint32_t)inner[1] << 8 | (uint32_t)swap16((uint16_t)length) << 16;
    uint32_t identification = load32(inner + 4) & 0x0040ffffu;
    uint32_t check = ~fold((uint32_t)hop[5] + halves(first) + halves(identification));
    store32(outer, first);
    store32(outer + 4, identification);
    store32(outer + 8, 64u | PROTOCOL_IPIP << 8 | check << 16);
    store32(outer + 12, (uint32_t)hop[6]);
    store32(outer + 16, (uint32_t)hop[7]);
  }
  uint8_t *ethernet = frame - grown;
  store32(ethernet, (uint32_t)hop[0]);
  store32(ethernet + 4, (uint32_t)hop[1]);
  store32(ethernet + 8, (uint32_t)hop[2]);
  store16(ethernet + 12, 0x0008);
  return grown;
}
