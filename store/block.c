/* block.c - the bytes of a block, little-endian:
 *
 *   0 u8 format  1 u8 flags (1: sparse)  2 u16 messages  4 u32 account  8 u32 stream
 *  12 u32 subjects  16 u32 dictionary bytes  20 u32 payload bytes  24 u64 first seq  32 u64 last
 * seq 40 u64 XXH3-64 of all other bytes 48 per message: u32 end of it in the payload, u16 subject,
 * u16 header bytes, i64 time sparse only: a bit per sequence from first to last, set where a
 * message is dictionary: per subject u16 length, bytes payload: header and body of each message, in
 * order
 *
 * Header bytes 0xffff: the real number is a u32 in front of that message's payload. */
#include "store/block.h"

#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "store/base/err.h"
#include "store/base/reader.h"
#include "store/values.h"

#define HEAD_BYTES 48
#define SUM_AT 40
#define ENTRY_BYTES 16
#define FLAG_SPARSE 1
#define HEADER_LONG UINT16_MAX

static uint64_t checksum(const uint8_t *record, size_t bytes)
{
    uint64_t seed = XXH3_64bits(record, SUM_AT);
    return XXH3_64bits_withSeed(record + HEAD_BYTES, bytes - HEAD_BYTES, seed);
}

static void put_u16(uint8_t *at, uint16_t v)
{
    memcpy(at, &v, sizeof v);
}
static void put_u32(uint8_t *at, uint32_t v)
{
    memcpy(at, &v, sizeof v);
}
static void put_u64(uint8_t *at, uint64_t v)
{
    memcpy(at, &v, sizeof v);
}
static uint16_t get_u16(const uint8_t *at)
{
    uint16_t v;
    memcpy(&v, at, sizeof v);
    return v;
}
static uint32_t get_u32(const uint8_t *at)
{
    uint32_t v;
    memcpy(&v, at, sizeof v);
    return v;
}
static uint64_t get_u64(const uint8_t *at)
{
    uint64_t v;
    memcpy(&v, at, sizeof v);
    return v;
}

/* ---- encoding ---- */

static void slots_grow(struct block_encoder *e, uint32_t slots)
{
    free(e->slots);
    e->slots = check_alloc(slots * sizeof *e->slots);
    e->slot_mask = slots - 1;
    for (uint32_t i = 0; i < e->subject_count; i++) {
        uint32_t at = e->subjects[i]->subject_hash & e->slot_mask;
        while (e->slots[at] != 0)
            at = (at + 1) & e->slot_mask;
        e->slots[at] = (uint16_t)(i + 1);
    }
}

static bool same_subject(const struct block_msg *a, const struct block_msg *b)
{
    if (a->subject_hash != b->subject_hash || a->subject_bytes != b->subject_bytes) return false;
    return a->subject == b->subject || memcmp(a->subject, b->subject, a->subject_bytes) == 0;
}

static uint16_t subject_index(struct block_encoder *e, const struct block_msg *m)
{
    uint32_t at = m->subject_hash & e->slot_mask;
    for (; e->slots[at] != 0; at = (at + 1) & e->slot_mask) {
        uint32_t i = e->slots[at] - 1u;
        if (same_subject(e->subjects[i], m)) return (uint16_t)i;
    }
    if (e->subject_count == e->subjects_max) {
        e->subjects_max = e->subjects_max == 0 ? 16 : e->subjects_max * 2;
        e->subjects = check_realloc(e->subjects, e->subjects_max * sizeof *e->subjects);
    }
    e->subjects[e->subject_count++] = m;
    e->slots[at] = (uint16_t)e->subject_count;
    if (e->subject_count * 2 > e->slot_mask) slots_grow(e, (e->slot_mask + 1) * 2);
    return (uint16_t)(e->subject_count - 1);
}

/* What a first pass over the messages finds: subjects, sizes, holes. */
struct shape {
    uint32_t live, last; /* last: index of the last living message, from first's */
    size_t dictionary, payload;
};

static size_t payload_bytes(const struct block_msg *m)
{
    size_t extra = m->header_bytes >= HEADER_LONG ? sizeof(uint32_t) : 0;
    return extra + m->header_bytes + m->body_bytes;
}

static struct shape measure(struct block_encoder *e, const struct block_msg *msgs, uint32_t count)
{
    if (e->slots == NULL) slots_grow(e, 32);
    memset(e->slots, 0, (e->slot_mask + 1) * sizeof *e->slots);
    e->subject_count = 0;
    if (e->index_max < count) {
        e->index_max = count;
        e->index = check_realloc(e->index, count * sizeof *e->index);
    }
    struct shape s = {0};
    for (uint32_t i = 0; i < count; i++) {
        const struct block_msg *m = &msgs[i];
        if (m->dead) continue;
        bool repeat = s.live != 0 && same_subject(&msgs[s.last], m);
        e->index[i] = repeat ? e->index[s.last] : subject_index(e, m);
        s.payload += payload_bytes(m);
        s.last = i;
        s.live++;
    }
    for (uint32_t i = 0; i < e->subject_count; i++)
        s.dictionary += sizeof(uint16_t) + e->subjects[i]->subject_bytes;
    return s;
}

static uint8_t *put_entries(const struct block_encoder *e,
                            const struct block_msg *msgs,
                            const struct shape *s,
                            uint8_t *at)
{
    uint32_t end = 0;
    for (uint32_t i = 0; i <= s->last; i++) {
        const struct block_msg *m = &msgs[i];
        if (m->dead) continue;
        end += (uint32_t)payload_bytes(m);
        uint32_t header = m->header_bytes < HEADER_LONG ? m->header_bytes : HEADER_LONG;
        put_u32(at, end);
        put_u16(at + 4, e->index[i]);
        put_u16(at + 6, (uint16_t)header);
        put_u64(at + 8, (uint64_t)m->time_ns);
        at += ENTRY_BYTES;
    }
    return at;
}

static uint8_t *put_present(const struct block_msg *msgs, const struct shape *s, uint8_t *at)
{
    size_t bytes = s->last / 8 + 1;
    memset(at, 0, bytes);
    for (uint32_t i = 0; i <= s->last; i++) {
        if (!msgs[i].dead) at[i / 8] = (uint8_t)(at[i / 8] | 1u << i % 8);
    }
    return at + bytes;
}

static uint8_t *put_dictionary(const struct block_encoder *e, uint8_t *at)
{
    for (uint32_t i = 0; i < e->subject_count; i++) {
        const struct block_msg *m = e->subjects[i];
        put_u16(at, m->subject_bytes);
        memcpy(at + 2, m->subject, m->subject_bytes);
        at += 2 + m->subject_bytes;
    }
    return at;
}

static uint8_t *put_payload(const struct block_msg *msgs, const struct shape *s, uint8_t *at)
{
    for (uint32_t i = 0; i <= s->last; i++) {
        const struct block_msg *m = &msgs[i];
        if (m->dead) continue;
        if (m->header_bytes >= HEADER_LONG) {
            put_u32(at, m->header_bytes);
            at += sizeof(uint32_t);
        }
        if (m->header_bytes != 0) memcpy(at, m->header, m->header_bytes);
        at += m->header_bytes;
        if (m->body_bytes != 0) memcpy(at, m->body, m->body_bytes);
        at += m->body_bytes;
    }
    return at;
}

struct text block_encode(struct block_encoder *e,
                         struct key_stream of,
                         stream_seq first,
                         const struct block_msg *msgs,
                         uint32_t count)
{
    CHECK(count > 0 && count <= BLOCK_SPAN_MAX);
    struct shape s = measure(e, msgs, count);
    CHECK(s.live > 0 && s.payload <= UINT32_MAX);
    bool sparse = s.live != s.last + 1;
    size_t present = sparse ? s.last / 8 + 1 : 0;
    size_t bytes = HEAD_BYTES + s.live * (size_t)ENTRY_BYTES + present + s.dictionary + s.payload;
    e->out.grows = true;
    e->out.bytes = 0;
    uint8_t *head = writer_room(&e->out, bytes);
    head[0] = VALUES_FORMAT;
    head[1] = sparse ? FLAG_SPARSE : 0;
    put_u16(head + 2, (uint16_t)s.live);
    put_u32(head + 4, of.account);
    put_u32(head + 8, of.stream);
    put_u32(head + 12, e->subject_count);
    put_u32(head + 16, (uint32_t)s.dictionary);
    put_u32(head + 20, (uint32_t)s.payload);
    put_u64(head + 24, first);
    put_u64(head + 32, first + s.last);
    uint8_t *at = put_entries(e, msgs, &s, head + HEAD_BYTES);
    if (sparse) at = put_present(msgs, &s, at);
    at = put_dictionary(e, at);
    at = put_payload(msgs, &s, at);
    CHECK(at == head + bytes);
    put_u64(head + SUM_AT, checksum(head, bytes));
    return (struct text){.at = (const char *)head, .bytes = bytes};
}

void block_encoder_free(struct block_encoder *e)
{
    writer_free(&e->out);
    free(e->slots);
    free(e->subjects);
    free(e->index);
    *e = (struct block_encoder){0};
}

/* ---- decoding ---- */

static int read_dictionary(struct reader *r, struct block_view *v)
{
    v->subject_at = check_alloc(v->subjects * sizeof *v->subject_at);
    for (uint32_t i = 0; i < v->subjects; i++) {
        v->subject_at[i] = r->at;
        reader_bytes(r, reader_u16(r));
    }
    return r->bad || r->at != r->end ? E_CORRUPT : 0;
}

/* How many sequences the bitmap says are here; 0 when it says so of some behind the last. */
static size_t present_bits(const struct block_view *v)
{
    size_t span = v->last - v->first + 1, bits = 0;
    if (span % 8 != 0 && v->present[span / 8] >> span % 8 != 0) return 0;
    for (size_t i = 0; i < (span + 7) / 8; i++)
        bits += (size_t)__builtin_popcount(v->present[i]);
    return bits;
}

/* Every entry's payload lies within the block and its subject in the dictionary. */
static int check_entries(const struct block_view *v, uint32_t payload)
{
    uint32_t start = 0;
    for (uint32_t i = 0; i < v->count; i++) {
        const uint8_t *e = v->entries + (size_t)i * ENTRY_BYTES;
        uint32_t end = get_u32(e), header = get_u16(e + 6);
        if (end < start || end > payload || get_u16(e + 4) >= v->subjects) return E_CORRUPT;
        uint32_t left = end - start;
        if (header == HEADER_LONG) {
            if (left < sizeof(uint32_t)) return E_CORRUPT;
            header = get_u32(v->payload + start);
            left -= (uint32_t)sizeof(uint32_t);
        }
        if (header > left) return E_CORRUPT;
        start = end;
    }
    return start == payload ? 0 : E_CORRUPT;
}

static int read_parts(struct reader *r,
                      uint8_t flags,
                      uint32_t dictionary,
                      uint32_t payload,
                      struct block_view *v)
{
    uint64_t span = v->last - v->first + 1;
    v->entries = reader_bytes(r, (size_t)v->count * ENTRY_BYTES);
    if (flags == FLAG_SPARSE) v->present = reader_bytes(r, (span + 7) / 8);
    struct reader words = reader_sub(r, dictionary);
    v->payload = reader_bytes(r, payload);
    if (r->bad || r->at != r->end) return E_CORRUPT;
    if (v->subjects == 0 || v->subjects > dictionary / 2) return E_CORRUPT;
    if (v->present == NULL && span != v->count) return E_CORRUPT;
    if (v->present != NULL && present_bits(v) != v->count) return E_CORRUPT;
    int rc = read_dictionary(&words, v);
    if (rc == 0) rc = check_entries(v, payload);
    if (rc != 0) block_view_free(v);
    return rc;
}

int block_decode(struct text record, struct block_view *out)
{
    *out = (struct block_view){0};
    const uint8_t *head = (const uint8_t *)record.at;
    if (record.bytes < HEAD_BYTES) return E_CORRUPT;
    if (get_u64(head + SUM_AT) != checksum(head, record.bytes)) return E_CORRUPT;
    if (head[0] != VALUES_FORMAT || head[1] > FLAG_SPARSE) return E_VERSION;
    struct reader r = reader_of(head + 2, record.bytes - 2);
    out->count = reader_u16(&r);
    out->of.account = reader_u32(&r);
    out->of.stream = reader_u32(&r);
    out->subjects = reader_u32(&r);
    uint32_t dictionary = reader_u32(&r), payload = reader_u32(&r);
    out->first = reader_u64(&r);
    out->last = reader_u64(&r);
    reader_u64(&r); /* the checksum */
    if (r.bad || out->count == 0 || out->count > BLOCK_MSGS) return E_CORRUPT;
    if (out->last < out->first || out->last - out->first >= BLOCK_SPAN_MAX) return E_CORRUPT;
    return read_parts(&r, head[1], dictionary, payload, out);
}

void block_view_free(struct block_view *v)
{
    free(v->subject_at);
    *v = (struct block_view){0};
}

bool block_view_find(const struct block_view *v, stream_seq seq, uint32_t *index)
{
    if (seq < v->first || seq > v->last) return false;
    uint32_t at = (uint32_t)(seq - v->first);
    if (v->present != NULL) {
        if ((v->present[at / 8] >> at % 8 & 1) == 0) return false;
        uint32_t before = 0, i = 0;
        for (; i + 8 <= at / 8; i += 8)
            before += (uint32_t)__builtin_popcountll(get_u64(v->present + i));
        for (; i < at / 8; i++)
            before += (uint32_t)__builtin_popcount(v->present[i]);
        at = before + (uint32_t)__builtin_popcount(v->present[i] & ((1u << at % 8) - 1));
    }
    *index = at;
    return true;
}

void block_view_msg(const struct block_view *v, uint32_t index, struct store_msg *out)
{
    DCHECK(index < v->count);
    const uint8_t *e = v->entries + (size_t)index * ENTRY_BYTES;
    uint32_t start = index == 0 ? 0 : get_u32(e - ENTRY_BYTES), end = get_u32(e);
    uint32_t header = get_u16(e + 6);
    if (header == HEADER_LONG) {
        header = get_u32(v->payload + start);
        start += (uint32_t)sizeof(uint32_t);
    }
    const char *at = (const char *)v->payload + start;
    out->time_ns = (int64_t)get_u64(e + 8);
    out->subject = block_view_subject(v, get_u16(e + 4));
    out->header = (struct text){.at = at, .bytes = header};
    out->body = (struct text){.at = at + header, .bytes = end - start - header};
}

uint32_t block_view_subject_index(const struct block_view *v, uint32_t index)
{
    return get_u16(v->entries + (size_t)index * ENTRY_BYTES + 4);
}

struct text block_view_subject(const struct block_view *v, uint32_t subject)
{
    const uint8_t *at = v->subject_at[subject];
    return (struct text){.at = (const char *)at + 2, .bytes = get_u16(at)};
}

int64_t block_view_time(const struct block_view *v, uint32_t index)
{
    return (int64_t)get_u64(v->entries + (size_t)index * ENTRY_BYTES + 8);
}
