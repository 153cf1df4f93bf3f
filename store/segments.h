/* segments.h - runs of block numbers between two flushes of KV_DATA, each a file that is deleted
 * whole once nothing in it lives. Thread: loop. Source: store.md 1.3. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "store/kv.h"
#include "store/values.h"

struct segment {
    uint64_t first, last; /* block numbers; last of the open one: UINT64_MAX */
    uint64_t bytes, live_bytes;
    bool dirty;     /* differs from its row */
    bool dying;     /* no durable state refers to it: its file may go */
    bool gone;      /* its file is deleted */
    bool kept;      /* holds damaged blocks: the cleaner passes it by */
    uint64_t tried; /* state flushes when it was last cleaned: what then still lives must wait */
};

struct segments {
    struct segment *at; /* in order of their numbers; the last one is open */
    size_t count, max;
    uint64_t id_first; /* id of at[0]; row = id / VALUES_SEGMENTS */
    uint64_t bytes, live_bytes;
};

/* Only the open segment, from block number `next` on, with this id. */
void segments_init(struct segments *s, uint64_t id, uint64_t next);
void segments_close(struct segments *s);
/* Reads all G rows, then opens a segment at `next`. E_CORRUPT, E_IO. */
NODISCARD int segments_load(struct segments *s, struct kv *kv, uint64_t id_next, uint64_t next);
/* The segment of a block; NULL: unknown. */
struct segment *segments_find(const struct segments *s, uint64_t number);
void segments_add(struct segments *s, uint64_t number, uint64_t bytes);
void segments_sub(struct segments *s, uint64_t number, uint64_t bytes);
/* Blocks from `next` on go into another file. */
void segments_cut(struct segments *s, uint64_t next);
/* Id of the open segment: what meta says a reopened store goes on with. */
uint64_t segments_id_next(const struct segments *s);
/* Rows that changed, into the batch of a state flush. */
void segments_write(struct segments *s, struct kv *kv, struct kv_batch *b);
/* What has no live bytes in the state that a flush is about to write may go once that is durable.
 */
void segments_condemn(struct segments *s);

/* A run of segments without living ones between them. */
struct segments_run {
    uint64_t first, last;
    size_t count; /* of dying ones in it */
};
/* Runs with dying segments, at most max. */
size_t segments_runs(const struct segments *s, struct segments_run *out, size_t max);
/* Deletes the files of a run and says in *left whether some remain. Thread: store writer. */
NODISCARD int segments_delete(struct kv *kv, const struct segments_run *run, bool *left);
/* The files of the run are deleted. */
void segments_gone(struct segments *s, const struct segments_run *run);
