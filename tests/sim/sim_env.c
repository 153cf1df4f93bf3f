/* sim_env.c - see sim_env.h.
 *
 * A job's run() is executed when its turn comes on its worker, at once; how long it took is what
 * the disk says about its calls, and done() follows that much later. The disk keeps the time of
 * each call, so that a crash in between undoes what hadn't happened yet. */
#include "tests/sim/sim_env.h"

#include <stdlib.h>
#include <string.h>

#include "store/base/err.h"

struct env_worker {
    struct sim_env *env;
    struct list queue;
    bool busy;
};
struct timer_event {
    struct sim_event event;
    struct env_timer *timer;
};
struct worker_event {
    struct sim_event event;
    struct env_worker *worker;
    struct env_job *job;
};

static struct sim_env *self(struct env *e)
{
    return CONTAINER_OF(e, struct sim_env, env);
}

/* ---- turns ---- */

static void run_defers(struct sim_env *e)
{
    for (unsigned rounds = 0; !list_empty(&e->defers); rounds++) {
        if (rounds > 10000) sim_fail(e->sim, "node %u defers for ever", e->number);
        struct list_node *n = list_pop_front(&e->defers);
        struct env_defer *d = CONTAINER_OF(n, struct env_defer, node);
        d->cb(d);
    }
}

static bool as_process(struct sim_env *e, void (*fn)(void *ctx), void *ctx)
{
    struct sim *s = e->sim;
    CHECK(s->running == NULL);
    if (setjmp(s->death) != 0) {
        s->running = NULL;
        e->alive = false;
        if (e->died != NULL) e->died(e);
        return false;
    }
    s->running = e;
    e->disk->clock_ns = s->now_ns;
    e->disk->blocking = true;
    fn(ctx);
    run_defers(e);
    s->running = NULL;
    return true;
}

static void run_event(void *ctx)
{
    struct sim_event *event = ctx;
    event->run(event);
}

void sim_env_turn(struct sim_env *e, struct sim_event *event)
{
    (void)as_process(e, run_event, event);
}

bool sim_env_call(struct sim_env *e, void (*fn)(void *ctx), void *ctx)
{
    return as_process(e, fn, ctx);
}

void sim_env_crash(struct sim_env *e)
{
    e->alive = false;
}

/* ---- clocks, timers ---- */

static struct mono sim_mono(struct env *env)
{
    struct sim_env *e = self(env);
    return (struct mono){.ns = e->mono_base_ns + e->sim->now_ns};
}

static int64_t sim_wall_ns(struct env *env)
{
    struct sim_env *e = self(env);
    return SIM_WALL_START_NS + (int64_t)e->sim->now_ns + e->wall_skew_ns;
}

static uint64_t sim_env_random(struct env *env)
{
    return sim_random(self(env)->sim);
}

static void timer_run(struct sim_event *event)
{
    struct env_timer *t = ((struct timer_event *)(void *)event)->timer;
    t->impl = NULL;
    t->cb(t);
}

static void sim_timer_stop(struct env_timer *t)
{
    struct timer_event *te = t->impl;
    if (te != NULL) te->event.canceled = true;
    t->impl = NULL;
}

static void sim_timer_start(struct env_timer *t, uint64_t delay_ns)
{
    struct sim_env *e = self(t->env);
    sim_timer_stop(t);
    struct sim_event *event = sim_event_new(sizeof(struct timer_event), timer_run);
    struct timer_event *te = (struct timer_event *)(void *)event;
    te->timer = t;
    t->impl = te;
    uint64_t ms = (delay_ns + NS_PER_MS - 1) / NS_PER_MS;
    sim_at(e->sim, ms * NS_PER_MS + sim_below(e->sim, 50 * NS_PER_US), e, event);
}

static void sim_defer(struct env *env, struct env_defer *d)
{
    if (!list_linked(&d->node)) list_push_back(&self(env)->defers, &d->node);
}

/* ---- workers ---- */

static void worker_next(struct env_worker *w, uint64_t delay_ns);

static void job_done(struct sim_event *event)
{
    struct worker_event *we = (struct worker_event *)(void *)event;
    we->job->done(we->job);
}

static void job_run(struct sim_event *event)
{
    struct worker_event *we = (struct worker_event *)(void *)event;
    struct env_worker *w = we->worker;
    struct sim *s = w->env->sim;
    struct env_job *job = CONTAINER_OF(list_pop_front(&w->queue), struct env_job, node);
    w->env->disk->blocking = false;
    job->run(job);
    uint64_t took_ns = w->env->disk->clock_ns - s->now_ns;
    struct sim_event *done = sim_event_new(sizeof(struct worker_event), job_done);
    ((struct worker_event *)(void *)done)->job = job;
    ((struct worker_event *)(void *)done)->worker = w;
    /* Sometimes the loop hears late of what is on the disk already. */
    uint64_t late_ns = sim_chance(s, 30) ? sim_log_uniform(s, NS_PER_MS, 100 * NS_PER_MS) : 0;
    sim_at(s, took_ns + late_ns + sim_below(s, 100 * NS_PER_US), w->env, done);
    w->busy = false;
    worker_next(w, took_ns);
}

static void worker_next(struct env_worker *w, uint64_t delay_ns)
{
    if (w->busy || list_empty(&w->queue)) return;
    w->busy = true;
    struct sim_event *event = sim_event_new(sizeof(struct worker_event), job_run);
    ((struct worker_event *)(void *)event)->worker = w;
    sim_at(w->env->sim, delay_ns + sim_below(w->env->sim, 50 * NS_PER_US), w->env, event);
}

static struct env_worker *sim_worker_new(struct env *env, const char *name)
{
    (void)name;
    struct env_worker *w = check_alloc(sizeof *w);
    w->env = self(env);
    list_init(&w->queue);
    return w;
}

static void sim_worker_submit(struct env_worker *w, struct env_job *job)
{
    job->node = (struct list_node){0};
    list_push_back(&w->queue, &job->node);
    worker_next(w, 0);
}

/* A job whose run() was executed has nothing left to wait for; its done() finds the worker gone. */
static void sim_worker_free(struct env_worker *w)
{
    for (struct list_node *n; (n = list_pop_front(&w->queue)) != NULL;) {
        struct env_job *job = CONTAINER_OF(n, struct env_job, node);
        job->run(job);
    }
    struct sim *s = w->env->sim;
    for (size_t i = 0; i < s->count; i++) {
        struct sim_event *event = s->heap[i];
        if (event->run != job_run && event->run != job_done) continue;
        if (((struct worker_event *)(void *)event)->worker == w) event->canceled = true;
    }
    free(w);
}

/* ---- the disk, behind the calls of env.h ---- */

static int env_rename(struct env *env, const char *from, const char *to)
{
    return sim_disk_rename(self(env)->disk, from, to);
}
static int env_unlink(struct env *env, const char *path)
{
    return sim_disk_unlink(self(env)->disk, path);
}
static int env_mkdir(struct env *env, const char *path)
{
    (void)env;
    (void)path;
    return 0; /* folders are there as soon as a file is named in them */
}
static int env_dir_sync(struct env *env, const char *path)
{
    return sim_disk_dir_sync(self(env)->disk, path);
}
static int env_dir_list(struct env *env,
                        const char *path,
                        void (*entry)(void *ctx, const char *name),
                        void *ctx)
{
    return sim_disk_list(self(env)->disk, path, entry, ctx);
}
static int env_disk_space(struct env *env, const char *path, uint64_t *total, uint64_t *free_bytes)
{
    (void)env;
    (void)path;
    *total = MIB(64); /* small segments, so that they are sealed and used again */
    *free_bytes = MIB(32);
    return 0;
}
static int env_file_open(struct env *env, const char *path, int flags, struct env_file **out)
{
    return sim_disk_open(self(env)->disk, path, flags, out);
}

static const struct env_ops sim_ops = {
    .mono = sim_mono,
    .wall_ns = sim_wall_ns,
    .random = sim_env_random,
    .timer_start = sim_timer_start,
    .timer_stop = sim_timer_stop,
    .defer = sim_defer,
    .worker_new = sim_worker_new,
    .worker_submit = sim_worker_submit,
    .worker_free = sim_worker_free,
    .file_open = env_file_open,
    .file_close = sim_disk_close,
    .file_read = sim_disk_read,
    .file_write = sim_disk_write,
    .file_sync = sim_disk_sync,
    .file_size = sim_disk_size,
    .file_truncate = sim_disk_truncate,
    .rename = env_rename,
    .unlink = env_unlink,
    .mkdir = env_mkdir,
    .dir_sync = env_dir_sync,
    .dir_list = env_dir_list,
    .disk_space = env_disk_space,
};

struct sim_env *sim_env_new(struct sim *s, struct sim_disk *disk, unsigned number)
{
    struct sim_env *e = check_alloc(sizeof *e);
    e->env.ops = &sim_ops;
    e->sim = s;
    e->disk = disk;
    e->number = number;
    e->alive = true;
    e->mono_base_ns = sim_below(s, 1000 * NS_PER_S);
    list_init(&e->defers);
    return e;
}
