#include "store/checkpoint.h"

#include <stdlib.h>

#include "store/base/err.h"
#include "store/store_types.h"

struct checkpoint {
    struct env_job job;
    struct store *store;
    char *dir;
    int rc;
    void (*done)(void *ctx, int rc);
    void *ctx;
};

static void job_run(struct env_job *job)
{
    struct checkpoint *c = CONTAINER_OF(job, struct checkpoint, job);
    c->rc = c->store->kv->ops->checkpoint(c->store->kv, c->dir);
}

static void job_done(struct env_job *job)
{
    struct checkpoint *c = CONTAINER_OF(job, struct checkpoint, job);
    void (*done)(void *ctx, int rc) = c->done;
    void *ctx = c->ctx;
    int rc = c->rc;
    c->store->checkpoint = NULL;
    free(c->dir);
    free(c);
    done(ctx, rc);
}

int checkpoint_make(struct store *s,
                    const char *dir,
                    struct store_at *at,
                    void (*done)(void *ctx, int rc),
                    void *ctx)
{
    /* The worker does one thing after the other: what is submitted now sees the last flush whole,
     * and no later one. */
    if (s->flush != NULL || s->checkpoint != NULL) return E_BUSY;
    struct checkpoint *c = check_alloc(sizeof *c);
    *c = (struct checkpoint){.job = {.run = job_run, .done = job_done},
                             .store = s,
                             .dir = check_strdup(dir),
                             .done = done,
                             .ctx = ctx};
    *at = s->durable;
    s->checkpoint = c;
    env_submit(s->env, s->worker, &c->job);
    return 0;
}

void checkpoint_abandon(struct store *s)
{
    if (s->checkpoint == NULL) return;
    free(s->checkpoint->dir);
    free(s->checkpoint);
    s->checkpoint = NULL;
}
