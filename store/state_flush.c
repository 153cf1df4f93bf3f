/* state_flush.c - the order that keeps a crash harmless:
 *
 *   loop    seal all open blocks and close the segment: from here on new blocks go into the next
 * file rows that changed into one batch; freeze dirty pages; note segments without living bytes
 *   worker  write the queued blocks, flush KV_DATA, wait            data before state: rule 1
 *           dirty pages into the same batch, write it               all of one index is one batch:
 * rule 2 flush KV_STATE, wait                                    now durable delete the files of
 * the noted segments                  nothing durable refers to them: rule 6 loop    frozen pages
 * are clean; tell the caller
 *
 * Dies it before the state's flush, the state is as it was; blocks written are orphans with numbers
 * that meta doesn't know yet (rule 7). Dies it after, files are left over: the next open deletes
 * them. */
#include "store/state_flush.h"

#include <malloc.h>
#include <stdlib.h>

#include "store/base/bug.h"
#include "store/base/err.h"
#include "store/base/logger.h"
#include "store/cleaner.h"
#include "store/store_stream.h"
#include "store/store_writer.h"

#define GIVE_BACK_PER_FLUSH 16384 /* blocks of deleted streams: 1-2 ms of the loop */
#define THAW_PAGES 8192           /* in one turn of the loop: about a millisecond */
#define RUNS_MAX 16               /* of files to delete at a time: an unlink of 32 MiB takes 7 ms */

struct flush {
    struct env_job job;
    struct store *store;
    struct store_at at;
    struct kv_batch *batch;
    struct writer scratch;
    struct segments_run runs[RUNS_MAX];
    bool left[RUNS_MAX]; /* some file of the run is still there */
    size_t run_count;
    bool collecting, trim;
    int rc;
    void (*done)(void *ctx, struct store_at at);
    void *ctx;
};

/* ---- on the worker ---- */

static void add_pages(struct flush *f)
{
    struct store *s = f->store;
    const struct kv_ops *ops = s->kv->ops;
    LIST_FOREACH (n, &s->pages.frozen) {
        const struct page *p = CONTAINER_OF(n, struct page, node);
        struct key key = p->class->key(p);
        if (p->class->empty(p)) {
            ops->batch_del(f->batch, KV_STATE, key_text(&key));
        } else {
            ops->batch_put(f->batch, KV_STATE, key_text(&key), p->class->encode(p, &f->scratch));
        }
    }
}

static int delete_files(struct flush *f)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < f->run_count; i++)
        rc = segments_delete(f->store->kv, &f->runs[i], &f->left[i]);
    return rc;
}

static void job_run(struct env_job *job)
{
    struct flush *f = CONTAINER_OF(job, struct flush, job);
    struct kv *kv = f->store->kv;
    f->rc = f->store->writer->rc; /* the loop may not have heard of it yet */
    if (BUG_STORE_FILES_BEFORE_STATE && f->rc == 0) f->rc = delete_files(f);
    if (!BUG_STORE_STATE_BEFORE_DATA && f->rc == 0) f->rc = kv->ops->flush(kv, KV_DATA, true);
    if (f->rc != 0) return;
    add_pages(f);
    f->rc = kv->ops->write(kv, f->batch);
    if (f->rc == 0) f->rc = kv->ops->flush(kv, KV_STATE, true);
    if (f->rc == 0 && !BUG_STORE_FILES_BEFORE_STATE) f->rc = delete_files(f);
    if (f->trim) malloc_trim(0);
}

static void run_nothing(struct env_job *job)
{
    (void)job;
}

/* ---- on the loop ---- */

static void flush_free(struct flush *f)
{
    f->store->kv->ops->batch_free(f->batch);
    writer_free(&f->scratch);
    free(f);
}

/* Streams whose rows were deleted in this flush are forgotten now; their frozen pages went with it.
 */
static void bury(struct store *s)
{
    for (struct list_node *n = list_pop_front(&s->buried); n != NULL;
         n = list_pop_front(&s->buried))
        store_stream_free(CONTAINER_OF(n, struct store_stream, node));
}

static void job_done(struct env_job *job)
{
    struct flush *f = CONTAINER_OF(job, struct flush, job);
    struct store *s = f->store;
    if (f->rc != 0)
        FATAL(EXIT_DISK, "state flush at %llu: %s", (unsigned long long)f->at.index,
              err_text(f->rc));
    if (!pages_thaw(&s->pages, THAW_PAGES)) {
        f->job.run = run_nothing; /* the loop does other things first */
        env_submit(s->env, s->worker, &f->job);
        return;
    }
    bury(s);
    for (size_t i = 0; i < f->run_count; i++)
        if (!f->left[i]) segments_gone(&s->segments, &f->runs[i]);
    s->durable = f->at;
    s->flushes++;
    s->flush = NULL;
    void (*done)(void *ctx, struct store_at at) = f->done;
    void *ctx = f->ctx;
    struct store_at at = f->at;
    flush_free(f);
    store_trim(s);
    cleaner_kick(s);
    if (done != NULL) done(ctx, at);
}

static void put_row(struct store *s, struct flush *f, struct key key, const struct writer *w)
{
    s->kv->ops->batch_put(f->batch, KV_STATE, key_text(&key), kv_text(w->base, w->bytes));
}

static void del_all(struct store *s, struct flush *f, char kind, struct key_stream id)
{
    struct key from = keys_stream(kind, id), to = from;
    /* The next stream's prefix: ids are big-endian, and none is UINT32_MAX. */
    for (int i = to.bytes - 1; i > 0 && ++to.at[i] == 0;)
        i--;
    s->kv->ops->batch_del_range(f->batch, KV_STATE, key_text(&from), key_text(&to));
}

static void put_stream(struct store *s, struct flush *f, struct store_stream *ss)
{
    if (ss->wiped) del_all(s, f, 'S', ss->id);
    ss->wiped = false;
    struct values_stream row = {.first = ss->first,
                                .last = ss->last,
                                .msgs = ss->msgs,
                                .bytes = ss->bytes,
                                .subjects = ss->subjects.count,
                                .buckets = ss->subjects.buckets,
                                .history = ss->history,
                                .last_ns = ss->last_ns};
    f->scratch.bytes = 0;
    values_stream_encode(&f->scratch, &row);
    put_row(s, f, keys_stream('T', ss->id), &f->scratch);
}

/* Deleted streams: what they were goes at once, but for the leaves that still say where their bytes
 * lie. */
static void put_deleted(struct store *s, struct flush *f)
{
    LIST_FOREACH (n, &s->zombies) {
        const struct store_stream *ss = CONTAINER_OF(n, struct store_stream, node);
        struct key counters = keys_stream('T', ss->id), mark = keys_stream('Z', ss->id);
        s->kv->ops->batch_del(f->batch, KV_STATE, key_text(&counters));
        s->kv->ops->batch_put(f->batch, KV_STATE, key_text(&mark), TEXT("\x01"));
        del_all(s, f, 'S', ss->id);
    }
    LIST_FOREACH (n, &s->gone) {
        const struct store_stream *ss = CONTAINER_OF(n, struct store_stream, node);
        struct key counters = keys_stream('T', ss->id), mark = keys_stream('Z', ss->id);
        s->kv->ops->batch_del(f->batch, KV_STATE, key_text(&counters));
        s->kv->ops->batch_del(f->batch, KV_STATE, key_text(&mark));
        del_all(s, f, 'S', ss->id);
        del_all(s, f, 'B', ss->id);
    }
    list_splice(&s->buried, &s->gone);
}

static void put_meta(struct store *s, struct flush *f)
{
    struct values_meta m = {.index = f->at.index,
                            .term = f->at.term,
                            .block_next = s->block_next,
                            .segment_next = segments_id_next(&s->segments),
                            .hash_seed = s->hash_seed};
    f->scratch.bytes = 0;
    values_meta_encode(&f->scratch, &m);
    put_row(s, f, keys_meta(), &f->scratch);
}

static void put_rows(struct store *s, struct flush *f)
{
    for (struct list_node *n = list_pop_front(&s->dirty_streams); n != NULL;
         n = list_pop_front(&s->dirty_streams))
        put_stream(s, f, CONTAINER_OF(n, struct store_stream, dirty));
    put_deleted(s, f);
    segments_write(&s->segments, s->kv, f->batch);
    put_meta(s, f);
}

int state_flush_start(struct store *s,
                      struct store_at at,
                      void (*collect)(void *ctx),
                      void (*done)(void *ctx, struct store_at at),
                      void *ctx)
{
    if (s->flush != NULL) return E_BUSY;
    struct flush *f = check_alloc(sizeof *f);
    f->job = (struct env_job){.run = job_run, .done = job_done};
    f->store = s;
    f->at = at;
    f->done = done;
    f->ctx = ctx;
    f->batch = s->kv->ops->batch_new(s->kv);
    f->trim = s->log_at - s->flushed_at < s->flush_bytes / 2; /* not under load */
    writer_init(&f->scratch, KIB(4));
    store_stream_seal_all(s);
    segments_cut(&s->segments, s->block_next);
    s->segment_fill = 0;
    store_stream_give_back(s, GIVE_BACK_PER_FLUSH);
    s->flush = f;
    f->collecting = true;
    if (collect != NULL) collect(ctx);
    f->collecting = false;
    put_rows(s, f);
    segments_condemn(&s->segments);
    f->run_count = segments_runs(&s->segments, f->runs, RUNS_MAX);
    pages_freeze(&s->pages);
    s->flushed_at = s->log_at;
    store_writer_flush_queue(s);
    env_submit(s->env, s->worker, &f->job);
    return 0;
}

void state_flush_put(struct store *s, struct text key, struct text value)
{
    CHECK(s->flush != NULL);
    CHECK(s->flush->collecting);
    CHECK(keys_foreign(key));
    s->kv->ops->batch_put(s->flush->batch, KV_STATE, key, value);
}

void state_flush_del(struct store *s, struct text key)
{
    CHECK(s->flush != NULL);
    CHECK(s->flush->collecting);
    CHECK(keys_foreign(key));
    s->kv->ops->batch_del(s->flush->batch, KV_STATE, key);
}

void state_flush_abandon(struct store *s)
{
    if (s->flush == NULL) return;
    flush_free(s->flush);
    s->flush = NULL;
}
