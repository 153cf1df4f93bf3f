/* store_writer.h - sealed blocks into KV_DATA, on the store's worker. Thread: loop; the work
 * itself: the worker. */
#pragma once

#include "store/store_types.h"

struct writer_item {
    struct tail_block *block;
    bool write; /* else only its place counts: nothing in it lives */
};

/* A batch of blocks on its way. */
struct writer_job {
    struct env_job job;
    struct list_node node; /* in store->writing */
    struct store *store;
    struct writer_item *items;
    size_t count;
    uint64_t bytes;
    int rc;
};

/* What the worker alone uses. */
struct store_writer {
    struct block_encoder encoder;
    struct kv_batch *batch;
    size_t batch_bytes;
    int rc; /* of the first batch that failed: nothing is written behind it, state neither */
};

struct store_writer *store_writer_new(struct kv *kv);
void store_writer_free(struct store_writer *w, struct kv *kv);
/* Starts writing when enough is queued and nothing is on its way. */
void store_writer_kick(struct store *s);
/* Hands over all that is queued. */
void store_writer_flush_queue(struct store *s);
/* Drops jobs whose worker has ended. */
void store_writer_abandon(struct store *s);
