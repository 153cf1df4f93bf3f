/* leaf.c - the bytes of a leaf:
 *   u8 format, u16 entries, then per entry
 *   u64 first, u64 block number, i64 time, u32 span, u32 live, u32 bytes, u32 live bytes, u8 form,
 * set The set of live sequences has the smallest of three forms: 0 all (nothing follows), 1 a
 * bitmap of span bits, 2 u16 count and as many u16 offsets. */
#include "store/leaf.h"

#include <stdlib.h>
#include <string.h>

#include "store/base/err.h"
#include "store/base/reader.h"
#include "store/block_map.h"
#include "store/values.h"

enum { FORM_ALL, FORM_BITMAP, FORM_OFFSETS };

static struct leaf *leaf_of(const struct page *p)
{
    return CONTAINER_OF((void *)(uintptr_t)p, struct leaf, page);
}

static struct page *page_clone(const struct page *p)
{
    const struct leaf *l = leaf_of(p);
    struct leaf *c = check_alloc(sizeof *c);
    *c = *l;
    c->max = l->count == 0 ? 1 : l->count;
    c->entries = check_alloc(c->max * sizeof *c->entries);
    memcpy(c->entries, l->entries, l->count * sizeof *c->entries);
    for (uint32_t i = 0; i < c->count; i++) {
        struct leaf_entry *e = &c->entries[i];
        if (e->bits == NULL) continue;
        size_t bytes = leaf_bit_words(e->span) * sizeof *e->bits;
        uint64_t *bits = check_alloc(bytes);
        memcpy(bits, e->bits, bytes);
        e->bits = bits;
    }
    c->page.bytes = leaf_bytes(c);
    return &c->page;
}

static void page_install(struct page *from, struct page *to)
{
    block_map_install(from->of, leaf_of(from), to == NULL ? NULL : leaf_of(to));
}

static void page_settled(struct page *p)
{
    block_map_settled(p->of);
}

static void page_free(struct page *p)
{
    struct leaf *l = leaf_of(p);
    for (uint32_t i = 0; i < l->count; i++)
        free(l->entries[i].bits);
    free(l->entries);
    free(l);
}

static bool page_empty(const struct page *p)
{
    return leaf_of(p)->count == 0;
}

static struct key page_key(const struct page *p)
{
    return keys_leaf(p->id, p->at);
}

static void encode_offsets(struct writer *w, const struct leaf_entry *e)
{
    writer_u8(w, FORM_OFFSETS);
    writer_u16(w, (uint16_t)leaf_entry_count(e, e->first, leaf_entry_last(e)));
    stream_seq last = leaf_entry_last(e);
    for (stream_seq seq = e->first; seq <= last; seq++) {
        seq = leaf_entry_next(e, seq);
        if (seq == 0) break;
        writer_u16(w, (uint16_t)(seq - e->first));
    }
}

static void encode_set(struct writer *w, const struct leaf_entry *e)
{
    size_t bitmap = (e->span + 7) / 8;
    if (e->bits == NULL) {
        writer_u8(w, FORM_ALL);
    } else if (2 + 2 * (size_t)leaf_entry_count(e, e->first, leaf_entry_last(e)) < bitmap) {
        encode_offsets(w, e);
    } else {
        writer_u8(w, FORM_BITMAP);
        writer_put(w, e->bits, bitmap);
    }
}

static struct text page_encode(const struct page *p, struct writer *w)
{
    const struct leaf *l = leaf_of(p);
    w->bytes = 0;
    writer_u8(w, VALUES_FORMAT);
    writer_u16(w, (uint16_t)l->count);
    for (uint32_t i = 0; i < l->count; i++) {
        const struct leaf_entry *e = &l->entries[i];
        writer_u64(w, e->first);
        writer_u64(w, e->number);
        writer_i64(w, e->time_ns);
        writer_u32(w, e->span);
        writer_u32(w, e->live);
        writer_u32(w, e->bytes);
        writer_u32(w, e->live_bytes);
        encode_set(w, e);
    }
    return (struct text){.at = (const char *)w->base, .bytes = w->bytes};
}

static const struct page_class leaf_class = {
    .clone = page_clone,
    .install = page_install,
    .settled = page_settled,
    .free = page_free,
    .empty = page_empty,
    .key = page_key,
    .encode = page_encode,
};

struct leaf *leaf_new(struct store_stream *of, struct key_stream id, stream_seq at)
{
    struct leaf *l = check_alloc(sizeof *l);
    l->page = (struct page){.class = &leaf_class, .of = of, .id = id, .at = at};
    l->max = 4;
    l->entries = check_alloc(l->max * sizeof *l->entries);
    l->page.bytes = leaf_bytes(l);
    return l;
}

static int decode_set(struct reader *r, struct leaf_entry *e)
{
    uint8_t form = reader_u8(r);
    if (r->bad || form > FORM_OFFSETS) return E_CORRUPT;
    if (form == FORM_ALL) return 0;
    e->bits = check_alloc(leaf_bit_words(e->span) * sizeof *e->bits);
    if (form == FORM_BITMAP) {
        size_t bytes = (e->span + 7) / 8;
        const uint8_t *at = reader_bytes(r, bytes);
        if (at != NULL) memcpy(e->bits, at, bytes);
        bool over = e->span % 64 != 0 && e->bits[e->span / 64] >> e->span % 64 != 0;
        return r->bad || over ? E_CORRUPT : 0;
    }
    uint16_t count = reader_u16(r);
    for (uint16_t i = 0; i < count; i++) {
        uint16_t at = reader_u16(r);
        if (r->bad || at >= e->span) return E_CORRUPT;
        e->bits[at / 64] |= UINT64_C(1) << at % 64;
    }
    return r->bad ? E_CORRUPT : 0;
}

static int decode_entry(struct reader *r, stream_seq above, struct leaf_entry *e)
{
    *e = (struct leaf_entry){.first = reader_u64(r), .number = reader_u64(r)};
    e->time_ns = reader_i64(r);
    e->span = reader_u32(r);
    e->live = reader_u32(r);
    e->bytes = reader_u32(r);
    e->live_bytes = reader_u32(r);
    if (r->bad || e->first < above || e->number == 0) return E_CORRUPT;
    if (e->span == 0 || e->span > BLOCK_SPAN_MAX || e->live == 0 || e->live > e->span)
        return E_CORRUPT;
    if (e->live_bytes > e->bytes) return E_CORRUPT;
    return decode_set(r, e);
}

int leaf_decode(struct store_stream *of,
                struct key_stream id,
                stream_seq at,
                struct text value,
                struct leaf **out)
{
    struct reader r = reader_of(value.at, value.bytes);
    uint8_t format = reader_u8(&r);
    uint16_t count = reader_u16(&r);
    if (r.bad || count == 0 || count > LEAF_ENTRIES) return E_CORRUPT;
    if (format != VALUES_FORMAT) return E_VERSION;
    struct leaf *l = leaf_new(of, id, at);
    l->max = count;
    l->entries = check_realloc(l->entries, l->max * sizeof *l->entries);
    int rc = 0;
    stream_seq above = at;
    while (rc == 0 && l->count < count) {
        struct leaf_entry *e = &l->entries[l->count++];
        rc = decode_entry(&r, above, e);
        above = leaf_entry_last(e) + 1;
    }
    if (rc == 0 && r.at != r.end) rc = E_CORRUPT;
    l->page.bytes = leaf_bytes(l);
    if (rc != 0) {
        page_free(&l->page);
        return rc;
    }
    *out = l;
    return 0;
}

uint64_t leaf_bytes(const struct leaf *l)
{
    uint64_t bytes = sizeof *l + l->max * sizeof *l->entries;
    for (uint32_t i = 0; i < l->count; i++)
        if (l->entries[i].bits != NULL) bytes += leaf_bit_words(l->entries[i].span) * 8;
    return bytes;
}

int leaf_find(const struct leaf *l, stream_seq seq)
{
    int low = -1, high = (int)l->count - 1;
    while (low < high) {
        int middle = low + (high - low + 1) / 2;
        if (l->entries[middle].first <= seq) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    return low;
}

void leaf_insert(struct leaf *l, uint32_t index, struct leaf_entry e)
{
    CHECK(l->count < LEAF_ENTRIES);
    CHECK(index <= l->count);
    if (l->count == l->max) {
        l->max *= 2;
        l->entries = check_realloc(l->entries, l->max * sizeof *l->entries);
    }
    memmove(&l->entries[index + 1], &l->entries[index], (l->count - index) * sizeof e);
    l->entries[index] = e;
    l->count++;
}

void leaf_remove(struct leaf *l, uint32_t index)
{
    CHECK(index < l->count);
    free(l->entries[index].bits);
    l->count--;
    memmove(&l->entries[index], &l->entries[index + 1], (l->count - index) * sizeof *l->entries);
    if (l->count > 0 || l->max <= 4) return;
    l->max = 4; /* it waits, empty, for the flush that deletes its row */
    l->entries = check_realloc(l->entries, l->max * sizeof *l->entries);
}

void leaf_entry_clear(struct leaf_entry *e, stream_seq seq)
{
    uint64_t at = seq - e->first;
    CHECK(at < e->span);
    if (e->bits == NULL) {
        size_t words = leaf_bit_words(e->span);
        e->bits = check_alloc(words * sizeof *e->bits);
        memset(e->bits, 0xff, words * sizeof *e->bits);
        if (e->span % 64 != 0) e->bits[words - 1] = (UINT64_C(1) << e->span % 64) - 1;
    }
    CHECK(e->bits[at / 64] >> at % 64 & 1);
    e->bits[at / 64] &= ~(UINT64_C(1) << at % 64);
}

stream_seq leaf_entry_next(const struct leaf_entry *e, stream_seq seq)
{
    if (seq < e->first) seq = e->first;
    uint64_t at = seq - e->first;
    if (at >= e->span) return 0;
    if (e->bits == NULL) return seq;
    size_t word = at / 64, words = leaf_bit_words(e->span);
    uint64_t bits = e->bits[word] & (UINT64_MAX << at % 64);
    while (bits == 0) {
        if (++word == words) return 0;
        bits = e->bits[word];
    }
    return e->first + word * 64 + (unsigned)__builtin_ctzll(bits);
}

stream_seq leaf_entry_prev(const struct leaf_entry *e, stream_seq seq)
{
    if (seq > leaf_entry_last(e)) seq = leaf_entry_last(e);
    if (seq < e->first) return 0;
    if (e->bits == NULL) return seq;
    uint64_t at = seq - e->first;
    size_t word = at / 64;
    uint64_t bits = e->bits[word] & (UINT64_MAX >> (63 - at % 64));
    while (bits == 0) {
        if (word-- == 0) return 0;
        bits = e->bits[word];
    }
    return e->first + word * 64 + 63 - (unsigned)__builtin_clzll(bits);
}

uint32_t leaf_entry_count(const struct leaf_entry *e, stream_seq from, stream_seq to)
{
    CHECK(from >= e->first && to <= leaf_entry_last(e));
    if (from > to) return 0;
    if (e->bits == NULL) return (uint32_t)(to - from + 1);
    uint64_t low = from - e->first, high = to - e->first;
    uint32_t count = 0;
    for (uint64_t word = low / 64; word <= high / 64; word++) {
        uint64_t bits = e->bits[word];
        if (word == low / 64) bits &= UINT64_MAX << low % 64;
        if (word == high / 64) bits &= UINT64_MAX >> (63 - high % 64);
        count += (uint32_t)__builtin_popcountll(bits);
    }
    return count;
}
