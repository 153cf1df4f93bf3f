/* store_types.h - what the files of this folder share behind store.h: the store and one stream of
 * it. */
#pragma once

#include "store/block_cache.h"
#include "store/block_map.h"
#include "store/pages.h"
#include "store/segments.h"
#include "store/store.h"
#include "store/subjects.h"
#include "store/tail.h"

struct flush;
struct checkpoint;
struct scrub;
struct cleaner;
struct store_writer;

struct store {
    struct env *env;
    struct kv *kv;
    struct env_worker *worker;
    uint64_t flush_bytes, segment_bytes, queue_bytes_max;
    struct store_at at;      /* applied last */
    struct store_at durable; /* of the last state flush */
    struct mono applied_when;
    uint64_t log_at;     /* bytes applied since open: ages what refers to entries */
    uint64_t flushed_at; /* log_at of the last state flush */
    uint64_t hash_seed;
    uint64_t block_next;
    uint64_t segment_fill; /* bytes sealed into the open segment */
    struct pages pages;
    struct tail tail;
    struct segments segments;
    struct block_cache blocks;
    struct list streams;
    struct map by_id;          /* the same, by account << 32 | stream */
    struct list dirty_streams; /* counters differ from their row */
    struct list zombies;       /* deleted; their blocks are given back bit by bit */
    struct list gone;          /* given back: their rows go with the next flush */
    struct list buried;        /* the flush in progress deletes their rows */
    struct list writing;       /* jobs of store_writer.c on their way */
    uint64_t writing_bytes;
    struct store_writer *writer;   /* the worker's */
    struct flush *flush;           /* NULL: none in progress */
    struct cleaner *cleaner;       /* NULL: idle */
    struct checkpoint *checkpoint; /* NULL: none in progress */
    struct scrub *scrub;           /* NULL: never started */
    uint64_t flushes, blocks_written, blocks_cleaned;
};

struct store_stream {
    struct store *store;
    struct key_stream id;
    struct list_node node, dirty;
    stream_seq first, last;
    uint64_t msgs, bytes;
    int64_t last_ns;
    uint32_t history;
    bool wiped; /* its subject pages in KV_STATE are void: the next flush deletes them */
    struct store_first *head; /* time of the first message, found when asked for */
    struct block_map map;
    struct subjects subjects;
    struct subject_hint hint;
    struct tail_block *open; /* NULL: no message since the last was sealed */
    struct store_cursor own; /* where removals read */
};

/* Lazily known, hence apart from a const stream. */
struct store_first {
    stream_seq seq; /* whose time it is; 0: unknown */
    int64_t time_ns;
};

/* Brings memory back to its limits. Only where nobody holds a pointer to a page or a block. */
void store_trim(struct store *s);

/* The stream's counters differ from their row. */
static inline void store_dirty(struct store_stream *ss)
{
    if (!list_linked(&ss->dirty)) list_push_back(&ss->store->dirty_streams, &ss->dirty);
}
