#include "store/segments.h"

#include <stdlib.h>
#include <string.h>

#include "store/base/err.h"
#include "store/base/logger.h"
#include "store/keys.h"

static struct segment *push(struct segments *s, struct segment g)
{
    if (s->count == s->max) {
        s->max = s->max == 0 ? 16 : s->max * 2;
        s->at = check_realloc(s->at, s->max * sizeof *s->at);
    }
    s->at[s->count] = g;
    return &s->at[s->count++];
}

static struct segment *open_one(const struct segments *s)
{
    CHECK(s->count > 0);
    return &s->at[s->count - 1];
}

void segments_init(struct segments *s, uint64_t id, uint64_t next)
{
    *s = (struct segments){.id_first = id};
    push(s, (struct segment){.first = next, .last = UINT64_MAX});
}

void segments_close(struct segments *s)
{
    free(s->at);
    *s = (struct segments){0};
}

/* Ids without a row lie between those with one: their files went long ago. */
static int load_row(struct segments *s, uint32_t page, const struct values_segments *row)
{
    for (uint64_t i = 0; i < VALUES_SEGMENTS; i++) {
        const struct values_segment *g = &row->at[i];
        if (g->last == 0) continue;
        uint64_t id = (uint64_t)page * VALUES_SEGMENTS + i;
        if (s->count == 0) s->id_first = id;
        uint64_t above = s->count == 0 ? 0 : open_one(s)->last;
        if (g->first <= above) return E_CORRUPT;
        while (s->id_first + s->count < id)
            push(s, (struct segment){.first = above + 1, .last = above + 1, .gone = true});
        push(s, (struct segment){.first = g->first,
                                 .last = g->last,
                                 .bytes = g->bytes,
                                 .live_bytes = g->live_bytes});
        s->bytes += g->bytes;
        s->live_bytes += g->live_bytes;
    }
    return 0;
}

int segments_load(struct segments *s, struct kv *kv, uint64_t id_next, uint64_t next)
{
    *s = (struct segments){.id_first = id_next};
    struct kv_iter *it = kv->ops->iter_new(kv, KV_STATE, false);
    struct key from = keys_segments(0);
    int rc = 0;
    for (kv->ops->iter_seek(it, key_text(&from)); rc == 0 && kv->ops->iter_valid(it);
         kv->ops->iter_next(it)) {
        uint32_t page;
        if (!keys_segments_read(kv->ops->iter_key(it), &page)) break;
        struct values_segments row;
        rc = values_segments_decode(kv->ops->iter_value(it), &row);
        if (rc == 0) rc = load_row(s, page, &row);
    }
    if (rc == 0) rc = kv->ops->iter_error(it);
    kv->ops->iter_free(it);
    if (rc != 0) return rc;
    if (s->count != 0 && open_one(s)->last >= next) return E_CORRUPT;
    if (s->id_first + s->count > id_next) return E_CORRUPT;
    if (s->count == 0) s->id_first = id_next;
    while (s->id_first + s->count < id_next) {
        uint64_t above = open_one(s)->last;
        push(s, (struct segment){.first = above + 1, .last = above + 1, .gone = true});
    }
    push(s, (struct segment){.first = next, .last = UINT64_MAX});
    return 0;
}

struct segment *segments_find(const struct segments *s, uint64_t number)
{
    if (s->count == 0 || number < s->at[0].first) return NULL;
    size_t low = 0, high = s->count - 1;
    while (low < high) {
        size_t middle = low + (high - low + 1) / 2;
        if (s->at[middle].first <= number) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    return number <= s->at[low].last ? &s->at[low] : NULL;
}

void segments_add(struct segments *s, uint64_t number, uint64_t bytes)
{
    struct segment *g = open_one(s);
    CHECK(number >= g->first);
    g->bytes += bytes;
    g->live_bytes += bytes;
    g->dirty = true;
    s->bytes += bytes;
    s->live_bytes += bytes;
}

void segments_sub(struct segments *s, uint64_t number, uint64_t bytes)
{
    struct segment *g = segments_find(s, number);
    CHECK(g != NULL);
    CHECK(g->live_bytes >= bytes);
    g->live_bytes -= bytes;
    g->dirty = true;
    s->live_bytes -= bytes;
}

void segments_cut(struct segments *s, uint64_t next)
{
    struct segment *g = open_one(s);
    CHECK(next >= g->first);
    if (next == g->first) return;
    g->last = next - 1;
    g->dirty = true;
    push(s, (struct segment){.first = next, .last = UINT64_MAX});
}

uint64_t segments_id_next(const struct segments *s)
{
    return s->id_first + s->count - 1;
}

/* Encodes the row of the segments [from, to) of the table; an empty one is deleted. */
static void write_row(struct segments *s, struct kv *kv, struct kv_batch *b, size_t from, size_t to)
{
    struct values_segments row = {0};
    bool any = false;
    for (size_t i = from; i < to; i++) {
        const struct segment *g = &s->at[i];
        s->at[i].dirty = false;
        if (g->gone || g->last == UINT64_MAX) continue;
        row.at[(s->id_first + i) % VALUES_SEGMENTS] =
            (struct values_segment){g->first, g->last, g->bytes, g->live_bytes};
        any = true;
    }
    struct key key = keys_segments((uint32_t)((s->id_first + from) / VALUES_SEGMENTS));
    if (!any) {
        kv->ops->batch_del(b, KV_STATE, key_text(&key));
        return;
    }
    struct writer w;
    writer_init(&w, KIB(5));
    values_segments_encode(&w, &row);
    kv->ops->batch_put(b, KV_STATE, key_text(&key), kv_text(w.base, w.bytes));
    writer_free(&w);
}

/* Segments that went long ago leave the front of the table, row by row, so that rows stay whole. */
static void forget_front(struct segments *s)
{
    size_t n = 0;
    while (n + 1 < s->count && s->at[n].gone && !s->at[n].dirty)
        n++;
    size_t whole = n - (s->id_first + n) % VALUES_SEGMENTS;
    if ((s->id_first + n) % VALUES_SEGMENTS > n) return;
    memmove(s->at, s->at + whole, (s->count - whole) * sizeof *s->at);
    s->count -= whole;
    s->id_first += whole;
}

void segments_write(struct segments *s, struct kv *kv, struct kv_batch *b)
{
    for (size_t from = 0; from < s->count;) {
        size_t to = from + VALUES_SEGMENTS - (s->id_first + from) % VALUES_SEGMENTS;
        if (to > s->count) to = s->count;
        bool dirty = false;
        for (size_t i = from; i < to && !dirty; i++)
            dirty = s->at[i].dirty;
        if (dirty) write_row(s, kv, b, from, to);
        from = to;
    }
    forget_front(s);
}

void segments_condemn(struct segments *s)
{
    for (size_t i = 0; i + 1 < s->count; i++) {
        struct segment *g = &s->at[i];
        if (g->live_bytes == 0 && !g->gone) g->dying = true;
    }
}

size_t segments_runs(const struct segments *s, struct segments_run *out, size_t max)
{
    size_t n = 0;
    struct segments_run run = {0};
    for (size_t i = 0; i < s->count && n < max; i++) {
        const struct segment *g = &s->at[i];
        if (g->dying || g->gone) {
            if (run.first == 0) run.first = g->first;
            run.last = g->last;
            if (g->dying) run.count++;
            continue;
        }
        if (run.count > 0) out[n++] = run;
        run = (struct segments_run){0};
    }
    return n;
}

struct overlap {
    const struct segments_run *run;
    bool any;
};

static void file_seen(void *ctx, const struct kv_file *f)
{
    struct overlap *o = ctx;
    uint64_t first, last;
    if (!keys_data_read(f->first, &first) || !keys_data_read(f->last, &last)) return;
    if (first <= o->run->last && last >= o->run->first) o->any = true;
}

int segments_delete(struct kv *kv, const struct segments_run *run, bool *left)
{
    struct key first = keys_data(run->first), last = keys_data(run->last);
    int rc = kv->ops->delete_files(kv, key_text(&first), key_text(&last));
    if (rc != 0) return rc;
    struct overlap o = {.run = run};
    kv->ops->files(kv, file_seen, &o);
    *left = o.any;
    return 0;
}

void segments_gone(struct segments *s, const struct segments_run *run)
{
    for (size_t i = 0; i < s->count; i++) {
        struct segment *g = &s->at[i];
        if (!g->dying || g->first < run->first || g->last > run->last) continue;
        s->bytes -= g->bytes;
        g->bytes = 0;
        g->dying = false;
        g->gone = true;
        g->dirty = true;
    }
}
