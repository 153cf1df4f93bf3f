/* wheel.h - timing wheel for very many deadlines with one env_timer behind them. Entries are embedded;
 * a deadline fires up to 5 ms late, never early.
 * Source: Varghese and Lauck, Hashed and hierarchical timing wheels, 1987. */
#pragma once

#include "store/base/env.h"
#include "store/base/list.h"

struct wheel;
struct wheel_entry {
    struct list_node node;
    uint64_t due_ns; /* mono */
    void (*cb)(struct wheel_entry *);
};

struct wheel *wheel_new(struct env *env);
void wheel_free(struct wheel *w);
void wheel_start(struct wheel *w, struct wheel_entry *e, struct mono due); /* replaces a pending start */
void wheel_stop(struct wheel *w, struct wheel_entry *e);                   /* harmless when not started */
static inline bool wheel_pending(const struct wheel_entry *e)
{
    return list_linked(&e->node);
}
