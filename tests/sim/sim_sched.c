/* sim_sched.c - see sim_sched.h. */
#include "tests/sim/sim_sched.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/sim/sim_env.h"

static uint64_t mix(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

void sim_init(struct sim *s, uint64_t seed)
{
    *s = (struct sim){.seed = seed};
    uint64_t state = seed;
    for (unsigned i = 0; i < 4; i++)
        s->random[i] = mix(&state);
}

/* xoshiro256** (Blackman, Vigna). */
uint64_t sim_random(struct sim *s)
{
    uint64_t *r = s->random, t = r[1] << 17, x = r[1] * 5;
    uint64_t result = ((x << 7) | (x >> 57)) * 9;
    r[2] ^= r[0];
    r[3] ^= r[1];
    r[1] ^= r[2];
    r[0] ^= r[3];
    r[2] ^= t;
    r[3] = (r[3] << 45) | (r[3] >> 19);
    return result;
}

uint64_t sim_below(struct sim *s, uint64_t bound)
{
    return sim_random(s) % bound;
}

uint64_t sim_between(struct sim *s, uint64_t low, uint64_t high)
{
    return low + sim_below(s, high - low + 1);
}

bool sim_chance(struct sim *s, unsigned per_mille)
{
    return sim_below(s, 1000) < per_mille;
}

uint64_t sim_log_uniform(struct sim *s, uint64_t low, uint64_t high)
{
    unsigned doublings = 0;
    while (low << (doublings + 1) < high)
        doublings++;
    uint64_t at = low << sim_below(s, doublings + 1);
    return sim_between(s, at, at * 2 < high ? at * 2 : high);
}

struct sim_event *sim_event_new(size_t bytes, void (*run)(struct sim_event *e))
{
    struct sim_event *e = check_alloc(bytes);
    e->run = run;
    return e;
}

static bool before(const struct sim_event *a, const struct sim_event *b)
{
    return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->order < b->order;
}

static void push(struct sim *s, struct sim_event *e)
{
    if (s->count == s->max) {
        s->max = s->max == 0 ? 256 : s->max * 2;
        s->heap = check_realloc(s->heap, s->max * sizeof(struct sim_event *));
    }
    size_t i = s->count++;
    for (; i > 0 && before(e, s->heap[(i - 1) / 2]); i = (i - 1) / 2)
        s->heap[i] = s->heap[(i - 1) / 2];
    s->heap[i] = e;
}

static struct sim_event *pop(struct sim *s)
{
    struct sim_event *first = s->heap[0], *last = s->heap[--s->count];
    size_t i = 0;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= s->count) break;
        if (child + 1 < s->count && before(s->heap[child + 1], s->heap[child])) child++;
        if (!before(s->heap[child], last)) break;
        s->heap[i] = s->heap[child];
        i = child;
    }
    s->heap[i] = last;
    return first;
}

void sim_at(struct sim *s, uint64_t delay_ns, struct sim_env *env, struct sim_event *e)
{
    e->at_ns = s->now_ns + delay_ns;
    e->order = s->order++;
    e->env = env;
    push(s, e);
}

void sim_run(struct sim *s, uint64_t until_ns)
{
    while (s->count > 0 && !s->stop && s->heap[0]->at_ns <= until_ns) {
        struct sim_event *e = pop(s);
        if (e->canceled || (e->env != NULL && !e->env->alive)) {
            free(e);
            continue;
        }
        s->now_ns = e->at_ns;
        if (e->env != NULL && e->env->paused_until_ns > s->now_ns) {
            sim_at(s, e->env->paused_until_ns - s->now_ns, e->env, e);
            continue;
        }
        s->events++;
        if (e->env == NULL)
            e->run(e);
        else
            sim_env_turn(e->env, e);
        free(e);
    }
    if (s->now_ns < until_ns && !s->stop) s->now_ns = until_ns;
}

void sim_die(struct sim *s)
{
    CHECK(s->running != NULL);
    longjmp(s->death, 1);
}

static void say(const struct sim *s, const char *fmt, va_list args)
{
    fprintf(stderr, "%12.6f ", (double)s->now_ns / 1e9);
    vfprintf(stderr, fmt, args);
    fputc('\n', stderr);
}

void sim_trace(const struct sim *s, const char *fmt, ...)
{
    if (!s->trace) return;
    va_list args;
    va_start(args, fmt);
    say(s, fmt, args);
    va_end(args);
}

void sim_fail(const struct sim *s, const char *fmt, ...)
{
    va_list args;
    fprintf(stderr, "seed %llu: broken: ", (unsigned long long)s->seed);
    va_start(args, fmt);
    say(s, fmt, args);
    va_end(args);
    _exit(1);
}
