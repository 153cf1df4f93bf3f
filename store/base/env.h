/* env.h - SEAM: everything that is not computation: clock, random, timers, threads, disk.
 * env_uv.c is the real one; tests/sim/sim_env.c the simulated one. Code that goes through here runs
 * under the simulator unchanged.
 * Thread: the loop, except the file and directory calls, which block and may be made from any thread
 * (at run time only from a worker; on the loop only during start-up). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/base/check.h"
#include "store/base/list.h"
#include "store/base/slice.h"
#include "store/base/units.h"

struct env;

/* A one-shot timer, embedded in its owner. cb runs on the loop; it may start the timer again or free
 * its owner. Granularity 1 ms. */
struct env_timer {
    struct env *env;
    void (*cb)(struct env_timer *);
    void *impl;
};

/* Runs once on the loop, at the end of the current turn and before the loop sleeps; queueing it twice
 * runs it once. That is how one turn's work becomes one batch. */
struct env_defer {
    struct list_node node;
    void (*cb)(struct env_defer *);
};

/* A job for a worker thread: run() there, then done() on the loop. Jobs of one worker run one after
 * another in the order submitted. The caller owns the struct again in done(). */
struct env_job {
    struct list_node node;
    void (*run)(struct env_job *);
    void (*done)(struct env_job *);
};
struct env_worker;
struct env_file;

enum env_open {
    ENV_READ = 1,
    ENV_WRITE = 2,
    ENV_CREATE = 4,  /* create when absent; the directory entry is durable after env_dir_sync */
    ENV_EXCL = 8,    /* with ENV_CREATE: E_EXISTS when present */
    ENV_DIRECT = 16, /* bypass the page cache where the filesystem takes it; reads, writes and buffers
                        are then 4096-aligned; without support the flag is ignored */
};

/* The contract of an environment; callers use the inline calls below. */
struct env_ops {
    struct mono (*mono)(struct env *);   /* never goes back; cached per turn of the loop */
    int64_t (*wall_ns)(struct env *);    /* since 1970 UTC; may jump */
    uint64_t (*random)(struct env *);
    void (*timer_start)(struct env_timer *, uint64_t delay_ns); /* replaces a pending start */
    void (*timer_stop)(struct env_timer *);
    void (*defer)(struct env *, struct env_defer *);
    struct env_worker *(*worker_new)(struct env *, const char *name);
    void (*worker_submit)(struct env_worker *, struct env_job *);
    void (*worker_free)(struct env_worker *); /* waits for what was submitted; done() is not called any more */

    int (*file_open)(struct env *, const char *path, int flags, struct env_file **out);
    void (*file_close)(struct env_file *); /* NULL is harmless */
    int (*file_read)(struct env_file *, uint64_t offset, void *to, size_t bytes, size_t *got); /* short only at the end */
    int (*file_write)(struct env_file *, uint64_t offset, const void *from, size_t bytes);
    int (*file_sync)(struct env_file *); /* data and what is needed to read it back (fdatasync) */
    int (*file_size)(struct env_file *, uint64_t *out);
    int (*file_truncate)(struct env_file *, uint64_t bytes);
    int (*rename)(struct env *, const char *from, const char *to);
    int (*unlink)(struct env *, const char *path);
    int (*mkdir)(struct env *, const char *path); /* with parents; present is fine */
    int (*dir_sync)(struct env *, const char *path);
    /* One call per entry but . and ..; names are valid for the call. */
    int (*dir_list)(struct env *, const char *path, void (*entry)(void *ctx, const char *name), void *ctx);
    int (*disk_space)(struct env *, const char *path, uint64_t *total_bytes, uint64_t *free_bytes);
};

struct env {
    const struct env_ops *ops; /* an implementation embeds this struct first */
};

static inline struct mono env_mono(struct env *e)
{
    return e->ops->mono(e);
}
static inline int64_t env_wall_ns(struct env *e)
{
    return e->ops->wall_ns(e);
}
static inline uint64_t env_random(struct env *e)
{
    return e->ops->random(e);
}
static inline void env_timer_init(struct env *e, struct env_timer *t, void (*cb)(struct env_timer *))
{
    *t = (struct env_timer){.env = e, .cb = cb, .impl = NULL};
}
static inline void env_timer_start(struct env_timer *t, uint64_t delay_ns)
{
    t->env->ops->timer_start(t, delay_ns);
}
/* After this cb won't run; releases what the environment holds for the timer. */
static inline void env_timer_stop(struct env_timer *t)
{
    t->env->ops->timer_stop(t);
}
static inline void env_defer(struct env *e, struct env_defer *d)
{
    e->ops->defer(e, d);
}
static inline void env_submit(struct env *e, struct env_worker *w, struct env_job *job)
{
    e->ops->worker_submit(w, job);
}

/* The real environment on a libuv loop (a uv_loop_t behind void: <uv.h> has few homes). */
struct env *env_uv_new(void);
void env_uv_run(struct env *e);  /* until env_uv_stop */
void env_uv_stop(struct env *e); /* from the loop */
void env_uv_free(struct env *e);
void *env_uv_loop(struct env *e);
/* How long each turn of the loop took, in ns, without the wait for events; a turn beyond 100 ms is a line in the
 * log too (LOOP-STALL). */
struct stats_histogram;
const struct stats_histogram *env_uv_turns(const struct env *e);
