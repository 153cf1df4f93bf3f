/* signals.c - see signals.h. QUIT keeps its default, a core dump, unless it is asked for: it is how
 * one asks a process that hangs what it does. */
#include "cmd/signals.h"

#include <signal.h>
#include <stdlib.h>
#include <uv.h>

#include "store/base/limits.h"

struct signals {
    struct signals_options options;
    struct watched {
        uv_signal_t handle;
        struct signals *owner;
        void (*call)(void *ctx);
    } watched[6];
    int open; /* handles that aren't closed yet */
};

static void arrived(uv_signal_t *handle, int number)
{
    struct watched *w = handle->data;
    (void)number;
    w->call(w->owner->options.ctx);
}

struct signals *signals_new(const struct signals_options *o)
{
    struct signals *s = check_alloc(sizeof *s);
    const struct {
        int number;
        void (*call)(void *ctx);
    } rows[] = {
        {SIGINT, o->stop},       {SIGTERM, o->stop},  {SIGUSR1, o->reopen},
        {SIGUSR2, o->lame_duck}, {SIGHUP, o->reload}, {SIGQUIT, o->quit},
    };
    static_assert(ARRAY_COUNT(rows) == ARRAY_COUNT(s->watched), "a handle for each");
    s->options = *o;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct watched *w = &s->watched[i];
        if (rows[i].call == NULL) continue;
        w->owner = s;
        w->call = rows[i].call;
        w->handle.data = w;
        uv_signal_init(env_uv_loop(o->env), &w->handle);
        uv_signal_start(&w->handle, arrived, rows[i].number);
        s->open++;
    }
    return s;
}

static void closed(uv_handle_t *handle)
{
    struct watched *w = handle->data;
    if (--w->owner->open == 0) free(w->owner);
}

void signals_free(struct signals *s)
{
    if (s == NULL) return;
    for (size_t i = 0; i < ARRAY_COUNT(s->watched); i++)
        if (s->watched[i].call != NULL) uv_close((uv_handle_t *)&s->watched[i].handle, closed);
}
