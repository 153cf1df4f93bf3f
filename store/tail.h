/* tail.h - messages newer than KV_DATA, left where they arrived: a block collects references until
 * it is sealed, then waits for the store writer, and stays a while for consumers at the stream's
 * end.
 *
 *   open     one per stream, takes messages; deletes mark them dead
 *   queued   sealed: it has a number and an entry in the block map, which alone knows deletes from
 * here on writing  the store writer reads it written  in KV_DATA; kept until others push it out
 *
 * Thread: loop, but for blocks that are being written, which don't change. Source: store.md 2, 3.
 */
#pragma once

#include "store/base/list.h"
#include "store/base/map.h"
#include "store/block.h"

enum tail_state { TAIL_OPEN, TAIL_QUEUED, TAIL_WRITING, TAIL_WRITTEN };

struct tail_block {
    struct list_node node;   /* in one of the tail's lists */
    struct store_stream *of; /* while open */
    struct key_stream id;
    uint64_t number;
    stream_seq first;
    uint32_t count, max; /* messages, holes included */
    uint32_t live;       /* while open */
    uint64_t live_bytes; /* while open, and at sealing: as store_counts counts */
    uint64_t size;       /* what encoding will take, about */
    uint64_t log_at;     /* log position of the oldest entry referenced */
    enum tail_state state;
    bool cut; /* the last of its segment */
    bool
        unneeded; /* nothing in it lives: needn't be written if no flush in progress refers to it */
    struct block_msg *msgs;
    struct slice *owners; /* what the messages' bytes lie in */
    uint32_t owner_count, owner_max;
    uint32_t text_left; /* room for subjects in the last owner, when that is ours */
};

struct tail {
    struct list open;    /* by log_at */
    struct list queue;   /* by number */
    struct list written; /* by number */
    struct list unused;  /* recycled */
    uint32_t unused_count;
    struct map by_number;                            /* queued, writing, written */
    uint64_t open_bytes, queue_bytes, written_bytes; /* sizes of blocks */
    uint64_t open_bytes_max, written_bytes_max;
};

void tail_init(struct tail *t, uint64_t open_bytes_max);
void tail_close(struct tail *t);

/* An empty open block of the stream at sequence first. */
struct tail_block *tail_open(struct tail *t,
                             struct store_stream *of,
                             struct key_stream id,
                             stream_seq first,
                             uint64_t log_at);
/* Appends at first + count; header and body lie in owner, the subject anywhere. */
void tail_push(struct tail *t,
               struct tail_block *b,
               const struct store_msg *m,
               uint32_t hash,
               struct slice owner);
/* A sequence without a message. */
void tail_push_hole(struct tail_block *b);
/* Copies what the block's messages refer to, so that the entries they came in can go. */
void tail_gather(struct tail *t, struct tail_block *b, uint64_t log_at);
/* Into the queue. */
void tail_seal(struct tail *t, struct tail_block *b, uint64_t number);
/* A block made by others than tail_open (the cleaner), already sealed. */
struct tail_block *
tail_block_new(struct tail *t, struct store_stream *of, struct key_stream id, stream_seq first);
/* Releases what it refers to and recycles it; it is in none of the lists. */
void tail_free(struct tail *t, struct tail_block *b);

/* A sealed block that is still here; NULL: in KV_DATA alone. */
struct tail_block *tail_find(const struct tail *t, uint64_t number);
/* Nothing in it lives any more. */
void tail_unneeded(struct tail *t, uint64_t number);
/* The writer is done with it. */
void tail_written(struct tail *t, struct tail_block *b);
/* Forgets written blocks beyond the limit, or with references to entries before log_at. */
void tail_trim(struct tail *t, uint64_t log_at);
void tail_block_msg(const struct tail_block *b, uint32_t index, struct store_msg *out);
