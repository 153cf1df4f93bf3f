/* log.c - see log.h. The log as its callers see it: what is appended counts at once, what is
 * durable follows. Every change is queued as a record (log_writer.c); the index says for each entry
 * where it lies, or that it is still queued, and then its payload is in the cache. */
#include "raft/log.h"

#include <stdlib.h>
#include <string.h>

#include "raft/log_impl.h"
#include "store/base/err.h"

void log_add_segment(struct log *l, struct segment *s)
{
    if (l->segments_count == l->segments_max) {
        l->segments_max = l->segments_max == 0 ? 16 : l->segments_max * 2;
        l->segments = check_realloc(l->segments, l->segments_max * sizeof(struct segment *));
    }
    l->segments[l->segments_count++] = s;
}

void log_add_free(struct log *l, struct segment *s)
{
    if (l->free_count == l->free_max) {
        l->free_max = l->free_max == 0 ? 16 : l->free_max * 2;
        l->free = check_realloc(l->free, l->free_max * sizeof(struct segment *));
    }
    s->seq = 0;
    l->free[l->free_count++] = s;
}

/* ---- cache: a ring over the newest entries ---- */

static struct slice *cache_slot(struct log_cache *c, size_t i)
{
    return &c->slots[(c->head + i) & (c->slots_max - 1)];
}

static void cache_drop_first(struct log_cache *c)
{
    struct slice *slot = cache_slot(c, 0);
    c->bytes -= slot->bytes;
    slice_release(slot);
    c->head++;
    c->count--;
    c->first++;
}

void log_cache_cut(struct log *l, log_index from)
{
    struct log_cache *c = &l->cache;
    while (c->count > 0 && c->first + c->count > from) {
        struct slice *slot = cache_slot(c, c->count - 1);
        c->bytes -= slot->bytes;
        slice_release(slot);
        c->count--;
    }
}

void log_cache_trim(struct log *l, log_index first)
{
    struct log_cache *c = &l->cache;
    while (c->count > 0 && c->first < first)
        cache_drop_first(c);
}

static void cache_grow(struct log_cache *c)
{
    size_t max = c->slots_max == 0 ? 64 : c->slots_max * 2;
    struct slice *slots = check_alloc(max * sizeof *slots);
    for (size_t i = 0; i < c->count; i++)
        slots[i] = *cache_slot(c, i);
    free(c->slots);
    c->slots = slots;
    c->slots_max = max;
    c->head = 0;
}

/* What isn't durable stays, whatever the budget: it can't be read from anywhere else. */
static void cache_evict(struct log *l)
{
    struct log_cache *c = &l->cache;
    while (c->bytes > c->bytes_max && c->count > 1 && c->first <= l->durable)
        cache_drop_first(c);
}

void log_cache_push(struct log *l, log_index i, struct slice payload)
{
    struct log_cache *c = &l->cache;
    if (c->count == 0) c->first = i;
    CHECK_EQ(c->first + c->count, i);
    if (c->count == c->slots_max) cache_grow(c);
    c->bytes += payload.bytes;
    c->count++;
    *cache_slot(c, c->count - 1) = payload;
    cache_evict(l);
}

/* ---- open, close ---- */

/* A small volume gets small segments: at least two are there at any time, and space comes back by
 * segments only. */
static uint64_t segment_bytes(const struct log_options *o)
{
    uint64_t total = 0, left = 0, bytes = o->segment_bytes;
    if (bytes == 0) {
        bytes = LOG_SEGMENT_BYTES_DEFAULT;
        int rc = o->env->ops->disk_space(o->env, o->dir, &total, &left);
        while (rc == 0 && bytes > LOG_SEGMENT_BYTES_MIN && bytes > total / 256)
            bytes /= 2;
    }
    return bytes < LOG_SEGMENT_BYTES_MIN ? LOG_SEGMENT_BYTES_MIN : bytes;
}

int log_open(const struct log_options *o, struct log **out)
{
    struct log *l = check_alloc(sizeof *l);
    l->options = *o;
    l->env = o->env;
    l->dir = check_strdup(o->dir);
    l->owner = (struct log_page_owner){.identity = o->identity, .group = o->group};
    l->cache.bytes_max = o->cache_bytes == 0 ? MIB(64) : o->cache_bytes;
    l->segment_pages = (uint32_t)(segment_bytes(o) / LOG_PAGE_BYTES);
    list_init(&l->reads);
    log_run_init(&l->index, 1);
    log_run_init(&l->open_run, 1);
    int rc = log_load(l);
    if (rc != 0) {
        log_close(l);
        return rc;
    }
    log_writer_init(l);
    *out = l;
    return 0;
}

static void free_ops(struct log_ops *q)
{
    for (; q->count > 0; q->count--, q->head++)
        slice_release(&q->ops[q->head].payload);
    free(q->ops);
}

void log_close(struct log *l)
{
    l->closing = true;
    log_writer_free(l);
    log_read_cancel_all(l);
    free_ops(&l->queue);
    log_cache_cut(l, 0);
    free(l->cache.slots);
    free(l->ahead.pages);
    log_run_free(&l->index);
    log_run_free(&l->open_run);
    for (size_t s = 0; s < l->segments_count; s++)
        segment_close(l->segments[s]);
    for (size_t s = 0; s < l->free_count; s++)
        segment_close(l->free[s]);
    free(l->segments);
    free(l->free);
    free(l->dir);
    free(l);
}

/* ---- what it holds ---- */

log_index log_first(const struct log *l)
{
    return l->index.first;
}

log_index log_last(const struct log *l)
{
    return l->last;
}

log_index log_durable(const struct log *l)
{
    return l->durable;
}

log_term log_term_at(const struct log *l, log_index i)
{
    const struct log_slot *slot = log_run_slot(&l->index, i);
    if (slot != NULL) return slot->term;
    return i + 1 == l->index.first ? l->prev_term : 0;
}

enum log_type log_type_at(const struct log *l, log_index i)
{
    const struct log_slot *slot = log_run_slot(&l->index, i);
    CHECK(slot != NULL);
    return (enum log_type)slot->type;
}

uint32_t log_bytes_at(const struct log *l, log_index i)
{
    const struct log_slot *slot = log_run_slot(&l->index, i);
    CHECK(slot != NULL);
    return slot->bytes;
}

struct log_vote log_vote(const struct log *l)
{
    return l->vote;
}

uint64_t log_total_bytes(const struct log *l)
{
    return l->index.bytes;
}

bool log_idle(const struct log *l)
{
    return l->queue.count == 0 && !l->flight.busy;
}

int log_get(struct log *l, log_index i, log_term term, struct slice *out)
{
    const struct log_slot *slot = log_run_slot(&l->index, i);
    if (slot == NULL || slot->term != term) return E_NOTFOUND;
    struct log_cache *c = &l->cache;
    if (c->count > 0 && i >= c->first && i - c->first < c->count) {
        *out = slice_ref(*cache_slot(c, (size_t)(i - c->first)));
        return 0;
    }
    const struct log_kept *kept = slot->type == LOG_COMMAND ? NULL : log_run_kept(&l->index, i);
    if (kept == NULL) return E_AGAIN;
    *out = slice_ref(kept->payload);
    return 0;
}

/* ---- changes ---- */

void log_append(struct log *l, log_term term, enum log_type type, struct slice payload)
{
    CHECK(term != 0);
    CHECK(payload.bytes <= LIMIT_ENTRY_BYTES);
    CHECK(type != LOG_CHANGE || payload.bytes <= LOG_CONFIG_BYTES_MAX);
    CHECK(BUG_LOG_NEXT_NOT_MOVED || l->last == log_run_last(&l->index));
    struct log_slot slot = {.term = term,
                            .offset = ++l->op_number,
                            .bytes = (uint32_t)payload.bytes,
                            .type = (uint8_t)type};
    struct log_op op = {.record = {.kind = LOG_RECORD_ENTRY,
                                   .type = (uint8_t)type,
                                   .bytes = (uint32_t)payload.bytes,
                                   .a = ++l->last,
                                   .b = term},
                        .payload = slice_ref(payload),
                        .number = slot.offset};
    log_run_push(&l->index, &slot, &payload);
    log_cache_push(l, l->last, payload);
    log_writer_queue(l, &op);
}

void log_truncate(struct log *l, log_index from)
{
    CHECK(from >= l->index.first);
    if (from > l->last) return;
    struct log_op op = {.record = {.kind = LOG_RECORD_TRUNCATE, .a = from}};
    if (!BUG_LOG_NEXT_NOT_MOVED) {
        log_run_cut(&l->index, from);
        log_cache_cut(l, from);
        l->last = from - 1;
    }
    /* Here, not when the record is durable: the old entries' batch may still be in flight, and what
     * it announces must not be taken for the new entries of the same indexes. */
    if (!BUG_LOG_FLOOR_NOT_LOWERED && l->durable >= from) l->durable = from - 1;
    log_writer_queue(l, &op);
}

uint64_t log_vote_store(struct log *l, struct log_vote v)
{
    CHECK(v.term >= l->vote.term);
    l->vote = v;
    struct log_op op = {.record = {.kind = LOG_RECORD_VOTE, .a = v.term, .b = v.vote}};
    log_writer_queue(l, &op);
    return ++l->vote_number;
}

/* The oldest segment that entry `first` and its followers may lie in. */
static uint32_t keep_seq(const struct log *l, log_index first)
{
    const struct log_slot *slot = log_run_slot(&l->index, first);
    return slot != NULL && slot->seq != 0 ? slot->seq : l->open->seq;
}

static void remember_config(struct log *l, log_index first, struct log_op *op)
{
    const struct log_kept *config = log_run_config(&l->index, first);
    if (config == NULL) return;
    op->payload = slice_ref(config->payload);
    op->record.bytes = (uint32_t)config->payload.bytes;
    op->record.c = config->index;
    struct log_facts *f = &l->meta.facts;
    f->config_index = config->index;
    f->config_bytes = (uint32_t)config->payload.bytes;
    memcpy(f->config, config->payload.at, config->payload.bytes);
}

void log_trim(struct log *l, log_index first)
{
    if (first <= l->index.first) return;
    CHECK(first <= l->last + 1);
    struct log_op op = {
        .record = {.kind = LOG_RECORD_FLOOR, .a = first, .b = log_term_at(l, first - 1)},
        .keep_seq = keep_seq(l, first)};
    remember_config(l, first, &op);
    l->prev_term = op.record.b;
    log_run_trim(&l->index, first);
    log_cache_trim(l, first);
    log_writer_queue(l, &op);
    if (BUG_LOG_TRIM_EARLY) log_writer_recycle(l, op.keep_seq);
}

void log_reset(struct log *l, log_index index, log_term term)
{
    CHECK(index + 1 >= l->index.first);
    struct log_op op = {.record = {.kind = LOG_RECORD_RESET, .a = index, .b = term},
                        .keep_seq = l->open->seq};
    log_run_reset(&l->index, index + 1);
    log_cache_cut(l, 0);
    l->last = index;
    l->prev_term = term;
    if (l->durable > index) l->durable = index;
    log_writer_queue(l, &op);
}

/* ---- facts ---- */

const struct log_facts *log_facts(const struct log *l)
{
    return &l->meta.facts;
}

int log_facts_store(struct log *l, const struct log_facts *f)
{
    CHECK(log_idle(l));
    CHECK(f->config_bytes <= sizeof f->config);
    l->meta.facts = *f;
    l->meta.vote = l->written.vote;
    l->meta.seq = l->open->seq;
    return meta_store(l->env, l->dir, &l->owner, &l->meta);
}
