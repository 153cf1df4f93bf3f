/* block_cache.h - decoded blocks, read from KV_DATA, shared by all cursors that stand in them.
 * Thread: loop. */
#pragma once

#include "store/base/list.h"
#include "store/base/map.h"
#include "store/block.h"
#include "store/kv.h"

struct cached_block {
    uint64_t number;
    uint32_t refs;         /* cursors */
    struct list_node node; /* in unused, while nobody holds it */
    struct kv_pin pin;
    uint64_t bytes;
    struct block_view view;
};

struct block_cache {
    struct kv *kv;
    struct map by_number;
    struct list unused; /* the longest unused first */
    uint64_t bytes, unused_bytes, bytes_max;
};

void block_cache_init(struct block_cache *c, struct kv *kv, uint64_t bytes_max);
void block_cache_close(struct block_cache *c);
/* A reference to the block. E_CORRUPT also when there is none: the caller knows of it from durable
 * state, so an absent one is lost. */
NODISCARD int block_cache_get(struct block_cache *c, uint64_t number, struct cached_block **out);
void block_cache_release(struct block_cache *c, struct cached_block *b);
