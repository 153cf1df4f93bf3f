/* store.c - the face: opening at the durable index, appending, memory back to its limits. Start
 * reading here, then store_types.h; the story of a flush is in state_flush.c. */
#include "store/store.h"

#include <stdlib.h>

#include "store/base/bug.h"
#include "store/base/err.h"
#include "store/base/limits.h"
#include "store/base/logger.h"
#include "store/checkpoint.h"
#include "store/cleaner.h"
#include "store/scrub.h"
#include "store/state_flush.h"
#include "store/store_count.h"
#include "store/store_read.h"
#include "store/store_stream.h"
#include "store/store_writer.h"

#define FLUSH_BYTES_DEFAULT MIB(128)
#define BUDGET_BYTES_MIN KIB(64)
#define TAIL_BYTES_MAX MIB(16)
#define SEGMENT_BYTES_MAX MIB(32)
#define SEGMENT_BYTES_MIN KIB(256)
#define OPEN_WINDOW_BYTES                                                                          \
    MIB(32) /* an open block older than this in log bytes is copied: else one slow stream would    \
               hold every entry of a fast one */
#define WRITTEN_WINDOW_BYTES MIB(8) /* the same for written blocks, which are forgotten instead */
#define HOLES_MAX 64                /* a gap in an open block; a longer one seals it */
#define GIVE_BACK_PER_ENTRY 64      /* blocks of deleted streams, per applied entry */
#define IDLE_NS (10 * NS_PER_S)

/* ---- open, close ---- */

static void set_limits(struct store *s, const struct store_options *o)
{
    uint64_t budget = o->budget_bytes < BUDGET_BYTES_MIN ? BUDGET_BYTES_MIN : o->budget_bytes;
    uint64_t tail = budget / 8 < TAIL_BYTES_MAX ? budget / 8 : TAIL_BYTES_MAX;
    uint64_t segment = budget / 16;
    if (segment > SEGMENT_BYTES_MAX) segment = SEGMENT_BYTES_MAX;
    if (segment < SEGMENT_BYTES_MIN) segment = SEGMENT_BYTES_MIN;
    s->flush_bytes = o->flush_bytes == 0 ? FLUSH_BYTES_DEFAULT : o->flush_bytes;
    s->segment_bytes = segment;
    s->queue_bytes_max = tail < MIB(1) ? MIB(2) : 2 * tail;
    /* A quarter is RocksDB's cache, the caller's; three segments are memtables. */
    pages_init(&s->pages, budget / 2 - tail / 2);
    tail_init(&s->tail, tail);
    block_cache_init(&s->blocks, s->kv, budget / 16);
}

/* The largest block number in KV_DATA; 0: none. */
static int largest_block(struct store *s, uint64_t *out)
{
    const struct kv_ops *ops = s->kv->ops;
    struct kv_iter *it = ops->iter_new(s->kv, KV_DATA, false);
    struct key last = keys_data(UINT64_MAX);
    int rc = 0;
    *out = 0;
    ops->iter_seek_for_prev(it, key_text(&last));
    if (!ops->iter_valid(it)) {
        rc = ops->iter_error(it);
    } else if (!keys_data_read(ops->iter_key(it), out)) {
        rc = E_CORRUPT;
    }
    ops->iter_free(it);
    return rc;
}

static int read_meta(struct store *s, struct values_meta *m)
{
    struct key key = keys_meta();
    struct kv_pin pin;
    int rc = s->kv->ops->get(s->kv, KV_STATE, key_text(&key), &pin);
    if (rc == E_NOTFOUND) {
        *m = (struct values_meta){.block_next = 1, .hash_seed = env_random(s->env)};
        return 0;
    }
    if (rc != 0) return rc;
    rc = values_meta_decode(pin.value, m);
    s->kv->ops->unpin(s->kv, &pin);
    return rc;
}

static int load(struct store *s)
{
    struct values_meta m;
    uint64_t largest;
    int rc = read_meta(s, &m);
    if (rc == 0) rc = largest_block(s, &largest);
    if (rc != 0) return rc;
    s->at = s->durable = (struct store_at){.index = m.index, .term = m.term};
    s->hash_seed = m.hash_seed;
    s->block_next = m.block_next;
    rc = segments_load(&s->segments, s->kv, m.segment_next, m.block_next);
    if (rc != 0) return rc;
    if (largest >= m.block_next && !BUG_STORE_NUMBERS_REUSED) {
        /* Orphans of a crash: written, but unknown to the state. Their numbers are spent. */
        s->block_next = largest + 1;
        segments_cut(&s->segments, s->block_next);
    }
    segments_condemn(&s->segments);
    struct segments_run runs[16];
    size_t count = segments_runs(&s->segments, runs, ARRAY_COUNT(runs));
    for (size_t i = 0; rc == 0 && i < count; i++) {
        bool left;
        rc = segments_delete(s->kv, &runs[i], &left);
        if (rc == 0 && !left) segments_gone(&s->segments, &runs[i]);
    }
    return rc == 0 ? store_stream_load_zombies(s) : rc;
}

int store_open(const struct store_options *o, struct store **out, struct store_at *at)
{
    struct store *s = check_alloc(sizeof *s);
    s->env = o->env;
    s->kv = o->kv;
    list_init(&s->streams);
    map_init(&s->by_id, 0, NULL);
    list_init(&s->dirty_streams);
    list_init(&s->zombies);
    list_init(&s->gone);
    list_init(&s->buried);
    list_init(&s->writing);
    set_limits(s, o);
    s->worker = s->env->ops->worker_new(s->env, "store");
    s->writer = store_writer_new(s->kv);
    s->applied_when = env_mono(s->env);
    int rc = load(s);
    if (rc != 0) {
        LOG_CODE(ERR, LOG_CORRUPT, "the store can't be opened: %s", err_text(rc));
        store_close(s);
        return rc;
    }
    *out = s;
    *at = s->at;
    return 0;
}

static void free_streams(struct list *l)
{
    for (struct list_node *n = list_first(l); n != NULL; n = list_first(l))
        store_stream_free(CONTAINER_OF(n, struct store_stream, node));
}

void store_close(struct store *s)
{
    if (s == NULL) return;
    s->env->ops->worker_free(s->worker);
    cleaner_abandon(s);
    checkpoint_abandon(s);
    scrub_abandon(s);
    store_writer_abandon(s);
    state_flush_abandon(s);
    free_streams(&s->streams);
    free_streams(&s->zombies);
    free_streams(&s->gone);
    free_streams(&s->buried);
    tail_close(&s->tail);
    pages_close(&s->pages);
    block_cache_close(&s->blocks);
    segments_close(&s->segments);
    map_free(&s->by_id);
    store_writer_free(s->writer, s->kv);
    s->kv->ops->close(s->kv);
    free(s);
}

int store_rows(struct store *s, struct text prefix, struct store_row_visitor v)
{
    const struct kv_ops *ops = s->kv->ops;
    struct kv_iter *it = ops->iter_new(s->kv, KV_STATE, true);
    for (ops->iter_seek(it, prefix); ops->iter_valid(it); ops->iter_next(it)) {
        struct text key = ops->iter_key(it);
        struct text start = {.at = key.at, .bytes = prefix.bytes};
        if (key.bytes < prefix.bytes || !text_equal(start, prefix)) break;
        v.row(v.ctx, key, ops->iter_value(it));
    }
    int rc = ops->iter_error(it);
    ops->iter_free(it);
    return rc;
}

/* ---- flush ---- */

int store_flush(struct store *s,
                struct store_at at,
                void (*collect)(void *ctx),
                void (*done)(void *ctx, struct store_at at),
                void *ctx)
{
    return state_flush_start(s, at, collect, done, ctx);
}

void store_put(struct store *s, struct text key, struct text value)
{
    state_flush_put(s, key, value);
}

void store_del(struct store *s, struct text key)
{
    state_flush_del(s, key);
}

static bool is_dirty(const struct store *s)
{
    return s->log_at != s->flushed_at || s->pages.dirty_bytes > 0 ||
           !list_empty(&s->dirty_streams) || !list_empty(&s->zombies) || !list_empty(&s->gone);
}

bool store_flush_due(const struct store *s)
{
    if (s->flush != NULL) return false;
    if (s->log_at - s->flushed_at >= s->flush_bytes) return true;
    if (s->pages.dirty_bytes > s->pages.bytes_max / 2) return true;
    return is_dirty(s) && env_mono(s->env).ns - s->applied_when.ns >= IDLE_NS;
}

bool store_busy(const struct store *s)
{
    if (s->tail.queue_bytes + s->writing_bytes > s->queue_bytes_max) return true;
    return s->pages.dirty_bytes + s->pages.frozen_bytes > s->pages.bytes_max;
}

void store_applied(struct store *s, struct store_at at, uint64_t entry_bytes)
{
    s->at = at;
    s->log_at += entry_bytes;
    s->applied_when = env_mono(s->env);
    store_stream_give_back(s, GIVE_BACK_PER_ENTRY);
    store_trim(s);
}

void store_trim(struct store *s)
{
    while (!list_empty(&s->tail.open)) {
        struct tail_block *b = CONTAINER_OF(list_first(&s->tail.open), struct tail_block, node);
        if (b->log_at + OPEN_WINDOW_BYTES >= s->log_at) break;
        tail_gather(&s->tail, b, s->log_at);
    }
    /* A queue too short to be worth writing must not hold on to old entries either. */
    if (!list_empty(&s->tail.queue) && list_empty(&s->writing)) {
        struct tail_block *b = CONTAINER_OF(list_first(&s->tail.queue), struct tail_block, node);
        if (b->log_at + OPEN_WINDOW_BYTES < s->log_at) store_writer_flush_queue(s);
    }
    tail_trim(&s->tail, s->log_at > WRITTEN_WINDOW_BYTES ? s->log_at - WRITTEN_WINDOW_BYTES : 0);
    pages_trim(&s->pages);
}

/* ---- one stream ---- */

uint64_t store_msg_bytes(const struct store_msg *m)
{
    uint64_t header = m->header.bytes == 0 ? 0 : 4 + m->header.bytes;
    return 22 + m->subject.bytes + header + m->body.bytes + 8;
}

/* The open block that takes the next message. */
static struct tail_block *open_block(struct store_stream *ss, const struct store_msg *m)
{
    struct store *s = ss->store;
    uint64_t bytes = m->header.bytes + m->body.bytes;
    if (ss->open != NULL && bytes >= BLOCK_BYTES) store_stream_seal(ss);
    if (ss->open == NULL) ss->open = tail_open(&s->tail, ss, ss->id, ss->last + 1, s->log_at);
    return ss->open;
}

stream_seq store_append(struct store_stream *ss, const struct store_msg *m, struct slice owner)
{
    struct store *s = ss->store;
    uint64_t hash = subjects_hash(ss, m->subject);
    subjects_prefetch(ss, hash); /* the row is touched last */
    struct tail_block *b = open_block(ss, m);
    uint64_t bytes = store_msg_bytes(m);
    stream_seq seq = ss->last + 1;
    CHECK_EQ(b->first + b->count, seq);
    tail_push(&s->tail, b, m, (uint32_t)hash, owner);
    subjects_append(ss, hash, m->subject, seq, (uint32_t)bytes);
    if (ss->msgs++ == 0) {
        ss->first = seq;
        *ss->head = (struct store_first){.seq = seq, .time_ns = m->time_ns};
    }
    ss->bytes += bytes;
    ss->last = seq;
    ss->last_ns = m->time_ns;
    store_dirty(ss);
    if (b->size >= BLOCK_BYTES || b->count >= BLOCK_MSGS) store_stream_seal(ss);
    if (s->tail.open_bytes > s->tail.open_bytes_max) store_stream_seal_all(s);
    return seq;
}

void store_skip_to(struct store_stream *ss, stream_seq last)
{
    CHECK(last >= ss->last);
    uint64_t gap = last - ss->last;
    if (gap == 0) return;
    struct tail_block *b = ss->open;
    if (b != NULL && (gap > HOLES_MAX || b->count + gap >= BLOCK_MSGS)) {
        store_stream_seal(ss);
        b = NULL;
    }
    for (uint64_t i = 0; b != NULL && i < gap; i++)
        tail_push_hole(b);
    ss->last = last;
    if (ss->msgs == 0) ss->first = last + 1;
    store_dirty(ss);
}

int store_get(struct store_stream *ss,
              stream_seq seq,
              struct store_cursor *c,
              struct store_msg *out)
{
    pages_trim(&ss->store->pages);
    return store_read_get(ss, seq, c, out);
}

int store_next(struct store_stream *ss,
               stream_seq *from,
               const struct text *filters,
               size_t count,
               uint32_t scan_max,
               struct store_cursor *c,
               struct store_msg *out)
{
    pages_trim(&ss->store->pages);
    return store_read_next(ss, from, filters, count, scan_max, c, out);
}

int store_last(struct store_stream *ss,
               struct text filter,
               stream_seq upto,
               struct store_cursor *c,
               struct store_msg *out)
{
    pages_trim(&ss->store->pages);
    return store_read_last(ss, filter, upto, c, out);
}

stream_seq store_seq_at(struct store_stream *ss, int64_t ns)
{
    pages_trim(&ss->store->pages);
    return store_read_seq_at(ss, ns);
}

uint64_t store_deleted(struct store_stream *ss, void (*each)(void *ctx, stream_seq seq), void *ctx)
{
    pages_trim(&ss->store->pages);
    return store_count_deleted(ss, each, ctx);
}

struct store_stats store_stats(const struct store *s)
{
    struct kv_figures kv = {0};
    s->kv->ops->figures(s->kv, &kv);
    uint64_t tail =
        s->tail.open_bytes + s->tail.queue_bytes + s->writing_bytes + s->tail.written_bytes;
    return (struct store_stats){.memory_bytes =
                                    kv.memory_bytes + tail + s->pages.bytes + s->blocks.bytes,
                                .disk_bytes = kv.disk_bytes,
                                .live_bytes = s->segments.live_bytes,
                                .tail_bytes = tail,
                                .page_bytes = s->pages.bytes,
                                .flushes = s->flushes,
                                .blocks_written = s->blocks_written,
                                .blocks_cleaned = s->blocks_cleaned};
}
