#include "store/store_count.h"

#include "store/base/subject_match.h"
#include "store/store_read.h"

#define DELETED_MAX 1000000 /* listed at most: a gap costs its maker nothing, whatever its width */

/* Live messages of the place in [from, to]. */
static uint64_t
place_count(const struct store_stream *ss, const struct place *p, stream_seq from, stream_seq to)
{
    if (from < ss->first) from = ss->first;
    if (from < p->first) from = p->first;
    if (to > p->last) to = p->last;
    if (from > to) return 0;
    if (!p->open) return leaf_entry_count(block_map_entry(&p->at), from, to);
    uint64_t n = 0;
    for (stream_seq seq = from; seq <= to; seq++)
        if (!p->tail->msgs[seq - p->first].dead) n++;
    return n;
}

static uint64_t count_range(struct store_stream *ss, stream_seq from, stream_seq to)
{
    uint64_t n = 0;
    struct place p;
    while (from <= to && store_read_place(ss, from, &p)) {
        n += place_count(ss, &p, from, to);
        from = p.last + 1;
        pages_trim(&ss->store->pages);
    }
    return n;
}

/* Is it shorter to look at what lies below? */
static bool below_shorter(const struct store_stream *ss, stream_seq from)
{
    return from - ss->first < ss->last - from;
}

static uint64_t count_all(struct store_stream *ss, stream_seq from)
{
    if (ss->msgs == ss->last - ss->first + 1) return ss->last - from + 1;
    if (below_shorter(ss, from)) return ss->msgs - count_range(ss, ss->first, from - 1);
    return count_range(ss, from, ss->last);
}

/* What the rows alone say. */
struct tally {
    const struct store_stream *ss;
    const struct text *filters;
    size_t count;
    stream_seq from;
    uint64_t sure;  /* at or after from */
    uint64_t total; /* of all subjects that match */
    bool unsure;    /* some subject has messages on both sides of from, and doesn't list them */
};

static void tally_add(struct tally *t, const struct subject_row *row)
{
    stream_seq first = row->first < t->ss->first ? t->ss->first : row->first;
    t->total += row->count;
    if (row->last < t->from) return;
    if (first >= t->from) {
        t->sure += row->count;
    } else if (subject_row_whole(row)) {
        const struct subject_item *items = subject_row_items(row);
        for (uint32_t i = 0; i < row->listed; i++)
            if (items[i].seq >= t->from) t->sure++;
        t->sure++; /* the last */
    } else {
        t->unsure = true;
    }
}

static void tally_row(void *ctx, const struct subject_row *row)
{
    struct tally *t = ctx;
    for (size_t i = 0; i < t->count; i++) {
        if (!subject_match(t->filters[i], subject_row_text(row))) continue;
        tally_add(t, row);
        return;
    }
}

/* Counts by reading. A damaged block counts as without matches: whoever reads it is told. */
static uint64_t
scan_range(struct store_stream *ss, stream_seq from, stream_seq to, const struct tally *t)
{
    struct store_cursor c = {0};
    struct store_msg m;
    uint64_t n = 0;
    while (from <= to) {
        int rc = store_read_forward(ss, &from, to, t->filters, t->count, UINT32_MAX, &c, &m);
        struct place p;
        if (rc == 0) {
            n++;
        } else if (rc < 0 && from <= to && store_read_place(ss, from, &p)) {
            from = p.last + 1;
        } else {
            break;
        }
    }
    store_cursor_close(&c);
    return n;
}

uint64_t
store_count(struct store_stream *ss, stream_seq from, const struct text *filters, size_t count)
{
    pages_trim(&ss->store->pages);
    if (from < ss->first) from = ss->first;
    if (ss->msgs == 0 || from > ss->last) return 0;
    if (count == 0) return count_all(ss, from);
    struct tally t = {.ss = ss, .filters = filters, .count = count, .from = from};
    if (count == 1 && subject_is_literal(filters[0])) {
        uint64_t hash = subjects_hash(ss, filters[0]);
        const struct subject_row *row = subjects_find(ss, hash, filters[0]);
        if (row != NULL) tally_add(&t, row);
    } else {
        subjects_each(ss, tally_row, &t);
    }
    if (!t.unsure) return t.sure;
    if (below_shorter(ss, from)) return t.total - scan_range(ss, ss->first, from - 1, &t);
    return scan_range(ss, from, ss->last, &t);
}

static void
each_missing(stream_seq from, stream_seq below, void (*each)(void *ctx, stream_seq seq), void *ctx)
{
    for (stream_seq seq = from; seq < below; seq++)
        each(ctx, seq);
}

uint64_t
store_count_deleted(struct store_stream *ss, void (*each)(void *ctx, stream_seq seq), void *ctx)
{
    if (ss->msgs == 0) return 0;
    uint64_t missing = ss->last - ss->first + 1 - ss->msgs;
    if (each == NULL || missing == 0 || missing > DELETED_MAX) return missing;
    stream_seq at = ss->first;
    struct place p;
    while (store_read_place(ss, at, &p)) {
        for (stream_seq seq = at; seq <= p.last; seq++) {
            stream_seq live = store_read_live(ss, &p, seq);
            if (live == 0) break;
            each_missing(at, live, each, ctx);
            seq = live;
            at = live + 1;
        }
        each_missing(at, p.last + 1, each, ctx);
        at = p.last + 1;
        pages_trim(&ss->store->pages);
    }
    each_missing(at, ss->last + 1, each, ctx);
    return missing;
}
