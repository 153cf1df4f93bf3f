/* expiry.c - see expiry.h. */
#include "store/state/expiry.h"

#include <stdlib.h>

#include "store/state/apply.h"

/* ---- messages of one stream ---- */

static bool entry_before(struct expiry_entry a, struct expiry_entry b)
{
    return a.due_ns != b.due_ns ? a.due_ns < b.due_ns : a.seq < b.seq;
}

static void push(struct expiry_entry **at, size_t *count, size_t *max, struct expiry_entry entry)
{
    if (*count == *max) {
        *max = *max == 0 ? 16 : *max * 2;
        *at = check_realloc(*at, *max * sizeof **at);
    }
    (*at)[(*count)++] = entry;
}

void expiry_free(struct expiry *e)
{
    free(e->heap);
    free(e->added);
    free(e->gone);
    *e = (struct expiry){0};
}

void expiry_load(struct expiry *e, struct expiry_entry entry)
{
    push(&e->heap, &e->count, &e->max, entry);
    size_t at = e->count - 1;
    for (; at > 0 && entry_before(entry, e->heap[(at - 1) / 2]); at = (at - 1) / 2)
        e->heap[at] = e->heap[(at - 1) / 2];
    e->heap[at] = entry;
}

void expiry_add(struct expiry *e, struct expiry_entry entry)
{
    expiry_load(e, entry);
    push(&e->added, &e->added_count, &e->added_max, entry);
}

void expiry_pop(struct expiry *e)
{
    CHECK(e->count > 0);
    push(&e->gone, &e->gone_count, &e->gone_max, e->heap[0]);
    struct expiry_entry entry = e->heap[--e->count];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= e->count) break;
        if (child + 1 < e->count && entry_before(e->heap[child + 1], e->heap[child])) child++;
        if (!entry_before(e->heap[child], entry)) break;
        e->heap[at] = e->heap[child];
        at = child;
    }
    if (e->count > 0) e->heap[at] = entry;
}

void expiry_saved(struct expiry *e)
{
    e->added_count = e->gone_count = 0;
}

/* ---- streams ---- */

static bool stream_before(const struct stream *a, const struct stream *b)
{
    return a->apply->due_ns != b->apply->due_ns ? a->apply->due_ns < b->apply->due_ns
                                                : a->id < b->id;
}

static void seat(struct expiry_queue *q, size_t at, struct stream *s)
{
    q->heap[at] = s;
    s->apply->due_at = at + 1;
}

static void settle(struct expiry_queue *q, size_t at)
{
    struct stream *s = q->heap[at];
    for (; at > 0 && stream_before(s, q->heap[(at - 1) / 2]); at = (at - 1) / 2)
        seat(q, at, q->heap[(at - 1) / 2]);
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= q->count) break;
        if (child + 1 < q->count && stream_before(q->heap[child + 1], q->heap[child])) child++;
        if (!stream_before(q->heap[child], s)) break;
        seat(q, at, q->heap[child]);
        at = child;
    }
    seat(q, at, s);
}

void expiry_queue_free(struct expiry_queue *q)
{
    free(q->heap);
    *q = (struct expiry_queue){0};
}

void expiry_queue_set(struct expiry_queue *q, struct stream *s, int64_t due_ns)
{
    size_t at = s->apply->due_at;
    s->apply->due_ns = due_ns;
    if (due_ns == INT64_MAX) {
        if (at == 0) return;
        struct stream *last = q->heap[--q->count];
        s->apply->due_at = 0;
        if (last == s) return;
        seat(q, at - 1, last);
        settle(q, at - 1);
        return;
    }
    if (at == 0) {
        if (q->count == q->max) {
            q->max = q->max == 0 ? 16 : q->max * 2;
            q->heap = check_realloc(q->heap, q->max * sizeof(struct stream *));
        }
        seat(q, q->count++, s);
        at = q->count;
    }
    settle(q, at - 1);
}
