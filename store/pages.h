/* pages.h - what subject pages and block map leaves have in common: one budget, and a life in three
 * lists.
 *
 *   clean    equals its row in KV_STATE; may be evicted, the longest untouched first
 *   dirty    changed since the last freeze; resident until flushed
 *   frozen   belongs to the state flush in progress; the store writer reads it, so it doesn't
 * change
 *
 * Changing a frozen page clones it: the owner goes on with the clone, the original is freed when
 * the flush is done. Freezing moves one list, so it costs nothing however many pages are dirty.
 * Thread: loop; encode() of frozen pages: the store writer. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "store/base/list.h"
#include "store/base/writer.h"
#include "store/keys.h"

struct store_stream;
struct page;

/* What a kind of page does its own way. */
struct page_class {
    struct page *(*clone)(const struct page *p);
    void (*install)(struct page *from,
                    struct page *to); /* in the owner's table; to NULL: forget it */
    void (*settled)(struct page *p);  /* its row is durable */
    void (*free)(struct page *p);
    bool (*empty)(const struct page *p); /* its row is deleted instead of written */
    struct key (*key)(const struct page *p);
    struct text (*encode)(const struct page *p, struct writer *scratch); /* store writer */
};

struct page {
    /* What every look-up touches comes first. */
    uint32_t epoch; /* of the change, while dirty: an older one than the pages' own means frozen */
    bool dirty;
    bool replaced;   /* frozen and no longer the owner's */
    bool referenced; /* touched since the clock passed */
    struct list_node node;
    const struct page_class *class;
    struct store_stream *of; /* loop only: a replaced page may outlive it */
    struct key_stream id;
    uint64_t at;    /* its place: first sequence or bucket */
    uint64_t bytes; /* charged */
};

struct pages {
    struct list clean, dirty, frozen;
    uint64_t bytes, dirty_bytes, frozen_bytes, bytes_max;
    uint32_t epoch;
};

static inline bool pages_frozen(const struct pages *ps, const struct page *p)
{
    return p->dirty && p->epoch != ps->epoch;
}

void pages_init(struct pages *ps, uint64_t bytes_max);
/* Frees what is still held; the owners are gone. */
void pages_close(struct pages *ps);
/* A page new to memory: loaded (clean) or made (dirty). */
void pages_add(struct pages *ps, struct page *p, bool dirty);
/* Before every change. Returns the page to change: p, or its clone when p is frozen. */
struct page *pages_modify(struct pages *ps, struct page *p);
void pages_resized(struct pages *ps, struct page *p, uint64_t bytes);
/* The owner has no use for it any more and has forgotten it. */
void pages_drop(struct pages *ps, struct page *p);
/* The flush takes all that is dirty; nothing may be frozen. */
void pages_freeze(struct pages *ps);
/* The flush is durable: frozen pages are clean, empty ones go. At most max of them; true: all are.
 */
bool pages_thaw(struct pages *ps, size_t max);
/* Evicts clean pages beyond the budget. Only where nobody holds a pointer to a page. */
void pages_trim(struct pages *ps);
