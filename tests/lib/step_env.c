#include "tests/lib/step_env.h"

#include <stdlib.h>

struct env_worker {
    struct env *env;
};
struct step_env {
    struct env env;
    struct list jobs;
    uint64_t random;
    struct mono now;
    struct env_worker worker;
    struct env_timer *timer; /* started; NULL: none */
};

static struct step_env *self(struct env *e)
{
    return (struct step_env *)(void *)e;
}

static struct mono step_mono(struct env *e)
{
    return self(e)->now;
}

static int64_t step_wall_ns(struct env *e)
{
    return (int64_t)self(e)->now.ns;
}

static uint64_t step_random(struct env *e)
{
    struct step_env *s = self(e);
    s->random ^= s->random << 13;
    s->random ^= s->random >> 7;
    s->random ^= s->random << 17;
    return s->random;
}

static struct env_worker *step_worker_new(struct env *e, const char *name)
{
    (void)name;
    self(e)->worker.env = e;
    return &self(e)->worker;
}

static void step_worker_submit(struct env_worker *w, struct env_job *job)
{
    job->node = (struct list_node){0};
    list_push_back(&self(w->env)->jobs, &job->node);
}

/* What waits is lost: as if the process had died before. */
static void step_worker_free(struct env_worker *w)
{
    while (list_pop_front(&self(w->env)->jobs) != NULL)
        continue;
}

static void step_timer_start(struct env_timer *t, uint64_t delay_ns)
{
    (void)delay_ns;
    self(t->env)->timer = t;
}

static void step_timer_stop(struct env_timer *t)
{
    if (self(t->env)->timer == t) self(t->env)->timer = NULL;
}

static const struct env_ops step_ops = {
    .timer_start = step_timer_start,
    .timer_stop = step_timer_stop,
    .mono = step_mono,
    .wall_ns = step_wall_ns,
    .random = step_random,
    .worker_new = step_worker_new,
    .worker_submit = step_worker_submit,
    .worker_free = step_worker_free,
};

struct env *step_env_new(uint64_t seed)
{
    struct step_env *s = check_alloc(sizeof *s);
    s->env.ops = &step_ops;
    s->random = seed * 2 + 1;
    list_init(&s->jobs);
    return &s->env;
}

void step_env_free(struct env *e)
{
    free(self(e));
}

bool step_env_run(struct env *e)
{
    struct list_node *n = list_pop_front(&self(e)->jobs);
    if (n == NULL) return false;
    struct env_job *job = CONTAINER_OF(n, struct env_job, node);
    job->run(job);
    job->done(job);
    return true;
}

void step_env_run_all(struct env *e)
{
    while (step_env_run(e))
        continue;
}

void step_env_run_late(struct env *e)
{
    struct list jobs;
    list_init(&jobs);
    list_splice(&jobs, &self(e)->jobs);
    LIST_FOREACH (n, &jobs) {
        struct env_job *job = CONTAINER_OF(n, struct env_job, node);
        job->run(job);
    }
    for (struct list_node *n; (n = list_pop_front(&jobs)) != NULL;) {
        struct env_job *job = CONTAINER_OF(n, struct env_job, node);
        job->done(job);
    }
}

bool step_env_fire(struct env *e)
{
    struct env_timer *t = self(e)->timer;
    if (t == NULL) return false;
    self(e)->timer = NULL;
    t->cb(t);
    return true;
}

void step_env_advance(struct env *e, uint64_t ns)
{
    self(e)->now.ns += ns;
}
