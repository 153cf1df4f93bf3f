/* block_map.c - finding leaves. A resident leaf covers [page.at, until) for sure; beyond until
 * another one may lie in KV_STATE, so that look-ups there seek first and then know more. Leaves are
 * never split: a block is only ever added at the end, or in the place of others. An emptied leaf
 * stays, dirty, until a flush has deleted its row: absent from memory must mean equal to KV_STATE.
 */
#include "store/block_map.h"

#include <stdlib.h>
#include <string.h>

#include "store/base/err.h"
#include "store/store_types.h"

void block_map_close(struct store_stream *ss)
{
    struct block_map *m = &ss->map;
    for (uint32_t i = 0; i < m->count; i++)
        pages_drop(&ss->store->pages, &m->leaves[i]->page);
    free(m->leaves);
    *m = (struct block_map){0};
}

/* The last resident leaf that begins at or before seq; -1: none. */
static int resident(const struct block_map *m, stream_seq seq)
{
    int low = -1, high = (int)m->count - 1;
    while (low < high) {
        int middle = low + (high - low + 1) / 2;
        if (m->leaves[middle]->page.at <= seq) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    return low;
}

static void insert(struct block_map *m, struct leaf *l)
{
    if (m->count == m->max) {
        m->max = m->max == 0 ? 2 : m->max * 2;
        m->leaves = check_realloc(m->leaves, m->max * sizeof(struct leaf *));
    }
    uint32_t at = (uint32_t)(resident(m, l->page.at) + 1);
    memmove(&m->leaves[at + 1], &m->leaves[at], (m->count - at) * sizeof(struct leaf *));
    m->leaves[at] = l;
    m->count++;
}

void block_map_install(struct store_stream *ss, struct leaf *from, struct leaf *to)
{
    struct block_map *m = &ss->map;
    int at = resident(m, from->page.at);
    CHECK(at >= 0);
    CHECK(m->leaves[at] == from);
    if (to != NULL) {
        m->leaves[at] = to;
        return;
    }
    m->count--;
    memmove(&m->leaves[at], &m->leaves[at + 1], (m->count - (uint32_t)at) * sizeof(struct leaf *));
}

void block_map_settled(struct store_stream *ss)
{
    ss->map.durable = true;
}

static _Noreturn void damaged(const struct store_stream *ss, stream_seq at, int rc)
{
    FATAL(EXIT_CORRUPT, "block map of stream %u at %llu: %s", ss->id.stream, (unsigned long long)at,
          err_text(rc));
}

/* The leaf under the iterator becomes resident. */
static struct leaf *load(struct store_stream *ss, stream_seq at, struct text value)
{
    struct leaf *l = NULL;
    int rc = leaf_decode(ss, ss->id, at, value, &l);
    if (rc != 0) damaged(ss, at, rc);
    pages_add(&ss->store->pages, &l->page, false);
    insert(&ss->map, l);
    return l;
}

/* Looks in KV_STATE for the leaf that covers seq. best: the resident one so far. */
static struct leaf *
seek(struct store_stream *ss, stream_seq seq, struct leaf *best, stream_seq until)
{
    const struct kv_ops *ops = ss->store->kv->ops;
    struct kv_iter *it = ops->iter_new(ss->store->kv, KV_STATE, false);
    struct key key = keys_leaf(ss->id, seq);
    ops->iter_seek_for_prev(it, key_text(&key));
    stream_seq found, next;
    bool any = ops->iter_valid(it) && keys_leaf_read(ops->iter_key(it), ss->id, &found);
    if (any && (best == NULL || found > best->page.at)) best = load(ss, found, ops->iter_value(it));
    if (any) {
        ops->iter_next(it);
        if (ops->iter_valid(it) && keys_leaf_read(ops->iter_key(it), ss->id, &next) && next < until)
            until = next;
    } else {
        /* Nothing before seq is stored: the first stored leaf bounds a newer resident one. */
        ops->iter_seek(it, key_text(&key));
        if (ops->iter_valid(it) && keys_leaf_read(ops->iter_key(it), ss->id, &next) && next < until)
            until = next;
    }
    int rc = ops->iter_error(it);
    if (rc != 0) damaged(ss, seq, rc);
    ops->iter_free(it);
    if (best != NULL) best->until = until;
    return best;
}

/* The leaf that covers seq, which may hold no entry there; NULL: no leaf begins at or before it. */
static struct leaf *leaf_at(struct store_stream *ss, stream_seq seq)
{
    struct block_map *m = &ss->map;
    int at = resident(m, seq);
    struct leaf *l = at < 0 ? NULL : m->leaves[at];
    bool next_known = (uint32_t)(at + 1) < m->count;
    stream_seq until = next_known ? m->leaves[at + 1]->page.at : UINT64_MAX;
    if (l == NULL || l->until <= seq) {
        if (m->durable) {
            l = seek(ss, seq, l, until);
        } else if (l != NULL) {
            l->until = until;
        }
    }
    if (l != NULL) l->page.referenced = true;
    return l;
}

static struct leaf *leaf_after(struct store_stream *ss, struct leaf *l)
{
    while (l->until != UINT64_MAX) {
        struct leaf *next = leaf_at(ss, l->until);
        if (next != l) return next;
    }
    return NULL;
}

/* The first leaf that begins after seq, when none begins before. */
static struct leaf *leaf_first(struct store_stream *ss, stream_seq seq)
{
    struct block_map *m = &ss->map;
    stream_seq first = m->count == 0 ? UINT64_MAX : m->leaves[0]->page.at;
    if (m->durable) {
        const struct kv_ops *ops = ss->store->kv->ops;
        struct kv_iter *it = ops->iter_new(ss->store->kv, KV_STATE, false);
        struct key key = keys_leaf(ss->id, seq);
        stream_seq found;
        ops->iter_seek(it, key_text(&key));
        if (ops->iter_valid(it) && keys_leaf_read(ops->iter_key(it), ss->id, &found) &&
            found < first)
            first = found;
        int rc = ops->iter_error(it);
        if (rc != 0) damaged(ss, seq, rc);
        ops->iter_free(it);
    }
    return first == UINT64_MAX ? NULL : leaf_at(ss, first);
}

static struct leaf *modify(struct store_stream *ss, struct leaf *l)
{
    store_dirty(ss);
    return CONTAINER_OF(pages_modify(&ss->store->pages, &l->page), struct leaf, page);
}

static void resized(struct store_stream *ss, struct leaf *l)
{
    uint64_t bytes = leaf_bytes(l);
    if (bytes != l->page.bytes) pages_resized(&ss->store->pages, &l->page, bytes);
}

void block_map_append(struct store_stream *ss, struct leaf_entry e)
{
    struct leaf *l = leaf_at(ss, e.first);
    if (l == NULL || l->count == LEAF_ENTRIES) {
        if (l != NULL) l->until = e.first;
        l = leaf_new(ss, ss->id, e.first);
        l->until = UINT64_MAX;
        pages_add(&ss->store->pages, &l->page, true);
        insert(&ss->map, l);
    }
    l = modify(ss, l);
    if (l->count > 0) CHECK(leaf_entry_last(&l->entries[l->count - 1]) < e.first);
    leaf_insert(l, l->count, e);
    resized(ss, l);
}

bool block_map_next(struct store_stream *ss, stream_seq seq, struct map_at *at)
{
    struct leaf *l = leaf_at(ss, seq);
    if (l == NULL) l = leaf_first(ss, seq);
    for (; l != NULL; l = leaf_after(ss, l)) {
        int i = leaf_find(l, seq);
        if (i < 0 || leaf_entry_last(&l->entries[i]) < seq) i++;
        if ((uint32_t)i < l->count) {
            *at = (struct map_at){.leaf = l, .index = (uint32_t)i};
            return true;
        }
    }
    return false;
}

bool block_map_prev(struct store_stream *ss, stream_seq seq, struct map_at *at)
{
    for (struct leaf *l = leaf_at(ss, seq); l != NULL; l = leaf_at(ss, l->page.at - 1)) {
        int i = leaf_find(l, seq);
        if (i >= 0) {
            *at = (struct map_at){.leaf = l, .index = (uint32_t)i};
            return true;
        }
        if (l->page.at == 0) return false;
    }
    return false;
}

bool block_map_find(struct store_stream *ss, stream_seq seq, struct map_at *at)
{
    struct leaf *l = leaf_at(ss, seq);
    if (l == NULL) return false;
    int i = leaf_find(l, seq);
    if (i < 0 || leaf_entry_last(&l->entries[i]) < seq) return false;
    *at = (struct map_at){.leaf = l, .index = (uint32_t)i};
    return true;
}

static void remove_entry(struct store_stream *ss, struct map_at *at)
{
    tail_unneeded(&ss->store->tail, block_map_entry(at)->number);
    leaf_remove(at->leaf, at->index);
    resized(ss, at->leaf);
}

/* Takes messages off the entry's figures. True: none are left, and the entry is gone. */
static bool take_off(struct store_stream *ss, struct map_at *at, uint32_t live, uint32_t bytes)
{
    at->leaf = modify(ss, at->leaf);
    struct leaf_entry *e = block_map_entry(at);
    CHECK(e->live >= live);
    CHECK(e->live_bytes >= bytes);
    segments_sub(&ss->store->segments, e->number, bytes);
    e->live -= live;
    e->live_bytes -= bytes;
    if (e->live > 0) return false;
    CHECK_EQ(e->live_bytes, 0);
    remove_entry(ss, at);
    return true;
}

bool block_map_kill(struct store_stream *ss, struct map_at *at, stream_seq seq, uint32_t bytes)
{
    if (take_off(ss, at, 1, bytes)) return true;
    if (seq == ss->first) return false; /* what lies below the first is dead anyhow */
    struct leaf_entry *e = block_map_entry(at);
    bool first_hole = e->bits == NULL;
    leaf_entry_clear(e, seq);
    if (first_hole) resized(ss, at->leaf);
    return false;
}

void block_map_shrink(struct store_stream *ss, struct map_at *at, uint32_t live, uint32_t bytes)
{
    take_off(ss, at, live, bytes);
}

void block_map_drop(struct store_stream *ss, struct map_at *at)
{
    const struct leaf_entry *e = block_map_entry(at);
    take_off(ss, at, e->live, e->live_bytes);
}

void block_map_replace(struct store_stream *ss, struct map_at *at, struct leaf_entry e)
{
    at->leaf = modify(ss, at->leaf);
    struct leaf_entry *old = block_map_entry(at);
    segments_sub(&ss->store->segments, old->number, old->live_bytes);
    tail_unneeded(&ss->store->tail, old->number);
    free(old->bits);
    *old = e;
    resized(ss, at->leaf);
}
