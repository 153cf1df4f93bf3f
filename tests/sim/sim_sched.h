/* sim_sched.h - the world's clock: events in order of virtual time, everything else by one random
 * sequence. Same seed, same run. An event of a node runs as one turn of its loop; a paused node's
 * events wait, a dead one's are dropped. */
#pragma once

#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/base/check.h"
#include "store/base/units.h"

struct sim_env;

/* Allocated with sim_event_new, as the first member of what it carries; freed after it ran. */
struct sim_event {
    uint64_t at_ns, order;
    struct sim_env *env; /* NULL: the world's own */
    void (*run)(struct sim_event *e);
    bool canceled;
};
struct sim {
    uint64_t seed, now_ns, order;
    uint64_t random[4];
    struct sim_event **heap;
    size_t count, max;
    bool trace, stop;
    unsigned long events;
    /* Where a node that dies in the middle of a call is left; its memory is lost, as in a crash. */
    jmp_buf death;
    struct sim_env *running; /* inside a node's turn or worker */
};

void sim_init(struct sim *s, uint64_t seed);
struct sim_event *sim_event_new(size_t bytes, void (*run)(struct sim_event *e));
void sim_at(struct sim *s, uint64_t delay_ns, struct sim_env *env, struct sim_event *e);
/* Runs until `until_ns` of virtual time, or sim.stop. */
void sim_run(struct sim *s, uint64_t until_ns);
/* Ends the node inside whose turn or worker this is called; doesn't return. */
_Noreturn void sim_die(struct sim *s);

uint64_t sim_random(struct sim *s);
uint64_t sim_below(struct sim *s, uint64_t bound); /* 0..bound - 1 */
uint64_t sim_between(struct sim *s, uint64_t low, uint64_t high);
bool sim_chance(struct sim *s, unsigned per_mille);
/* Each magnitude between low and high is as likely as any other. */
uint64_t sim_log_uniform(struct sim *s, uint64_t low, uint64_t high);

/* A line of the trace, when that is on. */
void sim_trace(const struct sim *s, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* An invariant is broken: says so and ends the run with status 1. */
_Noreturn void sim_fail(const struct sim *s, const char *fmt, ...) PRINTF_LIKE(2, 3);
