#include "store/scrub.h"

#include <stdlib.h>

#include "store/base/logger.h"
#include "store/store_types.h"

#define STEP_NS NS_PER_S
#define FOUND_MAX 16 /* damaged blocks reported of one step; the next round finds the others */

struct scrub {
    struct env_job job;
    struct env_timer timer;
    struct store *store;
    uint64_t bytes;  /* a step */
    uint64_t number; /* the block to go on with */
    bool reading;
    struct scrub_stats stats;
    /* Of the step in progress. */
    uint64_t found[FOUND_MAX];
    size_t found_count;
    uint64_t read_blocks;
    bool end;
};

/* ---- on the worker ---- */

static void check_block(struct scrub *c, uint64_t number, struct text record)
{
    struct block_view view;
    c->read_blocks++;
    c->number = number + 1;
    if (block_decode(record, &view) == 0) {
        block_view_free(&view);
    } else if (c->found_count < FOUND_MAX) {
        c->found[c->found_count++] = number;
    }
}

static void job_run(struct env_job *job)
{
    struct scrub *c = CONTAINER_OF(job, struct scrub, job);
    struct kv *kv = c->store->kv;
    struct kv_iter *it = kv->ops->iter_new(kv, KV_DATA, true);
    struct key key = keys_data(c->number);
    uint64_t left = c->bytes, number;
    kv->ops->iter_seek(it, key_text(&key));
    while (kv->ops->iter_valid(it) && keys_data_read(kv->ops->iter_key(it), &number) && left > 0) {
        struct text record = kv->ops->iter_value(it);
        check_block(c, number, record);
        left -= record.bytes < left ? record.bytes : left;
        kv->ops->iter_next(it);
    }
    c->end = !kv->ops->iter_valid(it);
    kv->ops->iter_free(it);
}

/* ---- on the loop ---- */

static void job_done(struct env_job *job)
{
    struct scrub *c = CONTAINER_OF(job, struct scrub, job);
    c->reading = false;
    for (size_t i = 0; i < c->found_count; i++) {
        /* What nothing refers to any more may be what it likes. */
        const struct segment *g = segments_find(&c->store->segments, c->found[i]);
        if (g == NULL || g->live_bytes == 0) continue;
        c->stats.damaged++;
        LOG_CODE(ERR, LOG_CORRUPT, "block %llu is damaged on disk; nothing of it is served",
                 (unsigned long long)c->found[i]);
    }
    c->stats.blocks += c->read_blocks;
    if (c->end) {
        c->number = 0;
        c->stats.rounds++;
    }
    if (c->bytes != 0) env_timer_start(&c->timer, STEP_NS);
}

static void step(struct env_timer *t)
{
    struct scrub *c = CONTAINER_OF(t, struct scrub, timer);
    c->found_count = 0;
    c->read_blocks = 0;
    c->reading = true;
    env_submit(c->store->env, c->store->worker, &c->job);
}

void scrub_start(struct store *s, uint64_t bytes_per_second)
{
    struct scrub *c = s->scrub;
    if (c == NULL && bytes_per_second == 0) return;
    if (c == NULL) {
        c = s->scrub = check_alloc(sizeof *c);
        c->job = (struct env_job){.run = job_run, .done = job_done};
        c->store = s;
        env_timer_init(s->env, &c->timer, step);
    }
    c->bytes = bytes_per_second;
    if (c->reading) return;
    env_timer_stop(&c->timer);
    if (c->bytes != 0) env_timer_start(&c->timer, STEP_NS);
}

struct scrub_stats scrub_stats(const struct store *s)
{
    return s->scrub == NULL ? (struct scrub_stats){0} : s->scrub->stats;
}

void scrub_abandon(struct store *s)
{
    if (s->scrub == NULL) return;
    env_timer_stop(&s->scrub->timer);
    free(s->scrub);
    s->scrub = NULL;
}
