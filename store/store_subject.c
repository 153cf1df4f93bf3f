/* store_subject.c - what store.h tells about subjects. Thread: loop. */
#include "store/base/err.h"
#include "store/base/subject_match.h"
#include "store/store_read.h"

/* The lower bound that a caller sees never lies below the stream's first. */
static struct store_subject subject_of(const struct store_stream *ss, const struct subject_row *row)
{
    return (struct store_subject){.first = row->first < ss->first ? ss->first : row->first,
                                  .last = row->last,
                                  .count = row->count,
                                  .last_bytes = row->last_bytes};
}

int store_subject_get(struct store_stream *ss, struct text subject, struct store_subject *out)
{
    pages_trim(&ss->store->pages);
    uint64_t hash = subjects_hash(ss, subject);
    const struct subject_row *row = subjects_find(ss, hash, subject);
    if (row == NULL) return E_NOTFOUND;
    *out = subject_of(ss, row);
    subjects_hint(ss, hash, subject, row->last, row->last_bytes);
    return 0;
}

int store_subject_first(struct store_stream *ss, struct text subject, stream_seq *out)
{
    pages_trim(&ss->store->pages);
    uint64_t hash = subjects_hash(ss, subject);
    const struct subject_row *row = subjects_find(ss, hash, subject);
    if (row == NULL) return E_NOTFOUND;
    *out = row->first;
    if ((row->flags & SUBJECT_FIRST_EXACT) != 0) return 0;
    stream_seq from = row->first;
    struct store_cursor c = {0};
    struct store_msg m;
    int rc = store_read_forward(ss, &from, row->last, &subject, 1, UINT32_MAX, &c, &m);
    store_cursor_close(&c);
    CHECK(rc != E_NOTFOUND);
    if (rc != 0) return rc;
    *out = m.seq;
    subjects_set_first(ss, hash, subject, m.seq);
    store_dirty(ss);
    return 0;
}

struct listing {
    struct store_stream *ss;
    struct text filter;
    void (*each)(void *ctx, struct text subject, const struct store_subject *row);
    void *ctx;
};

static void listing_row(void *ctx, const struct subject_row *row)
{
    const struct listing *l = ctx;
    struct text subject = subject_row_text(row);
    if (!subject_match(l->filter, subject)) return;
    struct store_subject s = subject_of(l->ss, row);
    l->each(l->ctx, subject, &s);
}

void store_subjects(struct store_stream *ss,
                    struct text filter,
                    void (*each)(void *ctx, struct text subject, const struct store_subject *row),
                    void *ctx)
{
    pages_trim(&ss->store->pages);
    struct listing l = {.ss = ss, .filter = filter, .each = each, .ctx = ctx};
    if (!subject_is_literal(filter)) {
        subjects_each(ss, listing_row, &l);
        return;
    }
    const struct subject_row *row = subjects_find(ss, subjects_hash(ss, filter), filter);
    if (row != NULL) listing_row(&l, row);
}
