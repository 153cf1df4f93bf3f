/* kv.h - SEAM: two ordered maps of bytes under one roof, as the store needs them. kv_rocks.c is the
 * real one (RocksDB); the simulator's forgets on a crash whatever was not flushed, map by map.
 *
 * There is no log below: what was written is durable only when its map was flushed. A batch is
 * never split: either all of its rows of one map survive a crash, or none. Thread: get, iterators
 * and figures from any; write, flush, delete_files, checkpoint from one thread at a time (the store
 * writer, or the loop while opening). All calls block. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/base/check.h"
#include "store/base/env.h"
#include "store/base/slice.h"

/* KV_DATA: append-only blocks under ever-growing keys. KV_STATE: rows that change. */
enum kv_family { KV_DATA, KV_STATE, KV_FAMILIES };

struct kv_batch; /* the implementation's */
struct kv_iter;

/* A value where it lies; valid until unpinned. */
struct kv_pin {
    struct text value;
    void *impl;
};
/* A file of KV_DATA on disk. */
struct kv_file {
    struct text first, last; /* keys in it; valid for the call */
    uint64_t bytes;
};
struct kv_figures {
    uint64_t memory_bytes; /* memtables, table readers and cache */
    uint64_t disk_bytes;
};

struct kv {
    const struct kv_ops *ops; /* an implementation embeds this struct first */
};

struct kv_ops {
    /* E_NOTFOUND, E_CORRUPT, E_IO. The pin is set only on 0. */
    int (*get)(struct kv *kv, enum kv_family family, struct text key, struct kv_pin *out);
    void (*unpin)(struct kv *kv, struct kv_pin *pin);

    /* A batch belongs to whoever holds it; it may be filled on one thread and written on another.
     * Keys and values are copied. A del_range covers [from, to) as of its place in the batch. */
    struct kv_batch *(*batch_new)(struct kv *kv);
    void (*batch_put)(struct kv_batch *b,
                      enum kv_family family,
                      struct text key,
                      struct text value);
    void (*batch_del)(struct kv_batch *b, enum kv_family family, struct text key);
    void (*batch_del_range)(struct kv_batch *b,
                            enum kv_family family,
                            struct text from,
                            struct text to);
    void (*batch_clear)(struct kv_batch *b);
    void (*batch_free)(struct kv_batch *b);
    /* Visible to reads when this returns. E_IO. The batch is not cleared. */
    int (*write)(struct kv *kv, struct kv_batch *b);
    /* What was written to this map before becomes durable as one file. wait: when this returns;
     * without, later, but what is written after this call will lie in another file. May wait for an
     * earlier flush. */
    int (*flush)(struct kv *kv, enum kv_family family, bool wait);

    /* A view as of now. bulk: many rows once, past the caches. Not valid before the first seek. */
    struct kv_iter *(*iter_new)(struct kv *kv, enum kv_family family, bool bulk);
    void (*iter_seek)(struct kv_iter *it, struct text key);          /* first >= key */
    void (*iter_seek_for_prev)(struct kv_iter *it, struct text key); /* last <= key */
    void (*iter_next)(struct kv_iter *it);
    bool (*iter_valid)(struct kv_iter *it);
    struct text (*iter_key)(struct kv_iter *it); /* valid until it moves, as the value */
    struct text (*iter_value)(struct kv_iter *it);
    int (*iter_error)(struct kv_iter *it); /* why it isn't valid: 0 at the end, E_CORRUPT, E_IO */
    void (*iter_free)(struct kv_iter *it);

    /* Deletes files of KV_DATA all of whose keys lie in [first, last]; may leave some for a later
     * call. */
    int (*delete_files)(struct kv *kv, struct text first, struct text last);
    /* Every durable file of KV_DATA. */
    void (*files)(struct kv *kv, void (*each)(void *ctx, const struct kv_file *file), void *ctx);
    /* A copy of both maps as they are, by hard links, in a folder that must not exist. */
    int (*checkpoint)(struct kv *kv, const char *dir);
    void (*figures)(struct kv *kv, struct kv_figures *out);
    void (*close)(struct kv *kv); /* iterators and pins are gone before */
};

static inline struct text kv_text(const void *at, size_t bytes)
{
    return (struct text){.at = (const char *)at, .bytes = bytes};
}

/* Opens or creates RocksDB in dir with the options of store.md 8. E_IO, E_CORRUPT, with a log line.
 */
NODISCARD int
kv_rocks_open(struct env *env, const char *dir, uint64_t cache_bytes, struct kv **out);
