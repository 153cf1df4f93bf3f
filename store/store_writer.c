/* store_writer.c - while one batch of blocks is written the next one gathers. A block that dies
 * while it waits is not written at all; from the moment it is handed over it is, since a state
 * flush may by then refer to it. */
#include "store/store_writer.h"

#include <stdlib.h>

#include "store/base/err.h"
#include "store/base/limits.h"
#include "store/base/logger.h"
#include "store/cleaner.h"

#define KICK_BYTES                                                                                 \
    KIB(256)               /* queued before writing starts: young deaths are for free until then   \
                            */
#define BATCH_BYTES MIB(1) /* one kv write */

struct store_writer *store_writer_new(struct kv *kv)
{
    struct store_writer *w = check_alloc(sizeof *w);
    w->batch = kv->ops->batch_new(kv);
    return w;
}

void store_writer_free(struct store_writer *w, struct kv *kv)
{
    block_encoder_free(&w->encoder);
    kv->ops->batch_free(w->batch);
    free(w);
}

/* ---- on the worker ---- */

static int write_batch(struct store_writer *w, struct kv *kv)
{
    if (w->batch_bytes == 0) return 0;
    int rc = kv->ops->write(kv, w->batch);
    kv->ops->batch_clear(w->batch);
    w->batch_bytes = 0;
    return rc;
}

static int write_block(struct store_writer *w, struct kv *kv, const struct tail_block *b)
{
    struct key key = keys_data(b->number);
    struct text record = block_encode(&w->encoder, b->id, b->first, b->msgs, b->count);
    kv->ops->batch_put(w->batch, KV_DATA, key_text(&key), record);
    w->batch_bytes += record.bytes;
    return w->batch_bytes >= BATCH_BYTES ? write_batch(w, kv) : 0;
}

static void job_run(struct env_job *job)
{
    struct writer_job *j = CONTAINER_OF(job, struct writer_job, job);
    struct store_writer *w = j->store->writer;
    struct kv *kv = j->store->kv;
    int rc = w->rc;
    for (size_t i = 0; rc == 0 && i < j->count; i++) {
        const struct writer_item *item = &j->items[i];
        if (item->write) rc = write_block(w, kv, item->block);
        if (rc != 0 || !item->block->cut) continue;
        rc = write_batch(w, kv);
        if (rc == 0) rc = kv->ops->flush(kv, KV_DATA, false);
    }
    j->rc = w->rc = rc == 0 ? write_batch(w, kv) : rc;
}

/* ---- on the loop ---- */

static void item_done(struct store *s, const struct writer_item *item)
{
    if (item->write) {
        tail_written(&s->tail, item->block);
        s->blocks_written++;
        return;
    }
    map_take_u64(&s->tail.by_number, item->block->number);
    tail_free(&s->tail, item->block);
}

static void job_done(struct env_job *job)
{
    struct writer_job *j = CONTAINER_OF(job, struct writer_job, job);
    struct store *s = j->store;
    /* What could not be written is in the log; this node replays it when it starts again. */
    if (j->rc != 0) FATAL(EXIT_DISK, "writing blocks: %s", err_text(j->rc));
    for (size_t i = 0; i < j->count; i++)
        item_done(s, &j->items[i]);
    list_remove(&j->node);
    s->writing_bytes -= j->bytes;
    free(j->items);
    free(j);
    store_trim(s);
    store_writer_kick(s);
    cleaner_continue(s);
}

void store_writer_flush_queue(struct store *s)
{
    struct tail *t = &s->tail;
    if (list_empty(&t->queue)) return;
    struct writer_job *j = check_alloc(sizeof *j);
    j->job = (struct env_job){.run = job_run, .done = job_done};
    j->store = s;
    size_t max = 0;
    for (struct list_node *n = list_pop_front(&t->queue); n != NULL;
         n = list_pop_front(&t->queue)) {
        struct tail_block *b = CONTAINER_OF(n, struct tail_block, node);
        if (j->count == max) {
            max = max == 0 ? 16 : max * 2;
            j->items = check_realloc(j->items, max * sizeof *j->items);
        }
        b->state = TAIL_WRITING;
        j->items[j->count++] = (struct writer_item){.block = b, .write = !b->unneeded};
    }
    j->bytes = t->queue_bytes;
    t->queue_bytes = 0;
    s->writing_bytes += j->bytes;
    list_push_back(&s->writing, &j->node);
    env_submit(s->env, s->worker, &j->job);
}

void store_writer_kick(struct store *s)
{
    if (s->tail.queue_bytes < KICK_BYTES || !list_empty(&s->writing)) return;
    store_writer_flush_queue(s);
}

void store_writer_abandon(struct store *s)
{
    for (struct list_node *n = list_pop_front(&s->writing); n != NULL;
         n = list_pop_front(&s->writing)) {
        struct writer_job *j = CONTAINER_OF(n, struct writer_job, node);
        for (size_t i = 0; i < j->count; i++) {
            map_take_u64(&s->tail.by_number, j->items[i].block->number);
            tail_free(&s->tail, j->items[i].block);
        }
        free(j->items);
        free(j);
    }
}
