/* expiry.h - a stream's messages with a time to live of their own, the next to expire first; and
 * which stream's deadline is the next. Order is by (time, sequence) and by (time, stream id), never
 * by how it came about. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "store/base/units.h"

struct stream;

struct expiry_entry {
    int64_t due_ns;
    stream_seq seq;
};
/* Binary heap. `added` and `gone` are what a flush must write; both may name the same entry. */
struct expiry {
    struct expiry_entry *heap;
    size_t count, max;
    struct expiry_entry *added, *gone;
    size_t added_count, added_max, gone_count, gone_max;
};
void expiry_free(struct expiry *e);
void expiry_add(struct expiry *e, struct expiry_entry entry);
/* At start-up: an entry that has its row. */
void expiry_load(struct expiry *e, struct expiry_entry entry);
static inline const struct expiry_entry *expiry_first(const struct expiry *e)
{
    return e->count == 0 ? NULL : &e->heap[0];
}
void expiry_pop(struct expiry *e);
void expiry_saved(struct expiry *e);

/* Streams by deadline. A stream's due_ns may lie too early, never too late: whoever asks works it
 * out and sets it anew. */
struct expiry_queue {
    struct stream **heap;
    size_t count, max;
};
void expiry_queue_free(struct expiry_queue *q);
/* Enters, moves or (INT64_MAX) takes out the stream. */
void expiry_queue_set(struct expiry_queue *q, struct stream *s, int64_t due_ns);
