/* dedup.c - see dedup.h. A row: u16 count, then count entries of 32 bytes: u64 high, u64 low, u64
 * seq, i64 time. Entry n lies in chunk n / 128; a chunk that is abandoned half full keeps its row
 * until its entries have left the window. */
#include "store/state/dedup.h"

#include <stdlib.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "store/base/bug.h"
#include "store/base/err.h"
#include "store/base/reader.h"
#include "store/base/writer.h"

#define CHUNK_ENTRIES 128

struct entry {
    uint64_t high, low;
    stream_seq seq;
    int64_t time_ns;
};
struct dedup_chunk {
    struct dedup_chunk *next;
    uint64_t number;
    uint32_t count;
    struct entry entries[CHUNK_ENTRIES];
};

void dedup_init(struct dedup *d)
{
    *d = (struct dedup){0};
    map_init(&d->ids, 0, NULL);
}

void dedup_free(struct dedup *d)
{
    for (struct dedup_chunk *c = d->first, *next; c != NULL; c = next) {
        next = c->next;
        free(c);
    }
    map_free(&d->ids);
    *d = (struct dedup){0};
}

/* ---- chunks ---- */

static struct dedup_chunk *append_chunk(struct dedup *d, uint64_t number)
{
    struct dedup_chunk *c = check_alloc(sizeof *c);
    c->number = number;
    if (d->last == NULL)
        d->first = c;
    else
        d->last->next = c;
    d->last = c;
    return c;
}

static void drop_first_chunk(struct dedup *d)
{
    struct dedup_chunk *c = d->first;
    if (d->unsaved == c) d->unsaved = c->next;
    d->first = c->next;
    if (d->first == NULL) {
        d->last = NULL;
        d->tail = (c->number + 1) * CHUNK_ENTRIES;
    }
    free(c);
}

static struct entry *entry_at(struct dedup *d, uint64_t number)
{
    CHECK_EQ(d->first->number, number / CHUNK_ENTRIES);
    return &d->first->entries[number % CHUNK_ENTRIES];
}

/* ---- the window ---- */

void dedup_expire(struct dedup *d, int64_t upto_ns)
{
    while (d->head < d->tail) {
        struct entry *e = entry_at(d, d->head);
        if (e->time_ns > upto_ns) return;
        if (map_get_u64(&d->ids, e->low) == e) map_take_u64(&d->ids, e->low);
        d->head++;
        if (d->head % CHUNK_ENTRIES != 0 && d->head < d->tail) continue;
        drop_first_chunk(d);
        if (d->first == NULL) d->head = d->tail;
    }
}

stream_seq dedup_find(const struct dedup *d, struct text id)
{
    XXH128_hash_t hash = XXH3_128bits(id.at, id.bytes);
    const struct entry *e = map_get_u64(&d->ids, hash.low64);
    return e != NULL && e->high == hash.high64 ? e->seq : 0;
}

/* Of two ids that share 64 bits the newer one has the place. The older one would give it back when
 * it leaves the window, but not on a replica that loaded its rows after that. */
static void find_by_id(struct dedup *d, struct entry *e)
{
    map_take_u64(&d->ids, e->low);
    map_put_u64(&d->ids, e->low, e);
}

static void put_entry(struct dedup *d, struct entry entry)
{
    struct dedup_chunk *c = d->last;
    if (c == NULL || c->count == CHUNK_ENTRIES) c = append_chunk(d, d->tail / CHUNK_ENTRIES);
    CHECK_EQ(c->count, d->tail % CHUNK_ENTRIES);
    struct entry *e = &c->entries[c->count++];
    *e = entry;
    d->tail++;
    if (d->unsaved == NULL) d->unsaved = c;
    find_by_id(d, e);
}

void dedup_add(struct dedup *d, struct text id, stream_seq seq, int64_t time_ns)
{
    XXH128_hash_t hash = XXH3_128bits(id.at, id.bytes);
    put_entry(
        d, (struct entry){.high = hash.high64, .low = hash.low64, .seq = seq, .time_ns = time_ns});
}

/* ---- rows ---- */

void dedup_save(struct dedup *d, struct dedup_rows rows)
{
    uint64_t first = d->first == NULL ? d->tail / CHUNK_ENTRIES : d->first->number;
    if (BUG_DEDUP_NOT_SAVED) return;
    for (; d->saved_chunk < first; d->saved_chunk++)
        rows.del(rows.ctx, d->saved_chunk);
    for (struct dedup_chunk *c = d->unsaved; c != NULL; c = c->next) {
        uint8_t bytes[2 + sizeof c->entries];
        struct writer w = writer_over(bytes, sizeof bytes);
        writer_u16(&w, (uint16_t)c->count);
        writer_put(&w, c->entries, c->count * sizeof c->entries[0]);
        rows.put(rows.ctx, c->number, (struct text){.at = (char *)bytes, .bytes = w.bytes});
    }
    d->unsaved = NULL;
}

void dedup_drop(struct dedup *d, struct dedup_rows rows)
{
    uint64_t end = d->unsaved != NULL ? d->unsaved->number + 1 : d->tail / CHUNK_ENTRIES + 1;
    for (; d->saved_chunk < end; d->saved_chunk++)
        rows.del(rows.ctx, d->saved_chunk);
}

void dedup_load_head(struct dedup *d, uint64_t head)
{
    d->head = d->tail = head;
    d->saved_chunk = head / CHUNK_ENTRIES;
}

int dedup_load(struct dedup *d, uint64_t chunk, struct text value)
{
    struct reader r = reader_of(value.at, value.bytes);
    uint16_t count = reader_u16(&r);
    if (r.bad || count == 0 || count > CHUNK_ENTRIES) return E_CORRUPT;
    if (reader_left(&r) != count * sizeof(struct entry)) return E_CORRUPT;
    if (d->first == NULL ? chunk != d->head / CHUNK_ENTRIES : chunk != d->last->number + 1)
        return E_CORRUPT;
    if (d->last != NULL && d->last->count != CHUNK_ENTRIES) return E_CORRUPT;
    struct dedup_chunk *c = append_chunk(d, chunk);
    memcpy(c->entries, reader_bytes(&r, count * sizeof(struct entry)),
           count * sizeof(struct entry));
    c->count = count;
    d->tail = chunk * CHUNK_ENTRIES + count;
    if (d->head > d->tail) return E_CORRUPT;
    for (uint64_t n = chunk * CHUNK_ENTRIES; n < d->tail; n++) {
        struct entry *e = &c->entries[n % CHUNK_ENTRIES];
        if (n >= d->head) find_by_id(d, e);
    }
    return 0;
}
