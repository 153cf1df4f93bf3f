/* leaf.h - a leaf of a stream's block map: up to 128 blocks in sequence order, and which of their
 * messages live. A delete is a bit here; nothing else is written for it. Thread: loop; leaf_encode
 * of a frozen leaf: the store writer. Source: store.md 1.2. */
#pragma once

#include "store/block.h"
#include "store/pages.h"

#define LEAF_ENTRIES 128

struct leaf_entry {
    stream_seq first;
    uint64_t number; /* of the block */
    int64_t time_ns; /* of its first message */
    uint32_t span;   /* sequences covered */
    uint32_t live;
    uint32_t bytes, live_bytes; /* as store_counts counts them: when written, and of what lives */
    uint64_t *bits;             /* NULL: all live, but for what lies below the stream's first */
};

struct leaf {
    struct page page; /* page.at: the key, at most the first entry's first */
    stream_seq until; /* no other leaf begins in (page.at, until) */
    uint32_t count, max;
    struct leaf_entry *entries;
};

struct leaf *leaf_new(struct store_stream *of, struct key_stream id, stream_seq at);
/* E_CORRUPT, E_VERSION. */
NODISCARD int leaf_decode(struct store_stream *of,
                          struct key_stream id,
                          stream_seq at,
                          struct text value,
                          struct leaf **out);
uint64_t leaf_bytes(const struct leaf *l);
/* The last entry that begins at or before seq; -1: none. */
int leaf_find(const struct leaf *l, stream_seq seq);
void leaf_insert(struct leaf *l, uint32_t index, struct leaf_entry e); /* takes e.bits */
void leaf_remove(struct leaf *l, uint32_t index);

static inline stream_seq leaf_entry_last(const struct leaf_entry *e)
{
    return e->first + e->span - 1;
}
static inline bool leaf_entry_bit(const struct leaf_entry *e, stream_seq seq)
{
    uint64_t at = seq - e->first;
    return e->bits == NULL || (e->bits[at / 64] >> at % 64 & 1) != 0;
}
void leaf_entry_clear(struct leaf_entry *e, stream_seq seq);
/* The first live sequence at or after seq within the entry; 0: none. The last at or before: the
 * same. */
stream_seq leaf_entry_next(const struct leaf_entry *e, stream_seq seq);
stream_seq leaf_entry_prev(const struct leaf_entry *e, stream_seq seq);
/* Live bits in [from, to], both within the entry. */
uint32_t leaf_entry_count(const struct leaf_entry *e, stream_seq from, stream_seq to);
static inline size_t leaf_bit_words(uint32_t span)
{
    return (span + 63) / 64;
}
