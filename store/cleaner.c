/* cleaner.c - one segment after the other, a few MiB at a time:
 *
 *   worker  reads and checks blocks of the segment, in the order of their numbers
 *   loop    for each one that the map still refers to: what lives of it now becomes a block in the
 * tail, neighbours of one leaf together; its entry replaces theirs at once, in this same turn, and
 * it is queued
 *
 * Since liveness is taken from the map when the entry is replaced, a delete can't fall in between
 * (rule 9). The old blocks are dead then; their segment's file goes with the next state flush. */
#include "store/cleaner.h"

#include <stdlib.h>

#include "store/base/bug.h"
#include "store/base/err.h"
#include "store/base/limits.h"
#include "store/base/logger.h"
#include "store/store_stream.h"
#include "store/store_writer.h"

#define READ_BYTES MIB(4)  /* at a time: a turn of the loop moves at most that */
#define STORE_SHARE 2      /* clean when less than 1/2 of the store's bytes live */
#define SEGMENT_PERCENT 60 /* and only segments of which less lives */
#define SEGMENTS_MIN 4     /* below that many segments' bytes there is nothing to gain */
#define SOURCES_MAX 64     /* blocks that become one */

struct read_block {
    uint64_t number;
    struct slice record;
    struct block_view view;
};

struct cleaner {
    struct env_job job;
    struct store *store;
    uint64_t next, last; /* block numbers still to read */
    struct read_block *blocks;
    size_t count, max;
    bool reading, damaged;
    int rc;
    /* The block being made. */
    struct store_stream *of;
    struct tail_block *made;
    stream_seq sources[SOURCES_MAX]; /* first sequences of the entries it replaces */
    size_t source_count;
};

/* ---- on the worker ---- */

static uint64_t read_one(struct cleaner *c, uint64_t number, struct text record)
{
    struct slice copy = slice_copy(record.at, record.bytes);
    struct block_view view;
    if (block_decode(kv_text(copy.at, copy.bytes), &view) != 0) {
        c->damaged = true; /* stays where it is, with its segment, until it is repaired */
        slice_release(&copy);
        return record.bytes;
    }
    if (c->count == c->max) {
        c->max = c->max == 0 ? 64 : c->max * 2;
        c->blocks = check_realloc(c->blocks, c->max * sizeof *c->blocks);
    }
    c->blocks[c->count++] = (struct read_block){.number = number, .record = copy, .view = view};
    return record.bytes;
}

static void job_run(struct env_job *job)
{
    struct cleaner *c = CONTAINER_OF(job, struct cleaner, job);
    struct kv *kv = c->store->kv;
    struct kv_iter *it = kv->ops->iter_new(kv, KV_DATA, true);
    struct key key = keys_data(c->next);
    uint64_t bytes = 0;
    for (kv->ops->iter_seek(it, key_text(&key)); kv->ops->iter_valid(it) && bytes < READ_BYTES;
         kv->ops->iter_next(it)) {
        uint64_t number;
        if (!keys_data_read(kv->ops->iter_key(it), &number) || number > c->last) break;
        bytes += read_one(c, number, kv->ops->iter_value(it));
        c->next = number + 1;
    }
    if (bytes < READ_BYTES) c->next = c->last + 1;
    c->rc = kv->ops->iter_error(it);
    kv->ops->iter_free(it);
}

/* ---- on the loop ---- */

/* Queues the block that was made; its entry takes the place of its sources'. */
static void made_finish(struct cleaner *c)
{
    struct store_stream *ss = c->of;
    struct tail_block *b = c->made;
    if (b == NULL) return;
    c->made = NULL;
    c->of = NULL;
    struct leaf_entry e = store_stream_entry(b);
    struct map_at at;
    for (size_t i = 1; i < c->source_count; i++) {
        CHECK(block_map_find(ss, c->sources[i], &at));
        block_map_drop(ss, &at);
    }
    CHECK(block_map_find(ss, c->sources[0], &at));
    e.number = store_stream_queue(c->store, b);
    block_map_replace(ss, &at, e);
    c->source_count = 0;
    c->store->blocks_cleaned++;
}

/* May the entry join the block that is being made? It must be the next one of the same leaf: a
 * block lies within one.
 */
static bool
made_takes(const struct cleaner *c, const struct store_stream *ss, const struct map_at *at)
{
    const struct tail_block *b = c->made;
    const struct leaf_entry *e = block_map_entry(at);
    if (b == NULL || c->of != ss || c->source_count == SOURCES_MAX || at->index == 0) return false;
    if (at->leaf->entries[at->index - 1].first != c->sources[c->source_count - 1]) return false;
    if (b->size + e->live_bytes > BLOCK_BYTES || b->live + e->live > BLOCK_MSGS) return false;
    return leaf_entry_last(e) - b->first < BLOCK_SPAN_MAX;
}

static void
add_message(struct cleaner *c, const struct read_block *r, stream_seq seq, uint32_t index)
{
    struct store_stream *ss = c->of;
    struct store_msg m = {.seq = seq};
    block_view_msg(&r->view, index, &m);
    if (c->made == NULL) c->made = tail_block_new(&c->store->tail, ss, ss->id, seq);
    while (c->made->first + c->made->count < seq)
        tail_push_hole(c->made);
    c->made->log_at = c->store->log_at;
    tail_push(&c->store->tail, c->made, &m, (uint32_t)subjects_hash(ss, m.subject), r->record);
}

/* The entry still refers to the block as read, and what lives of it is in there. */
static bool
entry_fits(const struct store_stream *ss, const struct leaf_entry *e, const struct read_block *r)
{
    if (e->number != r->number) return false;
    uint32_t index, live = 0;
    stream_seq seq = leaf_entry_next(e, ss->first);
    for (; seq != 0; seq = leaf_entry_next(e, seq + 1), live++)
        if (!block_view_find(&r->view, seq, &index)) return false;
    return live == e->live;
}

static stream_seq next_moved(const struct leaf_entry *e, stream_seq seq)
{
    if (!BUG_STORE_CLEANER_UNCONDITIONAL) return leaf_entry_next(e, seq);
    return seq <= e->first ? e->first : seq > leaf_entry_last(e) ? 0 : seq;
}

static void clean_block(struct cleaner *c, const struct read_block *r)
{
    uint64_t id = (uint64_t)r->view.of.account << 32 | r->view.of.stream;
    struct store_stream *ss = map_get_u64(&c->store->by_id, id);
    struct map_at at;
    if (ss == NULL || !block_map_find(ss, r->view.first, &at)) return;
    struct leaf_entry *e = block_map_entry(&at);
    if (e->first != r->view.first || !entry_fits(ss, e, r)) return;
    if (!made_takes(c, ss, &at)) {
        made_finish(c);
        if (!block_map_find(ss, r->view.first, &at)) return;
        e = block_map_entry(&at);
    }
    c->of = ss;
    c->sources[c->source_count++] = e->first;
    uint32_t index;
    for (stream_seq seq = next_moved(e, ss->first); seq != 0; seq = next_moved(e, seq + 1))
        if (block_view_find(&r->view, seq, &index)) add_message(c, r, seq, index);
}

static void release(struct cleaner *c)
{
    for (size_t i = 0; i < c->count; i++) {
        block_view_free(&c->blocks[i].view);
        slice_release(&c->blocks[i].record);
    }
    c->count = 0;
}

static void finish(struct cleaner *c)
{
    struct store *s = c->store;
    if (c->damaged) {
        struct segment *g = segments_find(&s->segments, c->last);
        if (g != NULL) g->kept = true;
        LOG_CODE(ERR, LOG_CORRUPT,
                 "damaged blocks up to %llu keep their segment from being cleaned",
                 (unsigned long long)c->last);
    }
    s->cleaner = NULL;
    free(c->blocks);
    free(c);
    cleaner_kick(s);
}

static void job_done(struct env_job *job)
{
    struct cleaner *c = CONTAINER_OF(job, struct cleaner, job);
    struct store *s = c->store;
    c->reading = false;
    if (c->rc != 0) {
        c->damaged = true;
        c->next = c->last + 1;
    }
    for (size_t i = 0; i < c->count; i++)
        clean_block(c, &c->blocks[i]);
    made_finish(c);
    release(c);
    store_writer_kick(s);
    store_trim(s);
    cleaner_continue(s);
}

void cleaner_continue(struct store *s)
{
    struct cleaner *c = s->cleaner;
    if (c == NULL || c->reading) return;
    if (c->next > c->last) {
        finish(c);
        return;
    }
    if (s->tail.queue_bytes + s->writing_bytes > s->queue_bytes_max / 2) return;
    c->reading = true;
    env_submit(s->env, s->worker, &c->job);
}

/* The segment of which the least lives; NULL: none is worth it. */
static struct segment *victim(const struct store *s)
{
    const struct segments *g = &s->segments;
    struct segment *best = NULL;
    uint64_t bytes = 0;
    for (size_t i = 0; i + 1 < g->count; i++) {
        struct segment *at = &g->at[i];
        if (at->gone || at->live_bytes == 0) continue;
        bytes += at->bytes;
        if (at->kept || at->tried == s->flushes) continue;
        if (at->live_bytes * 100 >= at->bytes * SEGMENT_PERCENT) continue;
        /* live/bytes < best's, without division. */
        if (best == NULL || (double)at->live_bytes * (double)best->bytes <
                                (double)best->live_bytes * (double)at->bytes)
            best = at;
    }
    bool full = g->live_bytes * STORE_SHARE >= bytes;
    return full || bytes < SEGMENTS_MIN * s->segment_bytes ? NULL : best;
}

void cleaner_kick(struct store *s)
{
    if (s->cleaner != NULL) return;
    struct segment *g = victim(s);
    if (g == NULL) return;
    g->tried = s->flushes;
    struct cleaner *c = check_alloc(sizeof *c);
    c->job = (struct env_job){.run = job_run, .done = job_done};
    c->store = s;
    c->next = g->first;
    c->last = g->last;
    s->cleaner = c;
    cleaner_continue(s);
}

void cleaner_abandon(struct store *s)
{
    struct cleaner *c = s->cleaner;
    if (c == NULL) return;
    release(c);
    free(c->blocks);
    free(c);
    s->cleaner = NULL;
}
