/* fake.h - an environment and a network for tests of the broker: time moves when the test says so,
 * and what a client would send and receive are plain bytes. */
#pragma once

#include <stdlib.h>
#include <string.h>

#include "cluster/net/sock.h"
#include "store/base/env.h"
#include "store/base/err.h"

struct fake_env {
    struct env base;
    uint64_t now_ns, random;
    struct list deferred, timers, jobs;
};
struct fake_timer {
    struct list_node node;
    struct env_timer *timer;
    uint64_t due_ns;
};

static inline struct fake_env *fake_env_of(struct env *e)
{
    return CONTAINER_OF(e, struct fake_env, base);
}
static inline struct mono fake_mono(struct env *e)
{
    return (struct mono){.ns = fake_env_of(e)->now_ns};
}
static inline int64_t fake_wall(struct env *e)
{
    return (int64_t)fake_env_of(e)->now_ns + INT64_C(1700000000000000000);
}
static inline uint64_t fake_random(struct env *e)
{
    struct fake_env *f = fake_env_of(e);
    f->random = f->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return f->random >> 11;
}
static inline void fake_timer_stop(struct env_timer *t)
{
    struct fake_timer *f = t->impl;
    if (f == NULL) return;
    list_remove(&f->node);
    free(f);
    t->impl = NULL;
}
static inline void fake_timer_start(struct env_timer *t, uint64_t delay_ns)
{
    fake_timer_stop(t);
    struct fake_timer *f = check_alloc(sizeof *f);
    f->timer = t;
    f->due_ns = fake_env_of(t->env)->now_ns + delay_ns;
    t->impl = f;
    list_push_back(&fake_env_of(t->env)->timers, &f->node);
}
static inline void fake_defer(struct env *e, struct env_defer *d)
{
    if (!list_linked(&d->node)) list_push_back(&fake_env_of(e)->deferred, &d->node);
}
static inline struct env_worker *fake_worker_new(struct env *e, const char *name)
{
    (void)name;
    return (struct env_worker *)(void *)e;
}
static inline void fake_worker_submit(struct env_worker *w, struct env_job *job)
{
    list_push_back(&((struct fake_env *)(void *)w)->jobs, &job->node);
}
static inline void fake_worker_free(struct env_worker *w)
{
    (void)w;
}
static const struct env_ops fake_env_ops = {
    .mono = fake_mono,
    .wall_ns = fake_wall,
    .random = fake_random,
    .timer_start = fake_timer_start,
    .timer_stop = fake_timer_stop,
    .defer = fake_defer,
    .worker_new = fake_worker_new,
    .worker_submit = fake_worker_submit,
    .worker_free = fake_worker_free,
};

static inline void fake_env_init(struct fake_env *f)
{
    *f = (struct fake_env){.base = {.ops = &fake_env_ops}, .now_ns = NS_PER_S, .random = 42};
    list_init(&f->deferred);
    list_init(&f->timers);
    list_init(&f->jobs);
}
/* The end of a turn, and what workers had to do. */
static inline void fake_turn(struct fake_env *f)
{
    struct list_node *at;
    while ((at = list_pop_front(&f->deferred)) != NULL) {
        struct env_defer *d = CONTAINER_OF(at, struct env_defer, node);
        d->cb(d);
    }
}
static inline void fake_work(struct fake_env *f)
{
    struct list_node *at;
    while ((at = list_pop_front(&f->jobs)) != NULL) {
        struct env_job *job = CONTAINER_OF(at, struct env_job, node);
        job->run(job);
        job->done(job);
    }
    fake_turn(f);
}
static inline void fake_advance(struct fake_env *f, uint64_t ns)
{
    uint64_t end_ns = f->now_ns + ns;
    while (f->now_ns < end_ns) {
        f->now_ns += NS_PER_MS;
        LIST_FOREACH (at, &f->timers) {
            struct fake_timer *t = CONTAINER_OF(at, struct fake_timer, node);
            if (t->due_ns > f->now_ns) continue;
            struct env_timer *timer = t->timer;
            fake_timer_stop(timer);
            timer->cb(timer);
            break;
        }
        fake_turn(f);
    }
}

/* ---- network ---- */

struct fake_sock {
    struct sock sock;
    struct list_node node;
    char out[1 << 20]; /* what the client got */
    size_t out_bytes;
    size_t window; /* how much more the kernel takes */
    bool closing, paused, gone;
};
struct fake_net {
    struct net base;
    void (*accepted)(void *ctx, struct sock *s);
    void *ctx;
    struct list socks;
};

static inline ptrdiff_t fake_write(struct sock *s, const struct sock_part *parts, size_t count)
{
    struct fake_sock *f = CONTAINER_OF(s, struct fake_sock, sock);
    size_t taken = 0;
    if (f->closing) return E_NET;
    for (size_t i = 0; i < count; i++) {
        size_t bytes = parts[i].bytes < f->window ? parts[i].bytes : f->window;
        CHECK(f->out_bytes + bytes < sizeof f->out);
        memcpy(f->out + f->out_bytes, parts[i].at, bytes);
        f->out_bytes += bytes;
        f->window -= bytes;
        taken += bytes;
    }
    f->out[f->out_bytes] = '\0';
    return (ptrdiff_t)taken;
}
static inline void fake_resume(struct sock *s)
{
    CONTAINER_OF(s, struct fake_sock, sock)->paused = false;
}
static inline void fake_close(struct sock *s)
{
    CONTAINER_OF(s, struct fake_sock, sock)->closing = true;
}
static inline void fake_peer_text(struct sock *s, char *out, size_t bytes)
{
    (void)s;
    memcpy(out, "10.0.0.1:5000", bytes < 14 ? bytes : 14);
}
static const struct sock_ops fake_sock_ops = {.write = fake_write,
                                              .resume = fake_resume,
                                              .close = fake_close,
                                              .peer_text = fake_peer_text,
                                              .local_text = fake_peer_text};
static inline int fake_listen(struct net *n,
                              const char *host,
                              int *port,
                              void (*accepted)(void *ctx, struct sock *s),
                              void *ctx,
                              struct sock_listener **out)
{
    struct fake_net *f = CONTAINER_OF(n, struct fake_net, base);
    (void)host;
    *port = 4222;
    f->accepted = accepted;
    f->ctx = ctx;
    *out = (struct sock_listener *)(void *)f;
    return 0;
}
static inline void fake_unlisten(struct sock_listener *l)
{
    (void)l;
}
static const struct net_ops fake_net_ops = {.listen = fake_listen, .unlisten = fake_unlisten};

static inline void fake_net_init(struct fake_net *n)
{
    *n = (struct fake_net){.base = {.ops = &fake_net_ops}};
    list_init(&n->socks);
}
static inline struct fake_sock *fake_connect(struct fake_net *n, struct fake_env *e)
{
    struct fake_sock *s = check_alloc(sizeof *s);
    s->sock.ops = &fake_sock_ops;
    s->window = SIZE_MAX;
    list_push_back(&n->socks, &s->node);
    n->accepted(n->ctx, &s->sock);
    fake_turn(e);
    return s;
}
/* closed() of those that asked for it; the fake itself stays until fake_sock_free. */
static inline void fake_reap(struct fake_net *n, struct fake_env *e)
{
    LIST_FOREACH_SAFE (at, next, &n->socks) {
        struct fake_sock *s = CONTAINER_OF(at, struct fake_sock, node);
        if (!s->closing || s->gone) continue;
        s->gone = true;
        s->sock.events->closed(&s->sock, E_CANCELED, false);
    }
    fake_turn(e);
}
/* The client's bytes arrive, one read after another of at most `piece` bytes. False: not read any
 * more. */
static inline bool fake_feed(struct fake_sock *s, const char *bytes, size_t count, size_t piece)
{
    while (count != 0) {
        size_t room = 0;
        if (s->closing) return false;
        void *to = s->sock.events->room(&s->sock, &room);
        if (room == 0) {
            s->paused = true;
            return false;
        }
        if (room > piece) room = piece;
        if (room > count) room = count;
        memcpy(to, bytes, room);
        bytes += room;
        count -= room;
        s->sock.events->data(&s->sock, room);
    }
    return true;
}
/* The client goes. */
static inline void fake_hangup(struct fake_sock *s)
{
    if (s->gone) return;
    s->gone = s->closing = true;
    s->sock.events->closed(&s->sock, 0, false);
}
static inline void fake_sock_free(struct fake_sock *s)
{
    fake_hangup(s);
    list_remove(&s->node);
    free(s);
}
/* What the client got since the last call. */
static inline const char *fake_got(struct fake_sock *s)
{
    static char text[1 << 20];
    memcpy(text, s->out, s->out_bytes + 1);
    s->out_bytes = 0;
    s->out[0] = '\0';
    return text;
}
