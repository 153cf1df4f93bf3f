/* wheel.c - see wheel.h.
 * Time is cut into ticks of 2^21 ns. Digits of 6 bits of a deadline's tick say where an entry
 * waits: at the level of the highest digit in which it differs from `now`, in the slot of that
 * digit. When `now` reaches that slot, its entries move down (or fire, at level 0). Lower levels
 * are always due earlier, so the next thing to do is the first used slot of the lowest level that
 * has one: a bit scan per level, and an idle wheel sleeps. A stopped entry leaves its bit behind;
 * the scan clears it. */
#include "store/base/wheel.h"

#include <stdlib.h>

#include "store/base/bug.h"

#define TICK_SHIFT 21 /* 2.1 ms: with the timer's 1 ms that keeps the promise of 5 */
#define DIGIT_BITS 6
#define SLOTS 64
#define LEVELS 11 /* 66 bits: every tick fits */

struct wheel {
    struct env *env;
    struct env_timer timer;
    uint64_t now;   /* all ticks up to here are done */
    uint64_t armed; /* the timer is set for this tick; UINT64_MAX: it isn't */
    uint64_t used[LEVELS];
    struct list slots[LEVELS][SLOTS];
    struct list firing;
    bool running;
};

/* Rounded up: never early. */
static uint64_t due_tick(const struct wheel_entry *e)
{
    return (e->due_ns >> TICK_SHIFT) + (BUG_WHEEL_EARLY ? 0 : 1);
}

static unsigned level_of(uint64_t now, uint64_t tick)
{
    return (63u - (unsigned)__builtin_clzll(now ^ tick)) / DIGIT_BITS;
}

/* The first tick of a slot, given that all higher digits are now's. */
static uint64_t slot_tick(uint64_t now, unsigned level, unsigned slot)
{
    unsigned shift = level * DIGIT_BITS;
    uint64_t above =
        shift + DIGIT_BITS >= 64 ? 0 : now >> (shift + DIGIT_BITS) << (shift + DIGIT_BITS);
    return above | (uint64_t)slot << shift;
}

/* Returns the tick at which something is to be done for the entry. */
static uint64_t place(struct wheel *w, struct wheel_entry *e)
{
    uint64_t tick = due_tick(e);
    if (tick <= w->now) tick = w->now + 1;
    unsigned level = level_of(w->now, tick);
    unsigned slot = (unsigned)(tick >> (level * DIGIT_BITS)) & (SLOTS - 1);
    list_push_back(&w->slots[level][slot], &e->node);
    w->used[level] |= UINT64_C(1) << slot;
    return slot_tick(w->now, level, slot);
}

/* The next slot with something in it; false: none. */
static bool next_slot(struct wheel *w, unsigned *level, unsigned *slot, uint64_t *tick)
{
    for (unsigned l = 0; l < LEVELS; l++) {
        while (w->used[l] != 0) {
            unsigned s = (unsigned)__builtin_ctzll(w->used[l]);
            if (list_empty(&w->slots[l][s])) {
                w->used[l] &= w->used[l] - 1;
                continue;
            }
            *level = l;
            *slot = s;
            *tick = slot_tick(w->now, l, s);
            CHECK(*tick > w->now);
            return true;
        }
    }
    return false;
}

static void arm(struct wheel *w, uint64_t tick)
{
    w->armed = tick;
    uint64_t now_ns = env_mono(w->env).ns;
    uint64_t at_ns = tick > UINT64_MAX >> TICK_SHIFT ? UINT64_MAX : tick << TICK_SHIFT;
    env_timer_start(&w->timer, at_ns > now_ns ? at_ns - now_ns : 0);
}

/* Moves the entries of a slot that has been reached: those due go to `firing`, others a level down.
 */
static void cascade(struct wheel *w, struct list *from)
{
    struct list moved;
    list_init(&moved);
    list_splice(&moved, from);
    for (struct list_node *n; (n = list_pop_front(&moved)) != NULL;) {
        struct wheel_entry *e = CONTAINER_OF(n, struct wheel_entry, node);
        if (due_tick(e) <= w->now)
            list_push_back(&w->firing, n);
        else
            place(w, e);
    }
}

static void turn(struct env_timer *t)
{
    struct wheel *w = CONTAINER_OF(t, struct wheel, timer);
    uint64_t until = env_mono(w->env).ns >> TICK_SHIFT;
    unsigned level, slot;
    uint64_t tick;
    w->armed = UINT64_MAX;
    w->running = true;
    while (next_slot(w, &level, &slot, &tick) && tick <= until) {
        w->now = tick;
        w->used[level] &= ~(UINT64_C(1) << slot);
        cascade(w, &w->slots[level][slot]);
        for (struct list_node *n; (n = list_pop_front(&w->firing)) != NULL;) {
            struct wheel_entry *e = CONTAINER_OF(n, struct wheel_entry, node);
            e->cb(e);
        }
    }
    w->running = false;
    if (next_slot(w, &level, &slot, &tick)) arm(w, tick);
}

struct wheel *wheel_new(struct env *env)
{
    struct wheel *w = check_alloc(sizeof *w);
    w->env = env;
    w->now = env_mono(env).ns >> TICK_SHIFT;
    w->armed = UINT64_MAX;
    for (unsigned l = 0; l < LEVELS; l++) {
        for (unsigned s = 0; s < SLOTS; s++)
            list_init(&w->slots[l][s]);
    }
    list_init(&w->firing);
    env_timer_init(env, &w->timer, turn);
    return w;
}

void wheel_free(struct wheel *w)
{
    if (w == NULL) return;
    CHECK(!w->running);
    env_timer_stop(&w->timer);
    free(w);
}

void wheel_start(struct wheel *w, struct wheel_entry *e, struct mono due)
{
    list_remove(&e->node);
    e->due_ns = due.ns;
    uint64_t tick = place(w, e);
    if (!w->running && tick < w->armed) arm(w, tick);
}

void wheel_stop(struct wheel *w, struct wheel_entry *e)
{
    (void)w;
    list_remove(&e->node);
}
