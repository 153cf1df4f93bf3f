/* log_writer.c - group commit.
 *
 * 1 log_writer_queue: a record joins the queue; the batch is made at the end of the loop's turn.
 * 2 kick: nothing in flight -> as much of the queue as makes a batch gets its places in the open
 *   segment. No room -> roll: the open segment's index and the next one's head go before the
 *   batch. No segment at hand -> one is made ready in the background, and the queue gathers.
 * 3 writer_run, on its thread: copy into pages, checksum, write, sync; each part of a roll synced
 *   by itself, so that a batch's presence proves all before it.
 * 4 writer_done: segments below a durable floor are free; votes and entries are announced; kick.
 *
 * A write or sync that fails ends the node: after a failed fdatasync the kernel may hold the pages
 * clean, and the next call would report success for bytes that are gone. */
#include "raft/log_impl.h"

#include <stdlib.h>
#include <string.h>

#include "store/base/err.h"

/* ---- the thread's side ---- */

static void must(const struct log *l, const char *what, int rc)
{
    if (rc != 0) FATAL(EXIT_DISK, "log in %s: %s failed: %s", l->dir, what, err_text(rc));
}

static uint8_t *buffer_of(struct log_flight *f, size_t pages)
{
    if (f->buffer_pages >= pages) return f->buffer;
    free(f->buffer);
    f->buffer = log_page_alloc(pages);
    f->buffer_pages = pages;
    return f->buffer;
}

static void put_op(struct log_page_cursor *c, struct log_op *op)
{
    uint8_t head[LOG_RECORD_BYTES];
    if (op->record.kind == LOG_RECORD_ENTRY)
        op->record.c = log_record_check(&op->record, op->payload.at);
    log_record_encode(&op->record, head);
    log_page_put(c, head, sizeof head);
    log_page_put(c, op->payload.at, op->record.bytes);
}

static void write_batch(struct log *l, struct log_flight *f)
{
    struct log_page_cursor c;
    uint8_t *pages = buffer_of(f, f->pages);
    log_page_seek(&c, pages, log_page_offset(0));
    for (size_t i = 0; i < f->count; i++)
        put_op(&c, &f->ops[i]);
    log_page_fill(&c);
    struct log_page_head head = {
        .kind = LOG_PAGE_BATCH, .pages = f->pages, .content = f->content, .seq = f->segment->seq};
    log_page_seal(&l->owner, &head, f->batch, f->page, pages, &l->chain);
    must(l, "write", segment_write(f->segment, f->page, pages, f->pages));
}

static void write_roll(struct log *l, struct log_flight *f)
{
    if (f->index.bytes > 0) {
        struct log_page_cursor c;
        uint8_t *pages = buffer_of(f, f->index_pages);
        log_page_seek(&c, pages, log_page_offset(0));
        log_page_put(&c, f->index.base, f->index.bytes);
        log_page_fill(&c);
        struct log_page_head head = {.kind = LOG_PAGE_INDEX,
                                     .pages = f->index_pages,
                                     .content = (uint32_t)f->index.bytes,
                                     .seq = f->sealed->seq};
        log_page_seal(&l->owner, &head, f->batch - 2, f->index_page, pages, &l->chain);
        must(l, "sealing a segment",
             segment_write(f->sealed, f->index_page, pages, f->index_pages));
    }
    must(l, "starting a segment",
         segment_write_head(f->segment, &l->owner, &f->head, f->batch - 1, &l->chain));
}

static void writer_run(struct env_job *job)
{
    struct log_flight *f = CONTAINER_OF(job, struct log_flight, job);
    struct log *l = CONTAINER_OF(f, struct log, flight);
    if (f->sealed != NULL) write_roll(l, f);
    write_batch(l, f);
}

static void prepare_run(struct env_job *job)
{
    struct log_prepare *p = CONTAINER_OF(job, struct log_prepare, job);
    struct log *l = CONTAINER_OF(p, struct log, prepare);
    if (p->remove != NULL) {
        struct segment *s = p->remove;
        p->remove = NULL;
        must(l, "removing a segment", segment_remove(s));
        return;
    }
    must(l, "making a segment", segment_create(l->env, l->dir, p->number, p->pages, &p->segment));
}

/* ---- segments at hand ---- */

static void prepare(struct log *l, uint32_t pages)
{
    l->prepare.busy = true;
    l->prepare.number = l->number_next++;
    l->prepare.pages = pages;
    env_submit(l->env, l->preparer, &l->prepare.job);
}

static struct segment *take_free_at(struct log *l, size_t i)
{
    struct segment *s = l->free[i];
    l->free[i] = l->free[--l->free_count];
    return s;
}

static struct segment *take_free(struct log *l, uint32_t pages)
{
    for (size_t i = l->free_count; i-- > 0;) {
        if (l->free[i]->pages >= pages) return take_free_at(l, i);
    }
    return NULL;
}

/* Segments of another size (a large entry's, an older configuration's) go, and what is too many. */
static void remove_surplus(struct log *l)
{
    if (l->prepare.busy) return;
    for (size_t i = 0; i < l->free_count; i++) {
        bool odd = l->free[i]->pages != l->segment_pages;
        if (l->free[i]->reads > 0 || (!odd && l->free_count <= LOG_FREE_SEGMENTS_MAX)) continue;
        l->prepare.remove = take_free_at(l, i);
        l->prepare.busy = true;
        env_submit(l->env, l->preparer, &l->prepare.job);
        return;
    }
}

/* Zeroing a segment takes longer than a batch may wait: it is done while the open one fills. */
static void prepare_ahead(struct log *l)
{
    if (l->prepare.busy || l->open_page < l->open->pages / 2) return;
    for (size_t i = 0; i < l->free_count; i++) {
        if (l->free[i]->pages >= l->segment_pages) return;
    }
    prepare(l, l->segment_pages);
}

void log_writer_recycle(struct log *l, uint32_t keep_seq)
{
    size_t gone = 0;
    while (gone + 1 < l->segments_count && l->segments[gone]->seq < keep_seq)
        log_add_free(l, l->segments[gone++]);
    if (gone == 0) return;
    l->segments_count -= gone;
    memmove(l->segments, l->segments + gone, l->segments_count * sizeof(struct segment *));
    remove_surplus(l);
}

static void kick(struct log *l);

static void prepare_done(struct env_job *job)
{
    struct log_prepare *p = CONTAINER_OF(job, struct log_prepare, job);
    struct log *l = CONTAINER_OF(p, struct log, prepare);
    p->busy = false;
    if (p->segment != NULL) log_add_free(l, p->segment);
    p->segment = NULL;
    kick(l);
    remove_surplus(l);
}

/* ---- a batch's plan ---- */

struct plan {
    size_t ops, entries;
    uint64_t content, kept_bytes;
};

/* As many records as make one batch, at least one. */
static struct plan choose(const struct log *l)
{
    struct plan p = {0};
    uint64_t max = (uint64_t)l->segment_pages / 2 * LOG_PAGE_CONTENT;
    if (max > LOG_BATCH_BYTES_MAX) max = LOG_BATCH_BYTES_MAX;
    for (; p.ops < l->queue.count; p.ops++) {
        const struct log_op *op = &l->queue.ops[l->queue.head + p.ops];
        uint64_t bytes = LOG_RECORD_BYTES + op->record.bytes;
        if (p.ops > 0 && p.content + bytes > max) break;
        p.content += bytes;
        if (op->record.kind != LOG_RECORD_ENTRY) continue;
        p.entries++;
        if (op->record.type != LOG_COMMAND) p.kept_bytes += op->record.bytes;
    }
    return p;
}

/* Pages for the batch and the index that seals its segment. */
static uint32_t room_for(const struct plan *p, const struct log_run *run)
{
    size_t index = segment_index_bytes(run, p->entries, (size_t)p->kept_bytes);
    return (uint32_t)(log_page_count(p->content) + log_page_count(index));
}

/* The open segment ends here, `next` opens. */
static void plan_roll(struct log *l, struct segment *next)
{
    struct log_flight *f = &l->flight;
    f->sealed = l->open;
    f->index.bytes = 0;
    if (!l->open_sealed) {
        segment_put_index(&f->index, &l->open_run);
        l->index_page = l->open_page;
        l->index_pages = (uint32_t)log_page_count(f->index.bytes);
        l->next_batch++;
    }
    CHECK(l->index_page + l->index_pages <= l->open->pages);
    f->index_page = l->index_page;
    f->index_pages = l->index_pages;
    f->head = (struct segment_head){.state = l->written,
                                    .pages = next->pages,
                                    .index_page = l->index_page,
                                    .index_pages = l->index_pages};
    next->seq = l->open->seq + 1;
    l->next_batch++;
    log_add_segment(l, next);
    l->open = next;
    l->open_page = 1;
    l->open_sealed = false;
    log_run_reset(&l->open_run, l->written.last + 1);
}

/* The entry has a place now: in the open segment's run, and in the index unless it was cut
 * meanwhile. */
static void place_entry(struct log *l, const struct log_op *op, uint64_t offset)
{
    struct log_slot slot = {.term = op->record.b,
                            .seq = l->open->seq,
                            .offset = (uint32_t)offset,
                            .bytes = op->record.bytes,
                            .type = op->record.type};
    if (l->open_run.count == 0) log_run_reset(&l->open_run, op->record.a);
    log_run_push(&l->open_run, &slot, &op->payload);
    struct log_slot *shown = log_run_slot(&l->index, op->record.a);
    if (shown != NULL && shown->seq == 0 && shown->offset == op->number) *shown = slot;
}

static void place(struct log *l, const struct log_op *op, uint64_t offset)
{
    struct log_flight *f = &l->flight;
    log_record_apply(&op->record, op->payload.at, &l->written);
    switch ((enum log_record_kind)op->record.kind) {
    case LOG_RECORD_ENTRY:
        place_entry(l, op, offset);
        break;
    case LOG_RECORD_VOTE:
        f->vote_number++;
        break;
    case LOG_RECORD_TRUNCATE:
        log_run_cut(&l->open_run, op->record.a);
        l->cuts_queued--;
        break;
    case LOG_RECORD_RESET:
        log_run_reset(&l->open_run, op->record.a + 1);
        l->cuts_queued--;
        if (op->keep_seq > f->keep_seq) f->keep_seq = op->keep_seq;
        break;
    case LOG_RECORD_FLOOR:
        if (op->keep_seq > f->keep_seq) f->keep_seq = op->keep_seq;
        break;
    }
}

static void plan_batch(struct log *l, const struct plan *p)
{
    struct log_flight *f = &l->flight;
    if (f->ops_max < p->ops) {
        f->ops_max = p->ops;
        f->ops = check_realloc(f->ops, f->ops_max * sizeof *f->ops);
    }
    memcpy(f->ops, l->queue.ops + l->queue.head, p->ops * sizeof *f->ops);
    f->count = p->ops;
    l->queue.head += p->ops;
    l->queue.count -= p->ops;
    f->segment = l->open;
    f->page = l->open_page;
    f->pages = (uint32_t)log_page_count(p->content);
    f->content = (uint32_t)p->content;
    f->batch = l->next_batch++;
    uint64_t content = 0;
    for (size_t i = 0; i < f->count; i++) {
        place(l, &f->ops[i], (uint64_t)f->page * LOG_PAGE_BYTES + log_page_offset(content));
        content += LOG_RECORD_BYTES + f->ops[i].record.bytes;
    }
    CHECK_EQ(content, p->content);
    l->open_page += f->pages;
    CHECK(l->open_page <= l->open->pages);
    f->last = l->written.last;
}

/* ---- announcing ---- */

/* Entries that a queued truncation has cut don't count, though this batch made them durable. */
static log_index announced(const struct log *l, log_index last)
{
    if (l->cuts_queued == 0 || BUG_LOG_FLOOR_NOT_LOWERED) return last;
    for (size_t i = 0; i < l->queue.count; i++) {
        const struct log_record *r = &l->queue.ops[l->queue.head + i].record;
        if (r->kind == LOG_RECORD_TRUNCATE && r->a - 1 < last) last = r->a - 1;
        if (r->kind == LOG_RECORD_RESET && r->a < last) last = r->a;
    }
    return last;
}

static void announce(struct log *l)
{
    log_index durable = announced(l, l->flight.last);
    if (l->flight.vote_number > l->vote_durable) {
        l->vote_durable = l->flight.vote_number;
        if (l->options.on_vote_durable != NULL)
            l->options.on_vote_durable(l->options.ctx, l->vote_durable);
    }
    if (durable <= l->durable) return;
    l->durable = durable;
    if (l->options.on_durable != NULL) l->options.on_durable(l->options.ctx, durable);
}

static void writer_done(struct env_job *job)
{
    struct log_flight *f = CONTAINER_OF(job, struct log_flight, job);
    struct log *l = CONTAINER_OF(f, struct log, flight);
    for (size_t i = 0; i < f->count; i++)
        slice_release(&f->ops[i].payload);
    f->count = 0;
    f->busy = false;
    f->sealed = NULL;
    if (f->buffer_pages > LOG_BATCH_BYTES_MAX / LOG_PAGE_CONTENT + 1) {
        free(f->buffer); /* one large entry's: not kept for ever */
        f->buffer = NULL;
        f->buffer_pages = 0;
    }
    log_writer_recycle(l, f->keep_seq);
    if (l->queue.count > 0) env_defer(l->env, &l->defer);
    announce(l);
}

static void kick(struct log *l)
{
    struct log_flight *f = &l->flight;
    if (f->busy || l->queue.count == 0) return;
    struct plan p = choose(l);
    if (l->open_sealed || l->open_page + room_for(&p, &l->open_run) > l->open->pages) {
        struct log_run none = {0};
        uint32_t pages = 1 + room_for(&p, &none);
        struct segment *next = take_free(l, pages);
        if (next == NULL) {
            if (!l->prepare.busy) prepare(l, pages > l->segment_pages ? pages : l->segment_pages);
            return;
        }
        plan_roll(l, next);
    }
    plan_batch(l, &p);
    f->busy = true;
    env_submit(l->env, l->writer, &f->job);
    prepare_ahead(l);
    if (BUG_ACK_BEFORE_SYNC) announce(l);
}

static void turn_ends(struct env_defer *d)
{
    kick(CONTAINER_OF(d, struct log, defer));
}

/* ---- the loop's side ---- */

void log_writer_init(struct log *l)
{
    l->defer.cb = turn_ends;
    l->flight.job = (struct env_job){.run = writer_run, .done = writer_done};
    writer_init(&l->flight.index, KIB(16));
    l->prepare.job = (struct env_job){.run = prepare_run, .done = prepare_done};
    l->writer = l->env->ops->worker_new(l->env, "log");
    l->reader = l->env->ops->worker_new(l->env, "log read");
    l->preparer = l->env->ops->worker_new(l->env, "log files");
}

void log_writer_free(struct log *l)
{
    struct log_flight *f = &l->flight;
    if (l->writer != NULL) {
        l->env->ops->worker_free(l->writer);
        l->env->ops->worker_free(l->reader);
        l->env->ops->worker_free(l->preparer);
        list_remove(&l->defer.node);
    }
    for (size_t i = 0; i < f->count; i++)
        slice_release(&f->ops[i].payload);
    free(f->ops);
    free(f->buffer);
    writer_free(&f->index);
    segment_close(l->prepare.segment);
    segment_close(l->prepare.remove);
}

static void queue_grow(struct log_ops *q)
{
    if (q->head > 0 && q->head >= q->count) {
        memcpy(q->ops, q->ops + q->head, q->count * sizeof *q->ops);
    } else {
        q->ops_max = q->ops_max == 0 ? 64 : q->ops_max * 2;
        struct log_op *ops = check_alloc(q->ops_max * sizeof *ops);
        if (q->count > 0) memcpy(ops, q->ops + q->head, q->count * sizeof *ops);
        free(q->ops);
        q->ops = ops;
    }
    q->head = 0;
}

void log_writer_queue(struct log *l, const struct log_op *op)
{
    struct log_ops *q = &l->queue;
    if (q->count == 0) q->head = 0;
    if (q->head + q->count == q->ops_max) queue_grow(q);
    q->ops[q->head + q->count++] = *op;
    if (op->record.kind == LOG_RECORD_TRUNCATE || op->record.kind == LOG_RECORD_RESET)
        l->cuts_queued++;
    env_defer(l->env, &l->defer);
}
