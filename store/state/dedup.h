/* dedup.h - a stream's window of message ids: which were published within duplicate_window.
 *
 * An id is kept as its 128-bit hash. Entries are numbered as they come and leave in the same order,
 * by the entry's time alone. Rows hold 128 entries each, so a flush writes what is new, not the
 * window. */
#pragma once

#include <stdbool.h>

#include "store/base/check.h"
#include "store/base/map.h"
#include "store/base/slice.h"
#include "store/base/units.h"

struct dedup_chunk;
struct dedup {
    struct map ids;                   /* low half of the hash -> entry */
    struct dedup_chunk *first, *last; /* chunks that hold head .. tail - 1 */
    struct dedup_chunk *unsaved;      /* the first that changed since the last save */
    uint64_t head, tail;              /* numbers */
    uint64_t saved_chunk;             /* rows below are gone */
};

void dedup_init(struct dedup *d);
void dedup_free(struct dedup *d);
/* Forgets what was published at or before then. */
void dedup_expire(struct dedup *d, int64_t upto_ns);
/* The sequence that id got; 0: not in the window. */
stream_seq dedup_find(const struct dedup *d, struct text id);
/* Times don't go back. */
void dedup_add(struct dedup *d, struct text id, stream_seq seq, int64_t time_ns);

struct dedup_rows {
    void (*put)(void *ctx, uint64_t chunk, struct text value);
    void (*del)(void *ctx, uint64_t chunk);
    void *ctx;
};
/* Writes chunks that changed and deletes rows of those that are gone since the last save. */
void dedup_save(struct dedup *d, struct dedup_rows rows);
/* Deletes all rows that a save has written. */
void dedup_drop(struct dedup *d, struct dedup_rows rows);
/* At start-up: head, then the rows in order. E_CORRUPT. */
void dedup_load_head(struct dedup *d, uint64_t head);
NODISCARD int dedup_load(struct dedup *d, uint64_t chunk, struct text value);
